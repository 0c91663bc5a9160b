"""Figures of an index against the definition; what does not count; what the run was trained on."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tlkit.errors import DataError, OptionError, RunError
from tlkit.search.build import add_images, index_images
from tlkit.search.evaluate import evaluate_index
from tlkit.settings.search import IndexSettings


def test_figures_are_those_of_the_definition(colors, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(colors, data)
    for number in range(6):  # so that classes are mixed up
        shutil.move(data / "red" / f"{number}.png", data / "blue" / f"r{number}.png")
    shutil.copy(data / "green" / "1.png", data / "green" / "copy.png")
    index = index_images(data, tmp_path / "i", descriptor="pixels").index
    result = evaluate_index(index)
    records, vectors = list(index.images), index.vectors.rows(np.arange(37)).astype(np.float64)
    precisions, recalls, averages = [], [], []
    for query, record in enumerate(records):
        others = [i for i, other in enumerate(records) if other.group != record.group]
        others.sort(key=lambda i: ((vectors[i] - vectors[query]) ** 2).sum())
        hits = np.array([records[i].label == record.label for i in others])
        precisions.append(hits[:5].mean())
        recalls.append(hits[:10].sum() / hits.sum())
        averages.append(np.mean([hits[: rank + 1].mean() for rank in np.flatnonzero(hits)]))
    figures = result.all_queries
    assert figures.precision == pytest.approx(np.mean(precisions))
    assert figures.recall == pytest.approx(np.mean(recalls))
    assert figures.average_precision == pytest.approx(np.mean(averages), abs=1e-4)
    assert (figures.num_queries, figures.retrieved) == (37, 37 * 5)
    assert 0.5 < figures.precision < 1
    of_blue = [value for value, record in zip(precisions, records, strict=True) if record.label == "blue"]
    assert result.by_class["blue"].precision == pytest.approx(np.mean(of_blue))
    content = result.as_json()
    assert content["precision_at_5"] == pytest.approx(figures.precision, abs=1e-6)
    assert set(content) >= {"precision_at_5", "recall_at_10", "map", "trained_on", "classes"}


def test_validation_images_are_looked_for_among_training_images(pixel_index):
    result = evaluate_index(pixel_index, subset="validation")
    subsets = [record.subset for record in pixel_index.images]
    assert result.all_queries.num_queries == subsets.count("validation") == 6
    assert result.num_ranked == subsets.count("train") == 30
    assert result.num_trained_on is None
    assert evaluate_index(pixel_index, max_queries=7).all_queries.num_queries == 7


def test_queries_of_another_folder_do_not_find_their_copies(colors, pixel_index, tmp_path):
    shutil.copytree(colors, tmp_path / "data")
    result = evaluate_index(pixel_index, queries=str(tmp_path / "data"), precision_k=12)
    assert result.all_queries.num_queries == 36
    assert result.all_queries.hits == 36 * 11  # the copy does not count, so the twelfth is of another class
    assert result.precision_k == 12


def test_it_says_how_many_queries_the_run_was_trained_on(finetuned_run, colors, tmp_path):
    index = index_images(colors, tmp_path / "i", run=str(finetuned_run.path)).index
    train = sum(row["split"] == "train" for row in finetuned_run.read_rows("split.csv"))
    result = evaluate_index(index)
    assert result.num_trained_on == train
    assert result.new_queries.num_queries == 36 - train
    assert evaluate_index(index, subset="validation").num_trained_on == 0


def test_an_index_of_faiss_says_what_it_finds_of_the_exact_answer(colors, tmp_path):
    pytest.importorskip("faiss")
    index = index_images(colors, tmp_path / "i", descriptor="pixels", index="hnsw").index
    assert evaluate_index(index).found_of_exact == pytest.approx(1.0)


def test_images_without_classes_cannot_be_evaluated(colors, tmp_path):
    index = index_images(colors, tmp_path / "i", descriptor="pixels", labels=False).index
    with pytest.raises(DataError, match="have no classes"):
        evaluate_index(index)


def test_a_subset_without_images_is_refused(pixel_index):
    with pytest.raises(DataError, match="no test images"):
        evaluate_index(pixel_index, subset="test")


def test_near_duplicates_of_queries_of_another_folder_do_not_count(tmp_path):
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        for number in range(4):
            (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "copies" / name).mkdir(parents=True, exist_ok=True)
            scene = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8)).resize(
                (64, 64), Image.Resampling.BICUBIC
            )
            scene.save(tmp_path / "data" / name / f"{number}.png")
            scene.save(tmp_path / "copies" / name / f"{number}.jpg", quality=60)
    index = index_images(tmp_path / "data", tmp_path / "i", descriptor="pixels").index
    result = evaluate_index(index, queries=str(tmp_path / "copies"), precision_k=4)
    assert result.all_queries.retrieved == 8 * 4
    assert result.all_queries.recall == 1.0
    nearest = evaluate_index(index, queries=str(tmp_path / "copies"), precision_k=1).all_queries
    originals = evaluate_index(index, precision_k=1).all_queries
    assert nearest.hits == originals.hits < 8  # the copies as queries find what the originals find
    assert nearest.average_precision == pytest.approx(originals.average_precision)


def test_images_without_a_class_are_neither_queries_nor_found(colors, own_copy, tmp_path):
    shutil.copytree(colors / "red", tmp_path / "more")
    for file in (tmp_path / "more").iterdir():
        with Image.open(file) as image:
            image.transpose(Image.Transpose.ROTATE_90).save(file)
    before = evaluate_index(own_copy)
    assert add_images(own_copy, tmp_path / "more", IndexSettings(labels=False)).num_added == 12
    after = evaluate_index(own_copy)
    assert set(after.by_class) == {"red", "green", "blue"}
    assert (after.num_ranked, after.all_queries.num_queries) == (36, 36) == (before.num_ranked, 36)


def test_no_file_that_a_foreign_index_names_is_opened(foreign_copy, tmp_path, monkeypatch):
    file = foreign_copy / "index.json"
    facts = json.loads(file.read_text())
    file.write_text(json.dumps(facts | {"source": facts["source"] | {"run": str(tmp_path)}}))
    monkeypatch.setattr("tlkit.search.evaluate.previous_run", pytest.fail)
    with pytest.raises(RunError, match="no file that it names is opened"):
        evaluate_index(foreign_copy)


def test_queries_that_are_none_are_refused_in_one_sentence(pixel_index, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="no images in .*data' that can be read"):
        evaluate_index(pixel_index, queries=str(tmp_path / "data"))
    with pytest.raises(DataError, match="no test images in"):
        evaluate_index(pixel_index, subset="test")
    with pytest.raises(OptionError, match="--queries and --subset"):
        evaluate_index(pixel_index, queries="x", subset="validation")
