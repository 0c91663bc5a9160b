"""The candidates of a comparison, from simple to deep."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tlkit.errors import OptionError
from tlkit.models.backbones import _BACKBONES, imagenet_file
from tlkit.settings.commands import CompareSettings
from tlkit.settings.training import AnySettings, ClassicSettings, FinetuneSettings, TrainSettings

Choose = Callable[[Mapping[str, float]], AnySettings]  # from the accuracies of the rungs below to what to train
DEFAULT_BACKBONE = "mobilenet_v2"  # whose upper blocks are trained where no frozen backbone was tried


@dataclass(frozen=True)
class Candidate:
    """One kind of classifier.

    name    what it is asked for by, and the name of its run folder
    title   what it is, in words
    kind    baseline, by hand, from scratch or pretrained
    least   seconds it is begun with, enough for a small folder; a longer limit is dealt out in proportion
    choose  what to train; None for what needs no training
    """

    name: str
    title: str
    kind: str
    least: float = 0
    choose: Choose | None = None


def build_candidates(settings: CompareSettings) -> list[Candidate]:
    """The rungs this machine can climb, from the lowest: those asked for.

    raises: OptionError for a rung there is not
    """
    rungs = [*baselines(), *_handcrafted(settings), *_from_scratch(settings), *_pretrained(settings)]
    if not settings.only:
        return rungs
    names, asked = [rung.name for rung in rungs], settings.only.split(",")
    if unknown := [name for name in asked if name not in names]:
        raise OptionError(f"--only names '{unknown[0]}'; the rungs here are {', '.join(names)}.")
    return [rung for rung in rungs if rung.name in asked]


def cached_backbones() -> list[str]:
    """Names of the backbones whose official weights need no download, the smallest file first."""
    files = {row.name: imagenet_file(row, row.image_size) for row in _BACKBONES}
    found = {name: file.stat().st_size for name, file in files.items() if file.is_file()}
    return sorted(found, key=lambda name: found[name])


def missing_requirements() -> list[str]:
    """What would make the ladder longer, in sentences."""
    notes = []
    if not _has_classic():
        notes.append(
            "without scikit-learn and scikit-image nothing is described by hand: pip install 'tlkit[shallow]'."
        )
    if not cached_backbones():
        notes.append(f"no pretrained weights are at hand; `tlkit finetune DATA` downloads {DEFAULT_BACKBONE}'s.")
    return notes


def baselines() -> list[Candidate]:
    """What needs no training."""
    return [
        Candidate("chance", "any class at random", "baseline"),
        Candidate("majority", "the commonest class", "baseline"),
    ]


def _handcrafted(settings: CompareSettings) -> list[Candidate]:
    if not _has_classic():
        return []
    shared = _shared(settings)
    colours = ClassicSettings(descriptor="colours", classifier="logistic", **shared)
    classic = ClassicSettings(descriptor="auto", classifier="svm", **shared)
    return [
        Candidate("colours", "two colours, linear", "by hand", 5, lambda _: colours),
        Candidate("classic", "best descriptors, SVM", "by hand", 40, lambda _: classic),
    ]


def _from_scratch(settings: CompareSettings) -> list[Candidate]:
    return [
        Candidate("linear", "linear on pixels", "from scratch", 15, _network("linear", settings)),
        Candidate("mlp", "MLP", "from scratch", 15, _network("mlp", settings)),
        Candidate("lenet", "LeNet", "from scratch", 15, _network("lenet5_relu", settings)),
    ]


def _pretrained(settings: CompareSettings) -> list[Candidate]:
    names = cached_backbones()
    frozen = [Candidate(name, f"{name}, frozen", "pretrained", 10, _frozen(name, settings)) for name in names]
    if not names:
        return []
    return [*frozen, Candidate("lower", "upper blocks", "pretrained", 45, _upper_blocks(names, settings))]


def _network(model: str, settings: CompareSettings) -> Choose:
    chosen = TrainSettings(model=model, **_shared(settings))
    return lambda _: chosen


def _frozen(name: str, settings: CompareSettings) -> Choose:
    chosen = FinetuneSettings(backbone=name, freeze="all", **_shared(settings))
    return lambda _: chosen


def _upper_blocks(at_hand: Sequence[str], settings: CompareSettings) -> Choose:
    """Of the backbone that was the best frozen."""

    def choose(accuracies: Mapping[str, float]) -> AnySettings:
        tried = {name: accuracies[name] for name in at_hand if name in accuracies}
        usual = DEFAULT_BACKBONE if DEFAULT_BACKBONE in at_hand else at_hand[-1]
        best = max(tried, key=lambda name: tried[name]) if tried else usual
        return FinetuneSettings(backbone=best, freeze="lower", **_shared(settings))

    return choose


def _shared(settings: CompareSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in ("validation_split", "seed", "resize")}


def _has_classic() -> bool:
    return all(find_spec(module) for module in ("sklearn", "skimage"))
