"""What `metrics.json` says of a training, and what a person should know of the data and the settings."""

from dataclasses import asdict
from typing import Any

from tlkit.data.augment import choose_augmentation
from tlkit.data.mirrors import mirror_hint
from tlkit.data.split import Split
from tlkit.evaluation.report import Report
from tlkit.settings import TrainingSettings, TrainSettings, is_random
from tlkit.training.diagnosis import Seen, diagnose
from tlkit.training.former import former_notes
from tlkit.training.images import Read
from tlkit.training.losses import is_imbalanced
from tlkit.training.tables import measure
from tlkit.training.upper import Trained


def collect_figures(
    read: Read,
    trained: Trained,
    reports: tuple[Report, Report | None],
    settings: TrainingSettings,
    decision: dict[str, Any],
) -> dict[str, Any]:
    """What `metrics.json` holds but for the seconds and what is measured besides."""
    split = read.split
    metrics = measure(*reports, split, read.extracted)
    metrics |= {"selected_on_validation": True, "epochs": len(trained.history), "best_epoch": trained.best}
    metrics |= {name: decision[name] for name in ("advice", "forecast")}
    kept = next(row for row in trained.last_phase if row["epoch"] == trained.best)
    seen = Seen(trained.history, kept, split.train.num_classes, len(split.validation), settings)
    metrics["diagnosis"] = [asdict(found) for found in diagnose(seen)]
    former = former_notes(split.train.class_names, settings)
    notes = [*_weights_notes(settings), *former, *decision["notes"], *split.notes, *_data_notes(split, settings)]
    metrics["notes"] = [*notes, *trained.notes]
    return metrics


def _data_notes(split: Split, settings: TrainingSettings) -> list[str]:
    """What there is to be said of the classes: mirrored views that may mislead, and rare classes."""
    names, counts = split.train.class_names, split.train.counts
    hint = _mirror_note(names, settings)
    notes = [hint] if hint else []
    if is_imbalanced(split.train.labels):
        most, least = names[counts.index(max(counts))], names[counts.index(min(counts))]
        weigh = "" if settings.class_weight != "none" else "; --class-weight balanced gives rare classes more weight"
        notes.append(
            f"'{most}' has {max(counts)} images to train on, '{least}' {min(counts)}: "
            f"the best epoch is that of the highest macro-F1{weigh}."
        )
    return notes


def _mirror_note(names: tuple[str, ...], settings: TrainingSettings) -> str | None:
    """Only where nobody has chosen: a training from scratch that does not mirror was told so by the names."""
    flip = choose_augmentation(settings).flip
    if settings.freeze == "all" or settings.augment == "none":
        return None
    chosen = settings.hflip is not None and not (isinstance(settings, TrainSettings) and not flip)
    return None if chosen else mirror_hint(names, flip)


def _weights_notes(settings: TrainingSettings) -> list[str]:
    if not is_random(settings) or settings.freeze == "none":
        return []
    return ["a frozen backbone with random weights is worth little; add --freeze none, or give it --weights."]
