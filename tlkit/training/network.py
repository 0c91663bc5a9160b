"""Trainings of networks: which phases they have, and what comes before and after them.

Keras is imported in two places only, `NetworkSource.build` and `NetworkRecipe.fit`, so that the pass
over the images starts before it (docs/decisions/008), and so that a head alone can do without it (046).
"""

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkit.data.augment import Augmentation, flip_note, flip_sensitive_class
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec
from tlkit.data.split import Split, split_folder
from tlkit.data.survey import choose_pixels, pixel_notes
from tlkit.engines.base import EngineSpec
from tlkit.features.engine_choice import choose_by_trial
from tlkit.features.extract import extract
from tlkit.features.extractor import ExtractorSpec, build_extractor, completed, pixel_extractor
from tlkit.models.head import Head
from tlkit.models.keras_setup import gpu_note
from tlkit.models.sources import NetworkSource
from tlkit.runs.manifest import InferenceStage
from tlkit.runs.run import Run
from tlkit.settings.training import NetworkSettings
from tlkit.training.artifacts import Fitted, SavedTop, run_rows
from tlkit.training.cross_validation import RepeatedTraining, can_fold, check_repeats, cross_validate
from tlkit.training.diagnosis import FitEvidence, TrainingRequest, diagnose
from tlkit.training.hardening import NO_HARDENING, Hardening
from tlkit.training.head.cost import forecast_head
from tlkit.training.head.learner import can_learn
from tlkit.training.loop.cost import END_SECONDS, CostEstimate
from tlkit.training.loop.history import LOSS, SELECTED_BY, choose_criterion
from tlkit.training.loop.plan import FitPlan
from tlkit.training.loop.time_limit import notes_on_epochs
from tlkit.training.recipe import FitDetails, NetworkDataset, Repeats
from tlkit.utils.parallel import once
from tlkit.utils.progress import Progress, Stopwatch
from tlkit.utils.text import parse_duration

if TYPE_CHECKING:
    from tlkit.training.estimate import EstimateInput
    from tlkit.training.phases import Phase


@dataclass(frozen=True)
class NetworkRecipe:
    """The recipe of a network.

    Attributes:
        command: "finetune" or "train"
        given: its settings as they were given, before anything was resolved
        freeze: "all", "lower", "none", or "auto" until it is decided
        make_head: from settings and the number of training images
        make_plan: of the first phase, from settings, the number of training images, and what selects the epoch
        trains_batch_norms: whether batch norms learn offsets, scales and statistics
        keep_initial_weights: whether the weights it starts from are kept where no epoch is better
        engine_note: what a trial of the engines showed; "" without one
        flips_by_class: whether classes such as digits decide that no view is mirrored, unless options say so
    """

    command: str
    settings: NetworkSettings
    given: NetworkSettings
    source: NetworkSource
    freeze: str
    make_head: Callable[[Any, int], Head]
    make_plan: Callable[[Any, int, str], FitPlan]
    trains_batch_norms: bool = False
    keep_initial_weights: bool = False
    flips_by_class: bool = False
    engine_note: str = ""

    @property
    def starts_from_stranger(self) -> bool:
        """True if it starts from a network that this machine did not make."""
        return self.source.is_strangers

    @property
    def image(self) -> ImageSpec:
        """The square it sees."""
        return ImageSpec(self.settings.image_size, **self.settings.pixel_options)

    @property
    def engine(self) -> EngineSpec:
        """The engine of its frozen part."""
        return EngineSpec(self.settings.engine, self.settings.precision)

    @property
    def augmentation(self) -> Augmentation:
        """The augmentation of training images."""
        return Augmentation.from_options(self.settings.augment, self.settings.amounts)

    @property
    def hardening(self) -> Hardening:
        """The hardening of its last phase."""
        kind, epsilon = (getattr(self.settings, name, None) for name in ("harden", "harden_epsilon"))
        return Hardening.from_options(kind or "none", 0 if self.freeze == "all" else epsilon or 0)

    def head(self, num_images: int) -> Head:
        """Choose the head for a number of training images."""
        return self.make_head(self.settings, num_images)

    def plan(self, num_images: int, criterion: str) -> FitPlan:
        """Plan the phase that trains the head, or everything."""
        plan = self.make_plan(self.settings, num_images, criterion)
        return replace(plan, keep_initial_weights=self.keep_initial_weights)

    def changed(self, options: Mapping[str, Any]) -> "NetworkRecipe":
        """Change some options."""
        freeze = options.get("freeze", self.freeze)
        return replace(self, freeze=freeze, settings=replace(self.settings, **options))

    def with_decided_freeze(self, freeze: str) -> "NetworkRecipe":
        """Decide the strategy where it is open."""
        return self.changed({"freeze": freeze}) if self.freeze == "auto" else self

    def adapted_to(self, folder: ImageFolder) -> "NetworkRecipe":
        """Resolve pixels, engine and mirroring; without mirrored views lenet5 has 0.99 on digits, not 0.97."""
        options: dict[str, Any] = choose_pixels(self.settings.resize, self.settings.gray_range, folder.survey)
        spec, note = ExtractorSpec(self.changed(options).image, self.engine), ""
        if self.given.engine == "auto" and self.freeze != "none":
            options["engine"], note = choose_by_trial(self.source, spec, folder.files)
        if self.flips_by_class and self.settings.hflip is None and flip_sensitive_class(folder.class_names):
            options["hflip"] = False
        return replace(self.changed(options), engine_note=note)

    def with_time_limit(self, seconds: float) -> "NetworkRecipe":
        """Limit the time, unless all is frozen: then most of it goes into reading, which cannot be cut."""
        if self.freeze == "all" or seconds == math.inf:
            return self
        return self.changed({"time_limit": f"{seconds:.0f}s"})

    @property
    def trains_in_numpy(self) -> bool:
        """True if nothing but a new head is trained, in a way that NumPy can do: see `head/fit.py`."""
        is_new_head = self.freeze == "all" and not self.source.has_head
        return is_new_head and self.settings.engine != "keras" and can_learn(self.plan(1, LOSS))

    @property
    def trains_head_alone(self) -> bool:
        """True if that is clear from the start: no images and no limit decide it, and Keras may not be needed."""
        return self.trains_in_numpy and not parse_duration(self.settings.time_limit)

    def phases(self) -> "tuple[Phase, ...]":
        """Give what is trained, in order."""
        from tlkit.training.blocks_phase import BlocksPhase
        from tlkit.training.phases import FullPhase, HeadPhase

        hardening = self.hardening
        phases: dict[str, tuple[Phase, ...]] = {
            "all": (HeadPhase(hardening, self.trains_in_numpy),),
            "lower": (HeadPhase(), BlocksPhase(hardening)),
            "none": (FullPhase(hardening),),
        }
        if self.freeze == "lower" and not getattr(self.settings, "head_first", True):
            return phases["lower"][1:]
        return phases[self.freeze]

    def estimate(self, inputs: "EstimateInput") -> CostEstimate:
        """Estimate what the phases take once the features, or the pixels, are there.

        Raises:
            OptionError: if the network cannot be cut, or no disk is left
        """
        from tlkit.training.phases import new_classifier

        new = None if self.freeze == "all" else (inputs.network, inputs.images[0], inputs.num_classes)
        classifier = new_classifier(self, *new) if new else None
        cost = CostEstimate()
        for phase in self.phases():
            cost = phase.estimate(self, classifier, inputs, cost)
        return replace(cost, end_seconds=END_SECONDS * inputs.slowness)

    def load(self, folder: ImageFolder, progress: Progress) -> NetworkDataset:
        """Read the images while the network is still being built, and split them.

        Raises:
            DataError: if --folds or --seeds ask for splits that cannot be made
        """
        subsets, build = self.source.subsets(), once(self.source.build)
        if self.engine_note:
            progress.note(self.engine_note)
        with ThreadPoolExecutor(2) as background:
            network = None if self.trains_head_alone else background.submit(build)
            if self.freeze == "none":
                extractor = completed(pixel_extractor(self.image))
            else:
                spec = ExtractorSpec(self.image, self.engine)
                extractor = build_extractor(background, build, self.source.identity(), spec, self.source)
            features = extract(folder, extractor, self.image, progress).grouped()
            fractions = self.settings.validation_split, self.settings.test_split
            split = split_folder(features.folder, *fractions, self.settings.seed, subsets)
            if network:
                network.result()
            dataset = NetworkDataset(build, extractor.result(), features, split)
        check_repeats(dataset, self.settings)
        return dataset

    def fit(self, dataset: NetworkDataset, run: Run, progress: Progress, stopwatch: Stopwatch) -> "NetworkModel":
        """Decide what is trained, and train it."""
        recipe, end, allowed, decided = self, math.inf, (0, 0), list[str]()
        if self.trains_head_alone:
            found: dict[str, Any] = {"forecast": forecast_head(self, self.hardening, dataset, stopwatch.total())}
        else:
            from tlkit.training.auto_freeze import choose_strategy, seconds_left

            decision = choose_strategy(run, self, dataset, stopwatch, progress)
            recipe, decided = self.changed(decision.options), decision.notes
            end = time.perf_counter() + seconds_left(recipe, stopwatch) - decision.end_seconds
            allowed = decision.num_epochs, decision.planned_epochs
            found = {"advice": decision.advice, "forecast": decision.forecast}
        stopwatch.lap("choose")
        initial_weights = [] if recipe.trains_in_numpy else dataset.network.get_weights()
        fitted = recipe.fit_split(dataset, progress, run.path, end)
        spare, limit = end - time.perf_counter(), parse_duration(self.settings.time_limit)
        decided = [*decided, *notes_on_epochs(fitted.last_phase, allowed, spare, limit)]
        if self.hardening.epsilon and not recipe.hardening.epsilon:
            decided.append("not hardened against attacks: the head alone cannot learn to resist them.")
        details = replace(recipe._details(dataset, fitted, decided), **found)
        return NetworkModel(recipe, dataset, fitted, details, initial_weights)

    def fit_split(
        self, dataset: NetworkDataset, progress: Progress, checkpoints: Path | None = None, end: float = math.inf
    ) -> Fitted:
        """Train it, with everything decided: see `phases.fit_phases` and `head.fit.fit_head`."""
        if self.trains_in_numpy:
            from tlkit.training.head.fit import fit_head

            return fit_head(self, self.hardening, dataset, progress, checkpoints, end)
        from tlkit.training.phases import fit_phases

        return fit_phases(self.phases(), self, dataset, progress, checkpoints, end)

    def _details(self, dataset: NetworkDataset, fitted: Fitted, decided: list[str]) -> FitDetails:
        split = dataset.split
        evidence = FitEvidence(
            history=fitted.history,
            best=fitted.best,
            num_classes=split.train.num_classes,
            num_train=len(split.train),
            num_validation=len(split.validation),
            loss=self.settings.loss,
            advice=fitted.advice,
            given=self.given,
            can_fold=can_fold(dataset, self.settings),
        )
        device_notes = filter(None, [self.engine_note, "" if self.freeze == "all" else gpu_note()])
        source_notes = [*device_notes, *self._weights_notes(), *self.source.notes(split.train.class_names)]
        return FitDetails(
            request=TrainingRequest(self.command, self.given, dataset.folder.root),
            manifest=self._manifest(split) | {"cut": fitted.cut},
            selected_on_validation=True,
            notes=(
                *source_notes,
                *decided,
                *pixel_notes(dataset.folder.survey, self.image),
                *split.notes,
                *self._data_notes(split),
                *fitted.notes,
            ),
            figures={"epochs": len(fitted.history), "best_epoch": fitted.best.epoch} | self._hardening_figures(fitted),
            history=tuple(record.as_row() for record in fitted.history),
            best_epoch=fitted.best.epoch,
            diagnosis=tuple(diagnose(evidence)),
        )

    def _hardening_figures(self, fitted: Fitted) -> dict[str, Any]:
        """Give the entry of metrics.json of a training that hardens."""
        if self.hardening == NO_HARDENING:
            return {}
        return {"hardening": asdict(self.hardening) | {"seconds": fitted.hardening_seconds}}

    def _manifest(self, split: Split) -> dict[str, Any]:
        names = ("weights", "precision", "engine")
        chosen = {name: getattr(self.settings, name, "none") for name in names}
        head = asdict(self.head(len(split.train)))
        return {"backbone": self.source.name, "freeze": self.freeze, "head": head} | chosen | self.image.as_json()

    def _weights_notes(self) -> list[str]:
        if self.source.is_pretrained or self.freeze == "none":
            return []
        return ["a frozen backbone with random weights gives poor features; use --freeze none, or --weights."]

    def _data_notes(self, split: Split) -> list[str]:
        """Write the notes about the classes: mirrored views that may mislead, and rare classes."""
        names, counts = split.train.class_names, split.train.class_counts
        notes = []
        hflip, asked = self.augmentation.hflip, self.settings.hflip
        was_chosen = asked is not None and not (self.flips_by_class and not hflip)
        if not (was_chosen or self.freeze == "all" or self.settings.augment == "none"):
            notes += [note for note in [flip_note(names, hflip)] if note]
        criterion = choose_criterion(split.train.labels, split.validation.labels)
        if criterion != LOSS:
            commonest, rarest = names[counts.index(max(counts))], names[counts.index(min(counts))]
            weigh = " Try --class-weight balanced." if self.settings.class_weight == "none" else ""
            notes.append(
                f"classes are imbalanced ('{commonest}' {max(counts)}, '{rarest}' {min(counts)} training images): "
                f"the best epoch is selected by {SELECTED_BY[criterion]}.{weigh}"
            )
        return notes


@dataclass
class NetworkModel:
    """A trained network, as a `FittedModel`.

    Attributes:
        recipe: with everything decided
        initial_weights: of the network before the first phase; empty where none of them is trained
    """

    recipe: NetworkRecipe
    dataset: NetworkDataset
    fitted: Fitted
    details: FitDetails
    initial_weights: list[np.ndarray] = field(repr=False)
    _saved: SavedTop | None = None

    def save(self, run: Run) -> tuple[InferenceStage, ...]:
        """Write the joined network, and what the engine runs."""
        stages, self._saved = self.fitted.save(run, self.recipe.engine)
        return stages

    def extract(self, images: ImageFolder) -> np.ndarray:
        """Give the input of the head for images, from what is cached of them, exactly as `predict` will."""
        assert self._saved, "saved first"
        return self.fitted.load(images, self._saved)

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Turn the input of the head into probabilities."""
        assert self._saved, "saved first"
        return run_rows(self._saved.head, features)

    def repeat(self, progress: Progress) -> Repeats:
        """Train again in folds and with other seeds, where options ask for it."""

        def fit_again(split: Split, options: Mapping[str, Any]) -> Fitted:
            """Train on another split or with other options."""
            if self.initial_weights:
                self.dataset.network.set_weights(self.initial_weights)
            return self.recipe.changed(options).fit_split(replace(self.dataset, split=split), progress)

        return cross_validate(RepeatedTraining(fit_again, self.recipe.settings), self.dataset, progress)
