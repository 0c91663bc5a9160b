"""`tlkit summary`: by name, of a run, as JSON, drawn."""

import json

from tests.cli.test_cli import refused, tlkit


def test_a_network_is_shown_layer_by_layer():
    done = tlkit("summary", "lenet5_relu", "--grey", "--num-classes", "10")
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert lines[0].split() == ["layer", "kind", "output", "window", "stride", "zeros", "parameters", *SEEN]
    conv2 = next(line for line in lines if line.startswith("conv2 "))
    assert conv2.split() == ["conv2", "Conv2D", "10×10×16", "5×5", "1", "0", "2,416", "240,000", "14", "6.4"]
    assert "lenet5_relu: 61,706 parameters, 0 of them not trained; 5 layers with weights" in lines


SEEN = ["multiply-adds", "sees", "kB"]


def test_json_has_the_totals_and_a_row_per_layer(tmp_path):
    done = tlkit("summary", "resnet20", "--num-classes", "10", "--json", "-o", tmp_path / "net.svg")
    found = json.loads(done.stdout)
    assert found["trainable_parameters"] == 269_722
    assert found["total_parameters"] == sum(row["parameters"] for row in found["layers"])
    assert found["num_classes"] == 10
    assert (tmp_path / "net.svg").read_text().startswith("<svg")


def test_the_network_of_a_run(run):
    found = json.loads(tlkit("summary", run.path, "--json").stdout)
    assert found["num_classes"] == 3
    assert found["layers"][0]["output"] == [32, 32, 3]


def test_what_is_no_network_is_named():
    assert "there is no network 'resnet19'; did you mean" in refused(2, "summary", "resnet19")
    assert "lenet5 needs at least 32" in refused(2, "summary", "lenet5", "--image-size", "31")
