"""Training of a classic classifier: on handcrafted descriptors, or on a frozen network's features.

`--descriptor auto` tries several combinations of descriptors side by side, on training images alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.classic.descriptors import DESCRIPTORS, descriptor_sizes, find_descriptors, require_packages
from tlkit.classic.fit import ColumnGroup, FitOptions, are_constant, refit, select_columns, select_model
from tlkit.classic.model_selection import GroupedLabels, SearchResult
from tlkit.classic.pipeline import ClassicPipeline, ScaledClassifier, Scaler, open_pipeline, to_bytes
from tlkit.data.duplicates import group_images
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec
from tlkit.data.split import Split, split_folder
from tlkit.data.survey import choose_pixels, pixel_notes
from tlkit.engines.base import EngineSpec, choose_engine
from tlkit.errors import DataError, require
from tlkit.features.vectors import DEEP_GROUP, FeatureVectors, compute_deep, compute_handcrafted
from tlkit.models.backbones import check_size, find_backbone
from tlkit.models.sources import PretrainedBackbone, absolute_weights
from tlkit.runs.manifest import CLASSIC_MODEL, InferenceStage
from tlkit.runs.run import Run
from tlkit.settings.base import settings_or_options
from tlkit.settings.training import ClassicSettings
from tlkit.training.diagnosis import FEW_IMAGES, Diagnosis, TrainingRequest, few_images
from tlkit.training.option_effects import CLASSIC, refuse_without_effect
from tlkit.training.recipe import FitDetails, Repeats, TrainingResult
from tlkit.training.session import run_training
from tlkit.utils.files import atomic_write
from tlkit.utils.progress import Progress, Silent, Stopwatch
from tlkit.utils.storage import Location

Selected = tuple[Scaler, SearchResult]  # what `select_model` returns

AUTO = "auto"
# of auto: the first needs no vocabulary, the last is the fullest
CANDIDATES = ("hog", "fisher+hog", "fisher+histogram", "fisher+histogram+lbp+haralick")
SUFFICIENT = 0.99  # accuracy in folds of auto's first candidate: no other can be a point better, so none is tried


def train_classic(
    data: str | Location,
    output: str | Path | None = None,
    settings: ClassicSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> TrainingResult:
    """Fit a classic classifier on the images of a folder, and leave a run folder.

    Args:
        data: a folder with one subfolder per class, or with train/, val/ and test/ above them
        output: the run folder to make; the next free `runs/train-NNN` where it is None
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `ClassicSettings`, in place of `settings`; HOG where neither is given

    Returns:
        The run, its metrics and the split of the images

    Raises:
        DataError
        ModelError
        RunError
        OptionError
    """
    if settings is None and not options:
        settings = ClassicSettings(descriptor="hog")
    return run_training(
        classic_recipe(settings_or_options(ClassicSettings, settings, options, data=data, output=output)),
        data,
        output,
        progress,
    )


def classic_recipe(settings: ClassicSettings) -> "ClassicRecipe":
    """Turn options into values: image size and engine are chosen.

    Raises:
        OptionError
        ModelError: if scikit-learn or what a descriptor needs is not installed
    """
    require("scikit-learn", "classic", "--descriptor" if settings.descriptor else "--features")
    refuse_without_effect(settings, CLASSIC)
    resolved = _resolve_descriptors(settings) if settings.descriptor else _resolve_network(settings)
    return ClassicRecipe(resolved, settings)


def _resolve_descriptors(settings: ClassicSettings) -> ClassicSettings:
    if settings.descriptor == AUTO:
        require_packages([row for names in CANDIDATES for row in find_descriptors(names)])
        return settings
    rows = find_descriptors(settings.descriptor)
    require_packages(rows)
    return replace(settings, image_size=max(descriptor_sizes(rows, settings.image_size)))


def _resolve_network(settings: ClassicSettings) -> ClassicSettings:
    row = find_backbone(settings.features)
    size = settings.image_size or row.image_size
    check_size(row, size)
    engine: Any = choose_engine(settings.engine, settings.precision)
    weights = absolute_weights(settings.weights)
    return replace(settings, features=row.name, weights=weights, image_size=size, engine=engine)


@dataclass(frozen=True)
class ClassicDataset:
    """A `Dataset` of feature vectors.

    Attributes:
        folder: the readable images
        settings: with every descriptor that was computed, and the image size
        selected: classifiers that were chosen while the features were computed, by candidate
    """

    vectors: FeatureVectors
    folder: ImageFolder
    split: Split
    settings: ClassicSettings
    selected: Mapping[str, Selected] = field(default_factory=dict)

    @property
    def num_cached(self) -> int:
        """Images whose features an earlier run had computed."""
        return self.vectors.features.num_cached

    @property
    def labels(self) -> GroupedLabels:
        """The labels of the training images."""
        return GroupedLabels(self.split.train.labels, self.split.train.groups)

    def fit_options(self, progress: Progress) -> FitOptions:
        """Give the options of fitting a classifier on it."""
        return FitOptions(self.settings.classifier, self.settings.pca, self.settings.seed, progress)


@dataclass(frozen=True)
class ClassicRecipe:
    """The recipe of a classic classifier.

    Attributes:
        given: its settings as they were given, before anything was resolved
    """

    settings: ClassicSettings
    given: ClassicSettings
    command = "train"
    starts_from_stranger = False

    @property
    def candidates(self) -> Sequence[str]:
        """Combinations of descriptors to try, each joined by +; a single one unless "auto" chooses."""
        return CANDIDATES if self.settings.descriptor == AUTO else (self.settings.descriptor or DEEP_GROUP,)

    def adapted_to(self, folder: ImageFolder) -> "ClassicRecipe":
        """Resolve how files become pixels."""
        options = choose_pixels(self.settings.resize, self.settings.gray_range, folder.survey)
        return replace(self, settings=replace(self.settings, **options))

    def with_time_limit(self, seconds: float) -> "ClassicRecipe":
        """Change nothing: most of the time goes into reading, which cannot be shortened."""
        return self

    def load(self, folder: ImageFolder, progress: Progress) -> ClassicDataset:
        """Compute the descriptors, or the network's features, and split the images."""
        settings = self.settings
        if settings.features:
            row = find_backbone(settings.features)
            source = PretrainedBackbone(row, settings.weights, settings.image_size, settings.seed)
            engine = EngineSpec(settings.engine, settings.precision)
            vectors: FeatureVectors = compute_deep(folder, source, _image(settings), engine, progress)
        elif settings.descriptor == AUTO:
            return self._load_candidates(folder, progress)
        else:
            rows = find_descriptors(settings.descriptor)
            sizes = descriptor_sizes(rows, settings.image_size)
            descriptors = list(zip(rows, sizes, strict=True))
            vectors = compute_handcrafted(folder, descriptors, settings.pyramid, _image(settings), progress)
        return _split(vectors, settings)

    def _load_candidates(self, folder: ImageFolder, progress: Progress) -> ClassicDataset:
        """Compute every descriptor of all candidates once, unless the first candidate is sufficient."""
        names, first = "+".join(self.candidates).split("+"), self.candidates[0]
        rows = [DESCRIPTORS[name] for name in dict.fromkeys(names)]
        sizes = descriptor_sizes(rows, 0)
        settings = replace(self.settings, descriptor="+".join(row.name for row in rows), image_size=max(sizes))
        descriptors, parts = list(zip(rows, sizes, strict=True)), len(first.split("+"))
        compute = partial(compute_handcrafted, levels=settings.pyramid, image=_image(settings), progress=progress)
        vectors = compute(folder, descriptors[:parts])
        dataset = _split(vectors, replace(settings, descriptor=first))
        columns = _varying_columns(dataset, [first], progress)
        dataset = replace(dataset, selected=_select_models(dataset, columns, progress))
        if any((_accuracy(result) or 0) >= SUFFICIENT for _, result in dataset.selected.values()):
            return dataset
        return replace(dataset, vectors=vectors.joined(compute(folder, descriptors[parts:])), settings=settings)

    def fit(self, dataset: ClassicDataset, run: Run, progress: Progress, stopwatch: Stopwatch) -> "ClassicModel":
        """Compare the candidates in folds of the training images, and fit the best on all of them."""
        settings, train = dataset.settings, dataset.split.train
        vectors = dataset.vectors.fit_vocabularies(train, settings.seed, progress)
        best, classifier, results = _fit_best(replace(dataset, vectors=vectors), self.candidates, progress)
        if not settings.features:  # a pyramid needs a local descriptor
            is_local = any(row.is_local for row in find_descriptors(best))
            settings = replace(settings, descriptor=best, pyramid=settings.pyramid if is_local else 1)
        request = TrainingRequest(self.command, self.given, dataset.folder.root)
        details = _details(dataset, settings, request, best, results)
        advice = _advice(best, results, self.candidates)
        return ClassicModel(vectors.select(best.split("+")), classifier, replace(details, advice=advice))


def _image(settings: ClassicSettings) -> ImageSpec:
    return ImageSpec(settings.image_size, **settings.pixel_options)


def _split(vectors: FeatureVectors, settings: ClassicSettings) -> ClassicDataset:
    grouped = group_images(vectors.features.folder)
    split = split_folder(grouped, settings.validation_split, settings.test_split, settings.seed)
    return ClassicDataset(vectors, grouped, split, settings)


Columns = Callable[[], tuple[np.ndarray, list[ColumnGroup]]]  # of a candidate; in memory only while they are in use


def _varying_columns(dataset: ClassicDataset, candidates: Sequence[str], progress: Progress) -> dict[str, Columns]:
    """Give the columns of each candidate whose descriptors were computed and distinguish any training images."""
    train, vectors = dataset.split.train, dataset.vectors
    values, groups = vectors.load(train, progress), vectors.column_groups(train)
    computed = {group.name for group in groups}
    names = [name for name in candidates if computed.issuperset(name.split("+"))]
    columns = {name: partial(select_columns, values, groups, name.split("+")) for name in names}
    return {name: select for name, select in columns.items() if not are_constant(select()[0])}


def _select_models(
    dataset: ClassicDataset, columns: Mapping[str, Columns], progress: Progress
) -> Mapping[str, Selected]:
    """Choose the classifier of each candidate in folds, unless that was done already."""
    parts = dataset.labels, dataset.fit_options(progress)
    return {name: dataset.selected.get(name) or select_model(*select(), *parts) for name, select in columns.items()}


def _fit_best(
    dataset: ClassicDataset, candidates: Sequence[str], progress: Progress
) -> tuple[str, ScaledClassifier, Mapping[str, SearchResult]]:
    """Fit the best candidate: its name, the classifier, and what folds showed of each candidate.

    Raises:
        DataError: if all images have the same descriptors
    """
    columns = _varying_columns(dataset, candidates, progress)
    if not columns:
        raise DataError(
            f"the classes cannot be distinguished: all {len(dataset.labels.labels)} training images have the same "
            f"values of {', '.join(candidates)}; check the images, or choose other features."
        )
    selected = _select_models(dataset, columns, progress)
    results = {name: result for name, (_, result) in selected.items()}
    known = {name: accuracy for name, result in results.items() if (accuracy := _accuracy(result)) is not None}
    best = max(known, key=lambda name: known[name]) if known else list(columns)[-1]  # without folds the fullest
    classifier = refit(columns[best]()[0], dataset.labels, selected[best], dataset.fit_options(progress))
    return best, classifier, results


def _accuracy(result: SearchResult) -> float | None:
    """Give the accuracy in folds; None if there were too few images for any."""
    return None if np.isnan(result.accuracy) else result.accuracy


def _details(
    dataset: ClassicDataset,
    settings: ClassicSettings,
    request: TrainingRequest,
    best: str,
    results: Mapping[str, SearchResult],
) -> FitDetails:
    split, image = dataset.split, _image(settings)
    names = ("descriptor", "pyramid", "features", "weights", "classifier", "pca", "precision")
    manifest = image.as_json() | {name: getattr(settings, name) for name in names}
    few = len(split.validation) < FEW_IMAGES  # there is no history, but they are too few for every classifier
    words = f"{few_images(len(split.validation))}. Add images, or hold more of them out."
    return FitDetails(
        request=request,
        manifest=manifest | {"engine": "classic" if settings.descriptor else settings.engine},
        selected_on_validation=False,
        notes=(*pixel_notes(dataset.folder.survey, image), *split.notes),
        figures={
            "cross_validated_accuracy": _accuracy(results[best]),
            "classifier": results[best].classifier.name,
            "classifier_options": results[best].options,
        },
        diagnosis=(Diagnosis(words, {"validation_split": 0.5}),) if few else (),
    )


def _advice(best: str, results: Mapping[str, SearchResult], candidates: Sequence[str]) -> dict[str, Any] | None:
    """Report the choice of `--descriptor auto` and the accuracies it is based on."""
    if len(candidates) == 1:
        return None
    tried = {name: _accuracy(result) for name, result in results.items()}
    accuracies = ", ".join(f"{name} {100 * (accuracy or 0):.1f} %" for name, accuracy in tried.items())
    if set(tried.values()) == {None}:
        reason = f"too few images to cross-validate descriptors; using {best}, which has the most features."
    elif len(tried) == 1 and (tried[best] or 0) >= SUFFICIENT:
        reason = f"{accuracies} in folds of the training images; no other descriptors can be a point better."
    else:
        reason = f"{best} has the best cross-validated accuracy on the training images ({accuracies})."
    return {"reason": reason, "descriptor": best, "tried": tried}


@dataclass
class ClassicModel:
    """A fitted classic classifier, as a `FittedModel`."""

    vectors: FeatureVectors
    classifier: ScaledClassifier
    details: FitDetails
    _pipeline: ClassicPipeline | None = None

    def save(self, run: Run) -> tuple[InferenceStage, ...]:
        """Write descriptors and classifier, and before them the network whose features they take."""
        file = run.path / CLASSIC_MODEL
        atomic_write(file, to_bytes(ClassicPipeline(self.vectors.descriptors(), self.classifier)))
        stages = self.vectors.save(run)
        self._pipeline = open_pipeline(file)  # what `predict` will read
        return (*stages, InferenceStage(CLASSIC_MODEL, "classic"))

    def extract(self, images: ImageFolder) -> np.ndarray:
        """Give the features of images: their cached vectors, scaled where they are descriptors."""
        assert self._pipeline, "saved first"
        return self._pipeline.scale(self.vectors.load(images, Silent()))

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Turn features into probabilities."""
        assert self._pipeline, "saved first"
        return self._pipeline.classify(features)

    def repeat(self, progress: Progress) -> Repeats:
        """Repeat nothing: these trainings have neither --folds nor --seeds."""
        return Repeats()
