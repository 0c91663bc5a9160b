"""Trainings of networks: features of every image, phases on them, the finished model."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split, split_folder
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import FeatureExtractor, build_in_background, prepare_extractor
from tlkit.runs.warm_start import previous_subsets
from tlkit.settings.training import FinetuneSettings, TrainingSettings
from tlkit.utils.progress import Progress

if TYPE_CHECKING:
    from tlkit.training.estimate import EstimateInput
    from tlkit.training.phases import FittedNetwork
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from tlkit.data.augment import choose_augmentation, flip_note, flip_sensitive_class
from tlkit.evaluation.report import Report
from tlkit.runs.run import InferenceStage, Run, finish_run
from tlkit.runs.unfinished import delete_checkpoints, save_or_check_split
from tlkit.runs.warm_start import class_change_notes
from tlkit.settings.training import AnySettings, TrainSettings, is_random
from tlkit.training.artifacts import base_metrics
from tlkit.training.diagnosis import FitEvidence, diagnose
from tlkit.training.loop.losses import is_imbalanced
from tlkit.training.phases import FittedNetwork
from tlkit.utils.progress import Stopwatch

if TYPE_CHECKING:
    from tlkit.training.phases import FittedNetwork
from tlkit.training.recipe import TrainingResult


@dataclass(frozen=True)
class Dataset:
    """What one pass over the images leaves."""

    network: Any
    lower: FeatureExtractor
    extracted: Features
    split: Split

    @property
    def ready(self) -> "EstimateInput":
        """What a forecast is made from."""
        from tlkit.training.estimate import EstimateInput

        part, held_out = self.split.train, len(self.split.validation) + len(self.split.test)
        return EstimateInput(self.network, self.lower.engine, part.files, (len(part), held_out), part.num_classes)


def read_images(folder: ImageFolder, settings: TrainingSettings, progress: Progress) -> Dataset:
    """Every image's features, while the network is still being built, and the split."""
    sides = previous_subsets(settings)
    with ThreadPoolExecutor(1) as background:
        body = build_in_background(background, settings)
        lower = prepare_extractor(background, body, settings)
        extracted = extract(folder, lower, (settings.image_size, settings.resize), progress)
        split = split_folder(extracted.folder, settings.validation_split, settings.test_split, settings.seed, sides)
        return Dataset(body.result(), lower.result(), extracted, split)


def train_strategy(
    read: Dataset, settings: TrainingSettings, progress: Progress, checkpoints: Path | None = None
) -> "FittedNetwork":
    """The head, and what else the strategy trains.

    checkpoints: a folder to write them to, and to go on from
    """
    from tlkit.training.blocks_phase import train_blocks
    from tlkit.training.phases import Below, augmented_training_images, train_top

    seen = augmented_training_images(read.lower, read.split.train, settings, progress)
    below = Below(read.extracted, read.lower.file, seen)
    trained = train_top(read.network, below, read.split, settings, progress, checkpoints)
    if isinstance(settings, FinetuneSettings) and settings.freeze == "lower":
        return train_blocks(read.network, trained, read.split, settings, progress, checkpoints)
    return trained


def collect_metrics(
    read: Dataset,
    trained: FittedNetwork,
    reports: tuple[Report, Report | None],
    settings: TrainingSettings,
    decision: dict[str, Any],
) -> dict[str, Any]:
    """What `metrics.json` holds but for the seconds and what is measured besides."""
    split = read.split
    metrics = base_metrics(*reports, split, read.extracted)
    metrics |= {"selected_on_validation": True, "epochs": len(trained.history), "best_epoch": trained.best}
    metrics |= {name: decision[name] for name in ("advice", "forecast")}
    kept = next(row for row in trained.last_phase if row["epoch"] == trained.best)
    seen = FitEvidence(trained.history, kept, split.train.num_classes, len(split.validation), settings)
    metrics["diagnosis"] = [asdict(found) for found in diagnose(seen)]
    former = class_change_notes(split.train.class_names, settings)
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
    return None if chosen else flip_note(names, flip)


def _weights_notes(settings: TrainingSettings) -> list[str]:
    if not is_random(settings) or settings.freeze == "none":
        return []
    return ["a frozen backbone with random weights is worth little; add --freeze none, or give it --weights."]


def _unmirrored(settings: AnySettings, folder: ImageFolder) -> AnySettings:
    """From scratch, digits and the like are not mirrored unless that is asked for: lenet5 has 0.99 instead of 0.97."""
    if isinstance(settings, TrainSettings) and settings.hflip is None and flip_sensitive_class(folder.class_names):
        return replace(settings, hflip=False)
    return settings


def _trained(
    run: Run, folder: ImageFolder, settings: TrainingSettings, progress: Progress, clock: Stopwatch
) -> TrainingResult:
    read = read_images(folder, settings, progress)
    save_or_check_split(run, read.split)
    clock.lap("features")
    # gone
    from tlkit.training.artifacts import write_artifacts
    from tlkit.training.auto_freeze import choose_strategy
    from tlkit.training.cross_validation import RepeatedTraining, cross_validate
    from tlkit.training.loop.tensorboard import FOLDER, TensorBoard

    settings, decision = choose_strategy(run, read.ready, (read.extracted, read.split), settings, clock, progress)
    clock.lap("choose")
    watch: Progress = TensorBoard(progress, run.path / FOLDER) if settings.tensorboard else progress
    first = read.network.get_weights()
    trained = train_strategy(read, settings, watch, run.path)
    clock.lap("fit")
    report, test, stages = write_artifacts(run, trained, read.extracted, read.split, settings)
    metrics = collect_metrics(read, trained, (report, test), settings, decision)

    def train_again(split: Split, other: TrainingSettings) -> "FittedNetwork":
        return train_strategy(replace(read, split=split), other, progress)

    trainer = RepeatedTraining(read.network, first, train_again)
    metrics |= cross_validate(trainer, read.extracted, read.split, settings, progress)
    metrics["seconds"] = clock.laps | {"total": clock.total()}
    run.write_json("metrics.json", metrics)
    delete_checkpoints(run)
    finish_run(run, _facts(read.split, settings, stages) | {"cut": trained.cut})
    return TrainingResult(run, read.split, report, test, metrics, trained.history)


FACTS = ("backbone", "weights", "freeze", "image_size", "resize", "precision", "engine")


def _facts(split: Split, settings: TrainingSettings, stages: tuple[InferenceStage, ...]) -> dict[str, Any]:
    """What `model.json` says of this classifier."""
    from tlkit.training.phases import choose_head

    chosen = {name: getattr(settings, name) for name in FACTS}
    more = {"head": asdict(choose_head(settings, len(split.train))), "stages": [asdict(stage) for stage in stages]}
    return {"class_names": list(split.train.class_names), **chosen, **more}
