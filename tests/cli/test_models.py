"""`tlkit models`: the list, what is known of one network, speed, drawing, cut points."""

import json

import pytest

from tests.cli.commands import refused, tlkit
from tlkit.cli.models import _print
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.backbones import BACKBONES
from tlkit.models.catalog import find_entries


def test_models_lists_every_network():
    backbones, networks, legend = (part.splitlines() for part in tlkit("models").stdout.split("\n\n"))
    assert backbones[0].split()[:2] == ["finetune", "--backbone"]
    assert [line.split()[0] for line in backbones[1:]] == list(BACKBONES)
    assert networks[0].split()[:2] == ["train", "--model"]
    assert [line.split()[0] for line in networks[1:]] == list(ARCHITECTURES)
    assert max(map(len, backbones + networks + legend)) <= 120


def test_models_line_has_size_cost_and_accuracy():
    line = tlkit("models", "vgg11").stdout.splitlines()[1]
    assert line.split() == ["vgg11", "224", "32", "2014", "11", "132.86", "531.5", "7.609", "69.0"]


@pytest.mark.slow
def test_models_json_has_source_and_measured_speed():
    (mobilenet,) = json.loads(tlkit("models", "mobilenet_025", "--json").stdout)
    assert mobilenet["parameters"] == 475_544
    assert "1704.04861" in mobilenet["source"]
    assert list(mobilenet) == [
        *("command", "name", "year", "top1", "source", "depth", "parameters", "multiply_adds"),
        *("image_size", "min_size", "size_bytes", "weights_cached"),
    ]
    (linear,) = json.loads(tlkit("models", "linear", "--json", "--measure").stdout)
    assert linear["images_per_second"] > 0
    assert (linear["top1"], linear["source"]) == (None, None)


@pytest.mark.slow
def test_models_measure_adds_column():
    head, line = tlkit("models", "lenet5", "--measure").stdout.splitlines()[:2]
    assert head.split()[-1] == "images/s"
    assert float(line.split()[-1].replace(",", "")) > 0


def test_models_without_a_speed_has_a_dash_and_the_reason(capsys):
    entries = find_entries("lenet5") + find_entries("linear")
    _print(entries, {entries[0]: "the process ended, probably out of memory", entries[1]: 0.0042})
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in said.splitlines() if line}
    assert (rows["lenet5"][-1], rows["linear"][-1]) == ("–", "0.004")
    assert rows["no"][:3] == ["no", "speed", "lenet5:"]
    assert "nan" not in said


def test_models_output_draws_png(tmp_path):
    tlkit("models", "-o", tmp_path / "zoo.png")
    assert (tmp_path / "zoo.png").read_bytes().startswith(b"\x89PNG")
    assert "linear has no published ImageNet accuracy" in refused(2, "models", "linear", "-o", tmp_path / "a.png")


def test_models_cuts_lists_cut_points():
    assert "--cuts needs the name of a backbone" in refused(2, "models", "--cuts")
    lines = tlkit("models", "mobilenet_025", "--cuts").stdout.splitlines()
    assert sum(line.endswith("  auto") for line in lines) == 1
    assert lines[0].split() == ["cut", "point", "shape", "frozen", "trained", "kB/view"]
    assert "unknown network 'resnet19'; did you mean" in refused(2, "models", "resnet19")
