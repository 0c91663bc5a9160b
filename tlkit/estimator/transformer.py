"""A scikit-learn transformer from images to the features of a frozen network, which are cached."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.image import ImageSpec
from tlkit.data.survey import choose_pixels
from tlkit.engines.base import EngineSpec
from tlkit.errors import SamplesError, require
from tlkit.estimator.parameters import options_of_estimator, with_parameters
from tlkit.estimator.samples import ImageTags, Sample, as_folder, list_samples
from tlkit.features.export import resolve_layer
from tlkit.features.extract import extract
from tlkit.features.extractor import ExtractorSpec, build_extractor
from tlkit.settings.commands import CompressionSettings, FeaturesSettings
from tlkit.settings.shared import LayoutSettings
from tlkit.utils.progress import Silent

require("scikit-learn", "estimator", "FeatureExtractor")
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin  # noqa: E402
from sklearn.utils.validation import check_is_fitted  # noqa: E402

LEFT_OUT = (  # options of `tlkit features` that X and the steps of a Pipeline replace
    *(item.name for item in fields(LayoutSettings)),
    *(item.name for item in fields(CompressionSettings)),
    *("validation_split", "test_split", "csv_dialect"),
)


@with_parameters(FeaturesSettings, LEFT_OUT)
class FeatureExtractor(ImageTags, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer from images to the features of a frozen network, as `tlkit features` writes them.

    X is a list or array of samples: paths, bytes of image files, Pillow images or uint8 RGB arrays (height, width, 3);
    or one array (samples, height, width, 3). Features are cached by the content of the images.

        make_pipeline(FeatureExtractor(), StandardScaler(), LogisticRegression()).fit(paths, labels)

    Attributes of a fitted transformer:
        settings_: a `FeaturesSettings` with every "auto" decided
    """

    def fit(self, X: Any, y: Any = None) -> "FeatureExtractor":
        """Decide how images become pixels (`resize` and `gray_range`, where they are "auto"); nothing is trained.

        Args:
            X: samples; see the class
            y: ignored

        Returns:
            This object

        Raises:
            SamplesError: a ValueError, if X cannot be used
            ModelError, OptionError, RunError
        """
        given = FeaturesSettings(**options_of_estimator(self, FeaturesSettings))
        settings, _ = resolve_layer(given)
        samples = list_samples(X)
        with tempfile.TemporaryDirectory(prefix="tlkit-", ignore_cleanup_errors=True) as files:
            survey = as_folder(samples, Path(files), settings.max_megapixels).surveyed().survey
        self.settings_ = replace(settings, **choose_pixels(settings.resize, settings.gray_range, survey))
        self._n_features_out = self._extract(samples[:1]).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute features, or read them from the cache: float32 (samples, values).

        Args:
            X: samples; see the class

        Returns:
            float32 (samples, values)

        Raises:
            SamplesError: a ValueError, also if a sample cannot be read
        """
        check_is_fitted(self)
        return self._extract(list_samples(X))

    def _extract(self, samples: list[Sample]) -> np.ndarray:
        settings, layer = resolve_layer(self.settings_)
        image = ImageSpec(settings.image_size, **settings.pixel_options)
        spec = ExtractorSpec(image, EngineSpec(settings.engine, settings.precision), layer.cut)
        with (
            tempfile.TemporaryDirectory(prefix="tlkit-", ignore_cleanup_errors=True) as files,
            ThreadPoolExecutor(1) as background,
        ):
            folder = as_folder(samples, Path(files), settings.max_megapixels)
            extractor = build_extractor(background, layer.build, layer.identity, spec, layer.source)
            features = extract(folder, extractor, image, Silent())
            if skipped := features.folder.skipped:
                index = folder.paths.index(skipped[0].path)
                raise SamplesError(f"sample {index} of X '{folder.files[index]}' {skipped[0].reason}.")
            rows = features.load(features.folder).astype(np.float32)
        return rows.reshape(len(rows), -1)
