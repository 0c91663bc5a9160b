"""A scikit-learn classifier of images, trained as `tlkit finetune` does."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.image import DecodedImage
from tlkit.data.listing import natural_key
from tlkit.errors import ImageError, SamplesError, require
from tlkit.estimator.parameters import options_of_estimator, with_parameters
from tlkit.estimator.samples import ImageTags, Sample, as_folder, list_samples
from tlkit.inference.inputs import name_input
from tlkit.inference.predictor import Predictor
from tlkit.runs.manifest import RUN_FILES
from tlkit.runs.run import Run, create_run
from tlkit.settings.shared import LayoutSettings
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune_recipe
from tlkit.training.recipe import TrainingMetrics, TrainingResult
from tlkit.training.session import train_images
from tlkit.utils.files import make_folder, owned_files
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, single_threaded_blas
from tlkit.utils.progress import Silent, Stopwatch

require("scikit-learn", "estimator", "ImageClassifier")
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d  # noqa: E402

OF_KEPT_RUNS = ("golden", "report", "plots")  # which a fit inside a search does not need
LEFT_OUT = (  # options of finetune that X, y, groups and scikit-learn's cross-validation replace
    *(item.name for item in fields(LayoutSettings)),
    *("folds", "seeds", *OF_KEPT_RUNS),
)


@with_parameters(
    FinetuneSettings,
    LEFT_OUT,
    runs=(None, "Folder that gets a run folder per fit. None: a temporary one that goes with the estimator."),
)
class ImageClassifier(ImageTags, ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of images that adapts a pretrained network, as `tlkit finetune` does.

    X is a list or array of samples: paths, bytes of image files, Pillow images or uint8 RGB arrays (height, width, 3);
    or one array (samples, height, width, 3). The best epoch and the calibration come from a validation subset that
    each fit holds out of its X. Features of a frozen network are cached, so that fits on the same images are fast.

        search = GridSearchCV(ImageClassifier(freeze="all"), {"dropout": [0.3, 0.5, 0.7]})
        search.fit(paths, labels).best_estimator_.predict(["new.jpg"])

    Attributes of a fitted classifier:
        classes_: labels, in the order of the columns of `predict_proba`
        metrics_: a `TrainingMetrics`, on the images that this fit held out
        run_: the `Run` of this fit
    """

    def fit(self, X: Any, y: Any, groups: Any = None) -> "ImageClassifier":
        """Train on samples with labels; unreadable samples are left out with a warning.

        Args:
            X: see the class
            y: labels (samples,), of any type that can be sorted; two classes or more
            groups: (samples,), equal for samples that are never in two subsets, such as a patient's

        Returns:
            This object

        Raises:
            SamplesError: a ValueError, if X, y or groups cannot be used
            DataError, ModelError, OptionError, RunError
        """
        is_kept = self.runs is not None
        options = options_of_estimator(self, FinetuneSettings) | dict.fromkeys(OF_KEPT_RUNS, is_kept)
        settings = FinetuneSettings(**options)
        samples = list_samples(X)
        classes, positions = _classes_and_positions(samples, y, groups)
        names = _class_names(classes)
        parent = Path(self.runs) if is_kept else Path(tempfile.mkdtemp(prefix="tlkit-"))
        with tempfile.TemporaryDirectory(prefix="tlkit-", ignore_cleanup_errors=True) as images, ExitStack() as failed:
            if not is_kept:
                failed.callback(shutil.rmtree, parent, ignore_errors=True)
            folder = as_folder(samples, Path(images), settings.max_megapixels)
            result = _train(settings, _labeled(folder, names, positions, groups), parent)
            failed.pop_all()
        if skipped := result.skipped:
            found = f"{len(skipped)} of {len(samples)} samples"
            warn(f"{found} were left out, e.g. {skipped[0].path}: {skipped[0].reason}.", stacklevel=2)
        self.classes_: np.ndarray = classes
        self.metrics_: TrainingMetrics = result.metrics
        self._fitted = FittedRun(result.run, None if is_kept else parent)
        self._n_features_out = self._fitted.predictor.detector.references.shape[1]
        return self

    @property
    def run_(self) -> Run:
        """The run of this fit."""
        check_is_fitted(self)
        return self._fitted.run

    def predict_proba(self, X: Any) -> np.ndarray:
        """Compute the calibrated probability of each class: float32 (samples, classes), in the order of `classes_`.

        Args:
            X: samples; see the class

        Returns:
            float32 (samples, classes), 0 to 1; each row has the sum 1

        Raises:
            SamplesError: a ValueError, also if a sample cannot be read
        """
        check_is_fitted(self)
        samples, predictor = list_samples(X), self._fitted.predictor
        rows = []
        for index, prediction in enumerate(predictor.predict(samples)):
            if prediction.probabilities is None:
                raise _unreadable(index, samples[index], prediction.error)
            rows.append(prediction.probabilities)
        return np.stack(rows)

    def predict(self, X: Any) -> np.ndarray:
        """Find the most probable label of each sample: (samples,).

        Args:
            X: samples; see the class

        Returns:
            (samples,), of the type of y

        Raises:
            SamplesError: a ValueError, also if a sample cannot be read
        """
        check_is_fitted(self)
        found: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return found

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features that the head classifies: float32 (samples, values).

        Args:
            X: samples; see the class

        Returns:
            float32 (samples, values)

        Raises:
            SamplesError: a ValueError, also if a sample cannot be read
        """
        check_is_fitted(self)
        return np.concatenate(list(_features(list_samples(X), self._fitted.predictor)))


class FittedRun:
    """The run of a fitted classifier; its files travel in a pickle.

    A pickle can contain code, so it is opened only by who trusts it; then its network is trusted, too.
    """

    def __init__(self, run: Run, temporary: Path | None) -> None:
        """Take a run.

        Args:
            temporary: a folder that is removed with this object
        """
        self.run = run
        self._predictor: Predictor | None = None
        if temporary:
            weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)

    @property
    def predictor(self) -> Predictor:
        """The run, ready to classify; it never answers "unknown"."""
        self._predictor = self._predictor or Predictor(self.run, unknown=False, trust_model=True)
        return self._predictor

    def __getstate__(self) -> dict[str, bytes]:
        files = owned_files(self.run.path, RUN_FILES)
        return {file.relative_to(self.run.path).as_posix(): file.read_bytes() for file in files}

    def __setstate__(self, files: dict[str, bytes]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="tlkit-"))
        for name, content in files.items():
            if RUN_FILES.files.fullmatch(name):
                make_folder((folder / name).parent)
                (folder / name).write_bytes(content)
        self.__init__(Run(folder), folder)  # type: ignore[misc]


def _classes_and_positions(samples: Sequence[Sample], y: Any, groups: Any) -> tuple[np.ndarray, np.ndarray]:
    """List the classes of y in order, and give the position of each label in them.

    Raises:
        SamplesError: if y and groups do not fit the samples, or are no labels
    """
    try:
        labels = column_or_1d(y, warn=True)
        kinds = sorted({"str" if isinstance(label, str) else type(label).__name__ for label in labels})
        if labels.dtype == object and len(kinds) > 1:
            raise SamplesError(f"y mixes labels of type {' and '.join(kinds)}; expected all texts or all numbers.")
        check_classification_targets(labels)
        check_consistent_length(samples, labels, groups)
    except (TypeError, ValueError) as error:
        raise SamplesError(str(error)) from None
    return np.unique(labels, return_inverse=True)


def _class_names(classes: np.ndarray) -> tuple[str, ...]:
    """Name the classes of a run after labels; SamplesError if they are fewer than two, or have no names"""
    names = tuple(str(label) for label in classes.tolist())
    if len(names) < 2:
        raise SamplesError(f"y has one class, {names[0]}; expected two classes or more.")
    if "" in names:
        raise SamplesError("a label of y is empty; expected a text or a number.")
    return names


def _labeled(folder: ImageFolder, names: tuple[str, ...], labels: np.ndarray, groups: Any) -> ImageFolder:
    """Add classes and groups to images, and sort them, so that the order of the samples has no effect."""
    related = () if groups is None else tuple("" if group is None else str(group) for group in groups)
    folder = replace(folder, class_names=names, labels=labels.astype(np.int32), related=related)
    keys = [(natural_key(path), int(label)) for path, label in zip(folder.paths, folder.labels, strict=True)]
    return folder.subset(sorted(range(len(folder)), key=keys.__getitem__)).surveyed()


def _train(settings: FinetuneSettings, folder: ImageFolder, runs: Path) -> TrainingResult:
    """Train in a new run folder."""
    recipe = finetune_recipe(settings).adapted_to(folder)
    run = create_run(None, recipe.command, runs)
    paths = {"data": str(folder.root), "images": ""}
    return train_images(run, recipe, folder, paths, Silent(), Stopwatch())


def _features(samples: Sequence[Sample], predictor: Predictor) -> Iterator[np.ndarray]:
    """Compute the features of samples, chunk by chunk, on every core."""

    def work(chunk: list[tuple[int, Sample]]) -> np.ndarray:
        """Decode a few samples and compute their features."""
        spec, pixels = predictor.manifest.image, []
        for index, sample in chunk:
            decoded = name_input(sample, spec).decode(spec, identify=False)
            if isinstance(decoded, ImageError):
                raise _unreadable(index, sample, str(decoded))
            assert isinstance(decoded, DecodedImage)
            pixels.append(decoded.pixels)
        features = predictor.network.extract(np.stack(pixels))
        return features.reshape(len(features), -1)

    with single_threaded_blas(), ThreadPoolExecutor(count_workers()) as pool:
        yield from ordered_map(pool, work, in_chunks(list(enumerate(samples)), CHUNK))


def _unreadable(index: int, sample: Sample, reason: str | None) -> SamplesError:
    name = f"'{sample}' " if isinstance(sample, str | Path) else ""
    return SamplesError(f"sample {index} of X {name}{reason}.")
