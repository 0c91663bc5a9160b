"""`tlkit visualize`: of a network by name, of a run, as JSON."""

import json

from PIL import Image

from tests.cli.commands import refused, tlkit
from tests.shared_runs import copy_foreign_run


def test_visualize_writes_a_png_and_says_what_it_shows(run, tmp_path):
    done = tlkit("visualize", run.path, "-o", tmp_path / "a.png")
    assert (done.exit_code, done.stderr) == (0, "")
    first, head, row, *_, last = done.stdout.splitlines()
    assert first.startswith("First-layer filters of ")
    assert head.split() == ["layer", "output", "shown"]
    assert row.split()[:2] == ["conv1", "16×16×8"]
    assert last.split() == ["file", str(tmp_path / "a.png")]
    assert Image.open(tmp_path / "a.png").format == "PNG"


def test_visualize_as_json_has_layers_sizes_and_file(run, colors, tmp_path):
    done = tlkit("visualize", run.path, "--image", colors / "red/0.png", "-o", tmp_path / "b.png", "--json")
    content = json.loads(done.stdout)
    assert list(content) == ["file", "kind", "network", "title", "layers"]
    assert (content["file"], content["kind"]) == (str(tmp_path / "b.png"), "feature maps")
    assert list(content["layers"][0]) == ["layer", "shape", "units", "values"]
    content = json.loads(tlkit("visualize", run.path, "--map", "pca", "-o", tmp_path / "c.png", "--json").stdout)
    assert (content["kind"], content["num_images"], content["layers"]) == ("map", 6, [])


def test_visualize_takes_the_next_free_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("visualize", "lenet5", "--weights", "none")
    assert tlkit(*words).exit_code == tlkit(*words).exit_code == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["visualize-2.png", "visualize.png"]


def test_visualize_shows_its_progress(run, tmp_path):
    done = tlkit("visualize", run.path, "--class", "red", "--steps", "2", "-o", tmp_path / "d.png")
    assert done.exit_code == 0, done.stderr
    assert "maximizing: 2 steps" in done.stderr


def test_visualize_refuses_options_that_change_nothing(run):
    for words, option in (
        (("--map", "pca", "--image", "x.png"), "--image"),
        (("--class", "red", "--layer", "conv1"), "--class"),
        (("--class", "red", "--image", "x.png"), "--class"),
        (("--unit", "1"), "--unit"),
        (("--steps", "9"), "--steps"),
        (("--seed", "9"), "--seed"),
        (("--weights", "none"), "--weights"),
        (("--image-size", "64"), "--image-size"),
    ):
        assert refused(2, "visualize", run.path, *words).startswith(f"{option} has no effect "), words
    assert refused(2, "visualize", "lenet5", "--trust-model").startswith("--trust-model has no effect without a run")


def test_visualize_refuses_what_is_not_in_the_network(run, classic_run, tmp_path):
    assert "expected a class of the run" in refused(2, "visualize", run.path, "--class", "purple")
    assert "expected a layer such as" in refused(2, "visualize", run.path, "--layer", "conv_99")
    assert "cannot be shown" in refused(3, "visualize", run.path, "--image", tmp_path / "none.png")
    assert "classic classifier" in refused(4, "visualize", classic_run.path)
    assert "unknown network" in refused(2, "visualize", "mobilenet_v9")
    assert "there is no run folder" in refused(4, "visualize", tmp_path / "none")


def test_network_of_a_stranger_needs_trust(run, tmp_path):
    foreign = copy_foreign_run(run, tmp_path)
    assert "add --trust-model" in refused(4, "visualize", foreign.path)
    done = tlkit("visualize", foreign.path, "--map", "pca", "-o", tmp_path / "e.png")
    assert done.exit_code == 0, done.stderr
