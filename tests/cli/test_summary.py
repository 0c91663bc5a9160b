"""`tlkit summary`: by name, of a run, as JSON, drawn."""

import json

from tests.cli.commands import refused, tlkit


def test_summary_shows_network_layer_by_layer():
    done = tlkit("summary", "lenet5_relu", "--gray", "--num-classes", "10")
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert lines[0].split() == [
        *("layer", "kind", "output", "kernel", "stride", "padding", "parameters", "multiply-adds", "field", "kB")
    ]
    conv2 = next(line for line in lines if line.startswith("conv2 "))
    assert conv2.split() == ["conv2", "Conv2D", "10×10×16", "5×5", "1", "0", "2,416", "240,000", "14", "6.4"]
    assert "lenet5_relu: 61,706 parameters (0 not trainable), 5 layers with weights" in lines


def test_summary_json_has_totals_and_every_layer(tmp_path):
    done = tlkit("summary", "resnet20", "--num-classes", "10", "--json", "-o", tmp_path / "net.svg")
    summary = json.loads(done.stdout)
    assert summary["trainable_parameters"] == 269_722
    assert summary["total_parameters"] == sum(row["parameters"] for row in summary["layers"])
    assert summary["num_classes"] == 10
    assert list(summary) == [
        *("total_parameters", "trainable_parameters", "multiply_adds", "depth", "image_size", "name"),
        *("num_classes", "layers"),
    ]
    assert list(summary["layers"][0]) == [
        *("name", "kind", "output", "kernel", "stride", "padding", "parameters", "trainable"),
        *("multiply_adds", "field", "memory", "inputs"),
    ]
    assert (tmp_path / "net.svg").read_text().startswith("<svg")


def test_summary_of_run(run):
    summary = json.loads(tlkit("summary", run.path, "--json").stdout)
    assert summary["num_classes"] == 3
    assert summary["layers"][0]["output"] == [32, 32, 3]


def test_summary_unknown_or_too_small_is_refused():
    assert "unknown network 'resnet19'; did you mean" in refused(2, "summary", "resnet19")
    assert "lenet5 needs at least 32" in refused(2, "summary", "lenet5", "--image-size", "31")
