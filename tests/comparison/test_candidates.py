"""The candidates, from simple to deep."""

import pytest

from tlkit.comparison.candidates import build_candidates, missing_requirements
from tlkit.errors import OptionError
from tlkit.models.backbones import cached_backbones
from tlkit.settings.commands import CompareSettings


@pytest.fixture
def without_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


@pytest.fixture
def with_weights(monkeypatch, shared_data):
    monkeypatch.setenv("KERAS_HOME", str(shared_data / "keras_home"))


def test_build_candidates_without_weights_has_no_pretrained(without_weights):
    assert cached_backbones() == []
    names = [candidate.name for candidate in build_candidates(CompareSettings())]
    assert names == ["chance", "majority", "colors", "pixels", "classic", "linear", "hinge", "mlp", "lenet"]
    assert missing_requirements() == [
        "no pretrained weights are cached; `tlkit finetune DATA` downloads those of mobilenet_v2."
    ]


def test_build_candidates_with_weights_ends_with_upper_blocks_of_the_best_frozen(with_weights):
    names = cached_backbones()
    candidates = {candidate.name: candidate for candidate in build_candidates(CompareSettings())}
    assert list(candidates)[-len(names) - 1 :] == [*names, "lower"]
    chosen = candidates["lower"].make_settings({name: index / 10 for index, name in enumerate(names)})
    assert (chosen.backbone, chosen.freeze) == (names[-1], "lower")
    assert candidates["lower"].make_settings({}).backbone == "mobilenet_v2"
    assert missing_requirements() == []


def test_build_candidates_time_limit_is_for_what_can_do_with_less(with_weights):
    limited = set()
    for candidate in build_candidates(CompareSettings()):
        if candidate.make_settings:
            recipe = candidate.make_recipe(candidate.make_settings({}))
            assert getattr(recipe.with_time_limit(float("inf")).settings, "time_limit", "") == ""
            if getattr(recipe.with_time_limit(60).settings, "time_limit", ""):
                limited.add(candidate.name)
    assert limited == {"linear", "hinge", "mlp", "lenet", "lower"}


def test_build_candidates_passes_the_shared_settings_on(with_weights):
    asked = CompareSettings(seed=5, validation_split=0.4, resize="pad")
    for candidate in build_candidates(asked):
        if candidate.make_settings:
            settings = candidate.make_settings({})
            assert (settings.seed, settings.validation_split, settings.resize) == (5, 0.4, "pad")


def test_build_candidates_only_keeps_the_order_and_refuses_unknown_names(without_weights):
    names = [candidate.name for candidate in build_candidates(CompareSettings(only="linear,chance"))]
    assert names == ["chance", "linear"]
    with pytest.raises(OptionError, match="--only has 'lenets'; expected some of chance, majority, colors"):
        build_candidates(CompareSettings(only="lenets"))


def test_build_candidates_only_takes_every_name_of_a_network(with_weights):
    def names(only):
        return [candidate.name for candidate in build_candidates(CompareSettings(only=only))]

    assert names("lenet") == names("LeNet5-ReLU") == names("lenet5_relu,lenet") == ["lenet"]
    assert names("MobileNetV2, chance") == ["chance", "mobilenet_v2"]
    assert names("mobilenet_v2,resnet18,lenet5,mlp") == ["mlp", "resnet18", "lenet5", "mobilenet_v2"]
    trained = build_candidates(CompareSettings(only="lenet5"))[0]
    assert (trained.kind, trained.make_settings({}).model) == ("from scratch", "lenet5")


def test_build_candidates_only_refuses_a_backbone_without_weights(without_weights):
    for only in ("resnet", "resnet50", "mobilenet_v2,linear"):
        with pytest.raises(OptionError, match=r"the weights of \w+ are not on this machine; `tlkit finetune DATA --b"):
            build_candidates(CompareSettings(only=only))
