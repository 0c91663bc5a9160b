"""Queries: the nearest images with their names, and what cannot be asked."""

import json

import numpy as np
import pytest

import tlkit
from tlkit.errors import DataError, RunError
from tlkit.search.build import index_images
from tlkit.search.evaluate import evaluate_index
from tlkit.search.query import search_images
from tlkit.search.source import run_of


def test_an_image_of_the_index_finds_itself_first_and_then_its_class(colors, pixel_index):
    for path in ("red/3.png", "blue/0.png"):
        result = search_images(pixel_index, colors / path, k=12)[0]
        assert result.matches[0].path == path
        assert result.matches[0].distance == pytest.approx(0, abs=1e-6)
        assert {match.label for match in result.matches} == {path.split("/")[0]}
        distances = [match.distance for match in result.matches]
        assert distances == sorted(distances)
        assert result.matches[0].root == str(colors.resolve())


def test_folders_and_files_that_are_no_images(colors, pixel_index, tmp_path):
    (tmp_path / "x.png").write_text("no image")
    results = search_images(pixel_index.path, [colors / "green", tmp_path / "x.png", "missing.png"], k=1)
    assert len(results) == 14
    assert [result.error is None for result in results] == [True] * 12 + [False, False]
    assert results[12].matches == ()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no file was found"):
        search_images(pixel_index, [tmp_path / "empty"])


def test_more_than_there_are_gives_all(colors, pixel_index):
    assert len(search_images(pixel_index, [colors / "red" / "0.png"], k=1000)[0].matches) == 36


def test_features_of_a_run_and_of_another_network(finetuned_run, colors, tmp_path):
    index = index_images(colors, tmp_path / "i", run=str(finetuned_run.path)).index
    assert index.facts.source["image_size"] == 32
    result = search_images(index, [colors / "red" / "1.png"], k=3)[0]
    assert result.matches[0].path == "red/1.png"
    with pytest.raises(RunError, match=r"'moved', whose features .* is gone; name it with --run"):
        run_of(index.facts.source | {"run": "moved"}, "")
    facts = json.loads((index.path / "index.json").read_text())
    (index.path / "index.json").write_text(json.dumps(facts | {"feature_key": "0" * 64}))
    with pytest.raises(RunError, match="not made on this machine"):
        search_images(index.path, [colors / "red" / "1.png"])
    with pytest.raises(RunError, match="of another network or descriptor"):
        search_images(index.path, [colors / "red" / "1.png"], run=str(finetuned_run.path))


def test_a_run_for_features_of_no_run_is_refused(pixel_index, colors, tmp_path):
    with pytest.raises(RunError, match="of no run; leave out --run"):
        search_images(pixel_index, [colors / "red" / "1.png"], run=str(tmp_path))
    with pytest.raises(RunError, match="of no run; leave out --run"):
        evaluate_index(pixel_index, run=str(tmp_path))


def test_impossible_settings_of_a_source_are_a_damaged_index(own_copy, colors):
    facts = json.loads((own_copy / "index.json").read_text())
    for name, value in (("descriptor", 5), ("image_size", "x"), ("engine", "none"), ("descriptor", "bow")):
        changed = facts | {"source": facts["source"] | {name: value}}
        (own_copy / "index.json").write_text(json.dumps(changed))
        with pytest.raises(RunError, match="index the images again"):
            search_images(own_copy, [colors / "red" / "1.png"])


def test_the_public_names(colors, tmp_path):
    made = tlkit.index_images(colors, tmp_path / "i", descriptor="histogram")
    assert len(tlkit.open_index(tmp_path / "i")) == len(made.index) == 36
    found = tlkit.search_images(tmp_path / "i", [colors / "red" / "0.png"], k=2)
    assert isinstance(found[0], tlkit.QueryResult)
    assert tlkit.evaluate_index(tmp_path / "i").all_queries.precision == 1.0
    assert np.isfinite(found[0].matches[1].distance)
