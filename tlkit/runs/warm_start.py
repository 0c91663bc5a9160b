"""A previous run to start from (`--from RUN`): its network, its head, the subsets of its images."""

from collections.abc import Sequence
from dataclasses import MISSING, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
import numpy as np
from tlkit.errors import OptionError, RunError
from tlkit.runs.run import MODEL, load_run, read_manifest
from tlkit.settings.commands import FeaturesSettings
from tlkit.settings.training import FinetuneSettings, TrainingSettings
from tlkit.settings.base import option_name


INHERITED = ("backbone", "image_size", "resize", "dropout", "batch_norm", "hidden")  # what makes the networks alike
CLASS_LAYERS = ("head_logits", "head_linear")  # layers with a column per class


def inherit_settings(settings: FinetuneSettings) -> FinetuneSettings:
    """The settings with those that must be the former run's taken from it.

    raises: OptionError where another value was asked for; RunError
    """
    if not settings.from_run:
        return settings
    run = load_run(settings.from_run)
    run.network_file()
    facts = run.read_json("model.json")
    theirs = run.read_json("settings.json") | _head_of(facts, settings.from_run) | {"backbone": facts["backbone"]}
    defaults = {item.name: item.default for item in fields(FinetuneSettings) if item.default is not MISSING}
    for name in INHERITED:
        if getattr(settings, name) not in (defaults[name], theirs[name]):
            raise OptionError(
                f"{option_name(name)} is {getattr(settings, name)}, but '{settings.from_run}' has {theirs[name]}; "
                "leave it out, or start without --from."
            )
    inherited = {name: theirs[name] for name in INHERITED}
    if settings.hflip is None:
        inherited["hflip"] = theirs.get("hflip")  # what was never seen mirrored is not mirrored now
    return replace(settings, from_run=str(Path(settings.from_run).resolve()), **inherited)


def previous_subsets(settings: TrainingSettings | FeaturesSettings) -> dict[str, str]:
    """The side each group of equal pixels was on in the former run; nothing without one.

    raises: RunError
    """
    if not settings.from_run:
        return {}
    rows = load_run(settings.from_run).read_rows("split.csv")
    return {row["group"]: row["split"] for row in rows}


def previous_backbone(settings: TrainingSettings) -> Any:
    """The former run's network up to its head: its own layers with its own weights, to be trained further.

    raises: RunError
    """
    import keras

    former = _opened(_model_file(settings.from_run)[0])
    first = min((layer for layer in former.layers if layer.name.startswith("head_")), key=former.layers.index)
    return keras.Model(former.input, first.input, name=settings.backbone)


def transfer_head(classifier: Any, class_names: Sequence[str], settings: TrainingSettings) -> None:
    """Give a new head what the former one had learnt: of classes both know, their columns; new ones begin at zero."""
    former, known = _network(settings.from_run), read_manifest(load_run(settings.from_run)).class_names
    columns = [(new, known.index(name)) for new, name in enumerate(class_names) if name in known]
    for layer in classifier.layers:
        if layer.name in CLASS_LAYERS:
            layer.set_weights(_columns(layer.get_weights(), former.get_layer(layer.name).get_weights(), columns))
        elif layer.name.startswith("head_") and layer.get_weights():
            layer.set_weights(former.get_layer(layer.name).get_weights())


def class_change_notes(class_names: Sequence[str], settings: TrainingSettings) -> list[str]:
    """Which classes are new, and which are no more."""
    if not settings.from_run:
        return []
    known = read_manifest(load_run(settings.from_run)).class_names
    new, gone = sorted(set(class_names) - set(known)), sorted(set(known) - set(class_names))
    notes = [f"new classes: {', '.join(new)}."] if new else []
    return notes + ([f"forgotten, for there are no images of them here: {', '.join(gone)}."] if gone else [])


def _head_of(facts: dict[str, Any], path: str) -> dict[str, Any]:
    try:
        head = facts["head"]
        hidden = ",".join(map(str, head["hidden"])) or "0"
        return {"dropout": head["dropout"], "batch_norm": head["batch_norm"], "hidden": hidden}
    except (KeyError, TypeError):
        raise RunError(f"'{path}' does not say how its head is built; train it again, then start from it.") from None


def _network(path: str) -> Any:
    """The former run's classifier."""
    return _loaded(*_model_file(path))


def _model_file(path: str) -> tuple[Path, str]:
    run = load_run(path)
    return run.network_file(), read_manifest(run).sha256[MODEL]


@lru_cache(1)
def _loaded(file: Path, sha256: str) -> Any:
    """The network of a file of this content, loaded once; to be read, not trained."""
    return _opened(file)


def _opened(file: Path) -> Any:
    from tlkit.engines.keras import load_network

    try:
        return load_network(file)
    except (OSError, ValueError) as error:
        raise RunError(f"'{file}' cannot be opened ({error}); train again or restore it.") from None


def _columns(new: list[np.ndarray], former: list[np.ndarray], columns: list[tuple[int, int]]) -> list[np.ndarray]:
    """Weights whose last axis are the classes, with the columns of known ones taken over."""
    for values, others in zip(new, former, strict=True):
        for place, other in columns:
            values[..., place] = others[..., other]
    return new
