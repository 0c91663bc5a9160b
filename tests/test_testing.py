"""Every backbone of the table has every property; and a backbone without one is found out."""

import numpy as np
import pytest

from tests.networks import keras
from tlkit import check_backbone
from tlkit import testing as checks
from tlkit.errors import OptionError
from tlkit.models.backbones import _BACKBONES
from tlkit.models.head import attach_head
from tlkit.training.loop.fit import fit

QUICK = ("mobilenet_025",)


@pytest.mark.parametrize(
    "name", [pytest.param(row.name, marks=() if row.name in QUICK else pytest.mark.slow) for row in _BACKBONES]
)
def test_a_backbone_stands_everything_that_is_done_with_it(name):
    findings = check_backbone(name)
    assert len(findings) == len(checks.CHECKS)
    assert [f"{finding.name}: {finding.detail}" for finding in findings if not finding.holds] == []


def finding(monkeypatch, title, **changes):
    for name, value in changes.items():
        monkeypatch.setattr(checks, name, value)
    monkeypatch.setattr(checks, "CHECKS", {title: checks.CHECKS[title]})
    return check_backbone("mobilenet_025")[0]


def test_features_that_are_not_those_of_the_lower_part_are_found_out(monkeypatch):
    class Wrong(checks._Computed):
        def __getitem__(self, rows):
            return super().__getitem__(rows) * np.float32(1.5)

    found = finding(monkeypatch, "training on cached features equals training without", _Computed=Wrong)
    assert not found.holds


@pytest.mark.parametrize("name", ["conv1", "conv1_bn", "head_batch_norm"])
def test_a_layer_that_moves_or_stays_though_it_should_not_is_found_out(name, monkeypatch):
    whole = []

    def attach(*parts):
        whole.append(attach_head(*parts))
        return whole[-1]

    def meddle(upper, *parts):
        layer = whole[-1].get_layer(name)
        before = layer.get_weights()
        fit(upper, *parts)
        layer.set_weights([value + 1 for value in before] if name != "head_batch_norm" else before)

    found = finding(monkeypatch, "exactly the layers above the cut move", attach_head=attach, fit_above=meddle)
    assert (found.holds, found.detail) == (False, name)


def test_an_engine_that_computes_something_else_is_found_out(monkeypatch):
    def other(network, pixels):
        keras.utils.set_random_seed(5)
        clone = keras.models.clone_model(network)
        return checks_to_litert(clone, pixels)

    checks_to_litert = checks.to_litert
    assert not finding(monkeypatch, "the engine agrees, whatever the neighbours of a row", to_litert=other).holds


def test_an_unknown_backbone_is_refused():
    with pytest.raises(OptionError, match="there is no backbone"):
        check_backbone("mobilenut")
