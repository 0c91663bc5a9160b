"""`tlkit gradcheck`: a table, and exit code 5 where a layer is off."""

from tests.cli.test_cli import refused, tlkit
from tlkit.models import gradient_check as gradients


def test_a_table_with_a_row_per_layer():
    done = tlkit("gradcheck", "lenet5_relu")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["conv1", "conv2", "fc1", "fc2", "head_logits"]
    assert lines[-1].startswith("5 layers, the largest relative error is ")


def test_a_layer_that_is_off_ends_with_5(monkeypatch):
    monkeypatch.setattr(gradients, "TOLERANCE", -1.0)
    assert refused(5, "gradcheck", "linear") == "the gradients of 1 of 1 layers are off, head_logits first."


def test_an_unknown_network_is_refused():
    assert "there is no network" in refused(2, "gradcheck", "nothing")
