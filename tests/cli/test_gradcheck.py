"""`tlkit gradcheck`: errors, what is allowed and why, and exit code 5 if a layer is wrong."""

import json

import pytest

from tests.cli.commands import refused, tlkit


def test_gradcheck_prints_what_the_verdict_uses():
    done = tlkit("gradcheck", "lenet5_relu")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    rows = [line.split() for line in lines[1:6]]
    assert [row[0] for row in rows] == ["conv1", "conv2", "fc1", "fc2", "head_logits"]
    assert all(float(error) <= float(allowed) for _, _, error, allowed, _ in rows)
    assert {row[4] for row in rows} <= {"tolerance", "rounding"}
    assert lines[-1] == "verdict     passed: the gradients of 5 layers agree."
    assert tlkit("gradcheck", "lenet5_relu", "--quiet").stdout.splitlines() == lines[-1:]


@pytest.mark.parametrize("columns", [60, 120])
def test_gradcheck_fits_the_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, tlkit("gradcheck", "linear").stdout.splitlines())) <= columns


def test_gradcheck_json_has_every_layer():
    content = json.loads(tlkit("gradcheck", "linear", "--json").stdout)
    assert (content["model"], content["passed"]) == ("linear", True)
    [layer] = content["layers"]
    assert layer.keys() == {
        *("layer", "parameters", "passed", "num_entries", "num_comparable"),
        *("gradient", "error", "allowed", "reason"),
    }
    assert layer["error"] <= layer["allowed"]


def test_gradcheck_layer_that_is_wrong_ends_with_5(monkeypatch):
    from tlkit.models import gradient_check

    monkeypatch.setattr(gradient_check, "TOLERANCE", -1.0)
    done = tlkit("gradcheck", "linear")
    assert done.exit_code == 5
    words = "the gradients of 1 of 1 layers are wrong, head_logits first."
    assert f"verdict     failed: {words}" in done.stdout.splitlines()
    assert done.stderr.endswith(f"{words}\n")
    assert refused(5, "gradcheck", "linear", "--json") == words


@pytest.mark.slow
def test_gradcheck_of_a_deep_network_on_small_images_ends_with_a_verdict():
    """Some of its gradients are nearly zero, so that their numerical values are rounding errors."""
    done = tlkit("gradcheck", "resnet18", "--image-size", "8")
    assert done.exit_code == 0
    assert "verdict     passed: the gradients of 39 layers agree." in done.stdout.splitlines()
    assert "2 layers were not compared" in " ".join(done.stdout.split())


def test_gradcheck_unknown_network_is_refused():
    assert "unknown network" in refused(2, "gradcheck", "nothing")
