"""Quality gates and their JUnit file."""

from xml.etree import ElementTree

import numpy as np
import pytest

from tlkit.errors import OptionError
from tlkit.evaluation.gates import check_gates, junit, parse_recall_gates
from tlkit.evaluation.report import Report

LABELS = np.array([0] * 10 + [1] * 5, np.int32)


def report(names=("cat", "dog", "cow")):
    """Eight of ten cats and five of five dogs are correct; there is no cow."""
    probabilities = np.eye(3, dtype=np.float32)[[0] * 8 + [1] * 2 + [1] * 5]
    return Report(names, LABELS, probabilities)


def test_a_gate_passes_at_its_limit():
    gates = check_gates(report(), (0.05, (0.02, 0.09)), 13 / 15, {"cat": 0.8, "dog": 1.0}, 0.05)
    assert [gate.passed for gate in gates] == [True] * 4
    assert [gate.value for gate in gates] == pytest.approx([13 / 15, 0.8, 1.0, 0.05])
    gates = check_gates(report(), (0.05, (0.02, 0.09)), 0.87, {"cat": 0.81}, 0.049)
    assert [gate.passed for gate in gates] == [False] * 3
    assert gates[1].failure == (
        "recall of 'cat' 80.0 % (8 of 10, 95 % interval 49.0 to 94.3 %) is below --min-recall cat=0.81"
    )
    assert gates[2].failure.endswith("is above --max-ece 0.049")


def test_what_cannot_be_measured_fails():
    gates = check_gates(report(), None, min_recall={"cow": 0.1}, max_ece=1.0)
    assert [(gate.value, gate.passed) for gate in gates] == [(None, False)] * 2
    assert check_gates(report(), None) == []


@pytest.mark.parametrize("text", ["cat", "=0.5", "cat=", "cat=nan", "cat=1.1", "cat=-0.1", "cat=x"])
def test_a_recall_is_a_class_and_a_fraction(text):
    with pytest.raises(OptionError, match="expected a class and a number from 0 to 1"):
        parse_recall_gates([text], ("cat",))


def test_names_of_every_kind_are_text_in_the_file():
    name = 'a<b>&"\x1b\udcff🐈'
    gates = check_gates(report((name, "dog", "cow")), None, min_recall={name: 0.9})
    root = ElementTree.fromstring(junit(gates, {"run": name}, 1.5))
    case = root.find("testsuite/testcase")
    assert 'a<b>&"' in case.get("name")
    assert "🐈" in case.get("name")
    assert case.find("failure").get("message").startswith("recall of")
    assert root.find("testsuite").get("time") == "1.500"
