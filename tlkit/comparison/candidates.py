"""The candidates of a comparison, from simple to deep."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tlkit.errors import OptionError
from tlkit.models.architectures.registry import find_trainable
from tlkit.models.backbones import BACKBONES, cached_backbones
from tlkit.settings.commands import CompareSettings
from tlkit.settings.training import ClassicSettings, FinetuneSettings, TrainSettings
from tlkit.training.classic import classic_recipe
from tlkit.training.finetune import finetune_recipe
from tlkit.training.from_scratch import scratch_recipe
from tlkit.training.recipe import Recipe

PAGES = {"report": False, "plots": False}  # `tlkit report` makes the page of a candidate that a person looks at
DEFAULT_BACKBONE = "mobilenet_v2"  # whose upper blocks are trained where no frozen backbone was tried


@dataclass(frozen=True)
class Candidate:
    """One kind of classifier.

    Attributes:
        name: what it is asked for by, and the name of its run folder
        title: what it is, in words
        kind: "baseline", "handcrafted", "from scratch" or "pretrained"
        min_seconds: it is started only with this much time, enough for a small folder; a longer limit is divided in
            proportion
        make_settings: its settings, from the accuracies of the candidates trained before it; None where it is not
            trained
        make_recipe: its recipe, from its settings
        required_freeze: "freeze" in its model.json, where a lack of time could have made it another; "" for any
        needs_weights: whether it starts from the official weights of the backbone in its settings
        depends_on_others: whether its settings depend on the accuracies of others
    """

    name: str
    title: str
    kind: str
    min_seconds: float = 0
    make_settings: Callable[[Mapping[str, float]], Any] | None = None
    make_recipe: Callable[[Any], Recipe[Any]] | None = None
    required_freeze: str = ""
    needs_weights: bool = False
    depends_on_others: bool = False


def build_candidates(settings: CompareSettings) -> list[Candidate]:
    """Make the candidates that can be trained on this machine: the usual ones, or those asked for, from the simplest.

    Raises:
        OptionError: for a name that neither a candidate nor a network has, and if weights are missing
    """
    candidates = [*BASELINES, *(candidate for group in CANDIDATE_GROUPS.values() for candidate in group(settings))]
    if not settings.only:
        return candidates
    names = [candidate.name for candidate in candidates]
    asked = [_candidate_name(name, names) for name in _names_asked_for(settings)]
    return [candidate for candidate in candidates if candidate.name in asked]


def _names_asked_for(settings: CompareSettings) -> list[str]:
    return [name.strip() for name in settings.only.split(",")]


def _candidate_name(asked: str, names: Sequence[str]) -> str:
    """Find a candidate by its own name, or by any that `--backbone` or `--model` takes."""
    if asked in names:
        return asked
    try:
        network = find_trainable(asked).name
    except OptionError:
        raise OptionError(
            f"--only has '{asked}'; expected some of {', '.join(names)}, or another network of `tlkit models`."
        ) from None
    name = next((name for name, (model, _) in SCRATCH_MODELS.items() if model == network), network)
    if name not in names:
        raise OptionError(
            f"--only has '{asked}', but the weights of {network} are not on this machine; "
            f"`tlkit finetune DATA --backbone {network}` downloads them."
        )
    return name


def missing_requirements() -> list[str]:
    """Say in sentences what would add candidates."""
    notes = []
    if not _has_classic():
        notes.append("handcrafted features need scikit-learn and scikit-image: pip install 'tlkit[classic]'.")
    if not cached_backbones():
        notes.append(f"no pretrained weights are cached; `tlkit finetune DATA` downloads those of {DEFAULT_BACKBONE}.")
    return notes


BASELINES = (  # they need no training
    Candidate("chance", "any class at random", "baseline"),
    Candidate("majority", "the commonest class", "baseline"),
)


def _handcrafted(settings: CompareSettings) -> list[Candidate]:
    if not _has_classic():
        return []
    shared = _shared(settings)
    colors = ClassicSettings(descriptor="colors", classifier="logistic", **shared)
    pixels = ClassicSettings(descriptor="pixels", classifier="svm", **shared)
    classic = ClassicSettings(descriptor="auto", classifier="svm", **shared)
    return [
        Candidate("colors", "two colors, linear", "handcrafted", 5, lambda _: colors, classic_recipe),
        Candidate("pixels", "SVM on pixels", "handcrafted", 5, lambda _: pixels, classic_recipe),
        Candidate("classic", "best descriptors, SVM", "handcrafted", 40, lambda _: classic, classic_recipe),
    ]


def _has_classic() -> bool:
    return all(find_spec(module) for module in ("sklearn", "skimage"))


SCRATCH_MODELS = {  # network and title, by candidate
    "linear": ("linear", "linear on pixels"),
    "hinge": ("linear", "linear, hinge loss"),
    "mlp": ("mlp", "MLP"),
    "lenet": ("lenet5_relu", "LeNet"),
}


def _from_scratch(settings: CompareSettings) -> list[Candidate]:
    def candidate(name: str, model: str, title: str) -> Candidate:
        """Make the candidate of an architecture."""
        loss: dict[str, Any] = {"loss": "hinge"} if name == "hinge" else {}
        chosen = TrainSettings(model=model, **loss, **_shared(settings))
        return Candidate(name, title, "from scratch", 15, lambda _: chosen, scratch_recipe)

    others = {name: (name, f"{name}, from scratch") for name in _other_architectures(settings)}
    return [candidate(name, *described) for name, described in (SCRATCH_MODELS | others).items()]


def _other_architectures(settings: CompareSettings) -> list[str]:
    """List further networks that --only names; one with pretrained weights is not trained from scratch."""
    networks = list[str]()
    for name in _names_asked_for(settings):
        with suppress(OptionError):  # the name of a candidate, or of nothing
            networks.append(find_trainable(name).name)
    usual = {model for model, _ in SCRATCH_MODELS.values()}
    return [name for name in dict.fromkeys(networks) if name not in usual and name not in BACKBONES]


def _pretrained(settings: CompareSettings) -> list[Candidate]:
    names = cached_backbones()
    if not names:
        return []

    def frozen(name: str) -> Candidate:
        """Make the candidate of a frozen backbone."""
        chosen = FinetuneSettings(backbone=name, freeze="all", **_shared(settings))
        return Candidate(
            name, f"{name}, frozen", "pretrained", 10, lambda _: chosen, finetune_recipe, needs_weights=True
        )

    def best_frozen(accuracies: Mapping[str, float]) -> FinetuneSettings:
        """Choose the backbone with the best accuracy so far."""
        return FinetuneSettings(backbone=_best_backbone(names, accuracies), freeze="lower", **_shared(settings))

    top_blocks = Candidate(
        *("lower", "upper blocks", "pretrained", 45, best_frozen, finetune_recipe),
        required_freeze="lower",
        needs_weights=True,
        depends_on_others=True,
    )
    return [*(frozen(name) for name in names), top_blocks]


def _best_backbone(names: Sequence[str], accuracies: Mapping[str, float]) -> str:
    """Choose the backbone that was the best frozen, or a usual one where none was tried."""
    tried = [name for name in names if name in accuracies]
    if tried:
        return max(tried, key=lambda name: accuracies[name])
    return DEFAULT_BACKBONE if DEFAULT_BACKBONE in names else names[-1]


CANDIDATE_GROUPS: dict[str, Callable[[CompareSettings], list[Candidate]]] = {  # by kind, from simple to deep
    "handcrafted": _handcrafted,
    "from scratch": _from_scratch,
    "pretrained": _pretrained,
}


def _shared(settings: CompareSettings) -> dict[str, Any]:
    names = ("coverage", "golden", "validation_split", "seed", "resize", "gray_range", "max_megapixels")
    given = {name: getattr(settings, name) for name in names} | settings.data_options
    return given | PAGES
