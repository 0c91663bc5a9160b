"""A backbone of each kind has every property, and one without a property is found out; `make backbones` checks all."""

import numpy as np
import pytest

from tests.networks import keras
from tlkit.errors import OptionError

QUICK = "mobilenet_025"
KINDS = ("convnext_tiny", "densenet121", "efficientnet_v2_b0", "inception_v3", "nasnet_mobile", "resnet50")


@pytest.fixture(scope="module")
def testing():
    """The module, which imports Keras."""
    from tlkit import testing

    return testing


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("name", [QUICK, *KINDS])
def test_check_backbone_has_every_property(name, testing):
    findings = testing.check_backbone(name)
    assert [finding.name for finding in findings] == list(testing.CHECKS)
    assert [f"{finding.name}: {finding.detail}" for finding in findings if not finding.holds] == []


def finding(testing, monkeypatch, title, **changes):
    """The finding of one check, with functions it relies on replaced by faulty ones."""
    for name, value in changes.items():
        monkeypatch.setattr(testing, name, value)
    monkeypatch.setattr(testing, "CHECKS", {title: testing.CHECKS[title]})
    return testing.check_backbone("mobilenet_025")[0]


@pytest.mark.slow
@pytest.mark.training
def test_check_backbone_other_features_than_the_extractors_are_found_out(testing, monkeypatch):
    class Wrong(testing._Computed):
        def __getitem__(self, indices):
            return super().__getitem__(indices) * np.float32(1.5)

    title = "training on cached features equals training without"
    assert not finding(testing, monkeypatch, title, _Computed=Wrong).holds


@pytest.mark.training
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("conv1", marks=pytest.mark.slow),
        "conv1_bn",
        pytest.param("head_batch_norm", marks=pytest.mark.slow),
    ],
)
def test_check_backbone_layer_that_moves_or_stays_though_it_should_not_is_found_out(name, testing, monkeypatch):
    from tlkit.models.head import attach_head
    from tlkit.training.phases import fit_top

    classifiers = []

    def attach(*parts):
        classifiers.append(attach_head(*parts))
        return classifiers[-1]

    def meddle(top, *parts):
        layer = classifiers[-1].get_layer(name)
        before = layer.get_weights()
        fit_top(top, *parts)
        layer.set_weights([value + 1 for value in before] if name != "head_batch_norm" else before)

    title = "exactly the layers above the cut move"
    wrong = finding(testing, monkeypatch, title, attach_head=attach, fit_top=meddle)
    assert (wrong.holds, wrong.detail) == (False, name)


def test_check_backbone_engine_that_computes_something_else_is_found_out(testing, monkeypatch):
    to_litert = testing.to_litert

    def convert_other(network, pixels):
        keras.utils.set_random_seed(5)
        return to_litert(keras.models.clone_model(network), pixels)

    title = "the engine agrees, and no row depends on its neighbors"
    assert not finding(testing, monkeypatch, title, to_litert=convert_other).holds


def test_check_backbone_unknown_name_is_refused(testing):
    with pytest.raises(OptionError, match="unknown backbone"):
        testing.check_backbone("mobilenut")
