"""Heat maps of a page: beside its galleries, where a run can be explained in little time."""

import base64
import io

import pytest
from PIL import Image

from tests.shared_runs import copy_run
from tlkit.data.thumbnail import data_uri
from tlkit.explain.explainer import open_explainer
from tlkit.report.heat_maps import make_heat_maps
from tlkit.report.images import LARGE, QUALITY


def images_of(run, count=3):
    rows = run.read_rows("predictions_val.csv")[:count]
    return {row["path"]: run.manifest.class_names.index(row["label"]) for row in rows}


@pytest.mark.parametrize("name", ["finetuned_run", "blocks_run"])
def test_heat_maps_are_of_the_size_of_their_images(name, request, colors):
    run = request.getfixturevalue(name)
    images = images_of(run)
    found = make_heat_maps(run, colors, images)
    assert list(found) == list(images)
    assert len(set(found.values())) == len(found)
    for path, uri in found.items():
        shown = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        assert shown.size == Image.open(colors / path).size


def test_heat_maps_are_those_of_explain(finetuned_run, blocks_run, colors):
    for run in (finetuned_run, blocks_run):
        images = images_of(run)
        found = make_heat_maps(run, colors, images)
        explanations = open_explainer(run).explain([colors / path for path in images])
        for (path, uri), explanation in zip(found.items(), explanations, strict=True):
            assert explanation.label == run.manifest.class_names[images[path]]
            assert uri == data_uri(explanation.overlay(LARGE), QUALITY)


def test_a_file_that_vanished_has_no_heat_map(finetuned_run, colors, tmp_path):
    assert make_heat_maps(finetuned_run, tmp_path, images_of(finetuned_run)) == {}


def test_a_run_that_occlusion_explains_or_that_cannot_predict_has_none(classic_run, finetuned_run, colors, tmp_path):
    assert make_heat_maps(classic_run, colors, images_of(classic_run)) == {}
    damaged = copy_run(finetuned_run, tmp_path)
    (damaged.path / "engine" / "head.tflite").write_bytes(b"")
    assert make_heat_maps(damaged, colors, images_of(damaged)) == {}
