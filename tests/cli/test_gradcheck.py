"""`tlkit gradcheck`: a table, and exit code 5 where a layer is off."""

from tests.cli.commands import refused, tlkit


def test_gradcheck_has_line_per_layer():
    done = tlkit("gradcheck", "lenet5_relu")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["conv1", "conv2", "fc1", "fc2", "head_logits"]
    assert lines[-1].startswith("5 layers, the largest relative error is ")


def test_gradcheck_layer_that_is_off_ends_with_5(monkeypatch):
    from tlkit.models import gradient_check

    monkeypatch.setattr(gradient_check, "TOLERANCE", -1.0)
    assert refused(5, "gradcheck", "linear") == "the gradients of 1 of 1 layers are off, head_logits first."


def test_gradcheck_unknown_network_is_refused():
    assert "unknown network" in refused(2, "gradcheck", "nothing")
