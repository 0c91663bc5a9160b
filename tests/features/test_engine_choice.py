"""The engine for many images: a trial once, then what it showed, unless features are cached already."""

from dataclasses import replace

import pytest

from tests.networks import shared_body
from tlkit.data.image import ImageSpec
from tlkit.engines.base import EngineSpec
from tlkit.engines.trial import Trial, can_try
from tlkit.features import engine_choice
from tlkit.features.engine_choice import choose_by_trial
from tlkit.features.extract import extract
from tlkit.features.extractor import ExtractorSpec, completed, convert_extractor
from tlkit.utils.progress import Silent

SPEC = ExtractorSpec(ImageSpec(64), EngineSpec("litert"))


class Source:
    """A network with an identity."""

    def __init__(self):
        self.built = 0

    def identity(self, cut=""):
        return ("body", 64)

    def build(self):
        self.built += 1
        return shared_body()


@pytest.fixture
def trials(tmp_path, monkeypatch):
    """A cache of its own, in which OpenVINO is twice as fast; the trials that were made."""
    if not can_try():
        pytest.skip("OpenVINO is not installed")
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(engine_choice, "MIN_IMAGES", 100)
    made = []

    def try_once(network):
        made.append(Trial({"litert": 100.0, "openvino": 200.0}))
        return made[-1]

    monkeypatch.setattr(engine_choice, "try_engines", try_once)
    monkeypatch.setattr(engine_choice, "recall_trial", lambda network: made[0] if made else None)
    return made


@pytest.fixture
def folder(colors):
    from tlkit.data.folder import read_folder

    return read_folder(colors)


def test_few_images_are_not_worth_a_trial(trials, folder):
    assert choose_by_trial(Source(), SPEC, folder.files[:20]) == ("litert", "")
    assert trials == []


def test_many_images_are_worth_one_trial_that_is_remembered(trials, folder):
    source, many = Source(), list(folder.files) * 3
    name, sentence = choose_by_trial(source, SPEC, many)
    assert (name, len(trials), source.built) == ("openvino", 1, 1)
    assert sentence.endswith("OpenVINO 200 images/s on this machine; OpenVINO is used.")
    assert choose_by_trial(source, SPEC, folder.files[:20])[0] == "openvino"
    assert (len(trials), source.built) == (1, 1)


def test_engine_that_was_asked_for_is_not_tried(trials, folder):
    asked = replace(SPEC, engine=EngineSpec("openvino", "bfloat16"))
    assert choose_by_trial(Source(), asked, list(folder.files) * 3) == ("openvino", "")
    assert trials == []


def test_cached_features_keep_the_engine_that_computed_them(trials, folder):
    source = Source()
    extractor = completed(convert_extractor(source.build(), source.identity(), SPEC))
    extract(folder, extractor, SPEC.image, Silent())
    assert choose_by_trial(source, SPEC, list(folder.files) * 3) == ("litert", "")
    assert trials == []
    trials.append(Trial({"litert": 100.0, "openvino": 200.0}))
    assert choose_by_trial(source, SPEC, folder.files) == ("litert", "")
