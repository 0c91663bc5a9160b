"""Explain the answers of a run: a heat map of each image, and the nearest training images."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tlkit.classic.pipeline import open_pipeline
from tlkit.data.decode import open_upright, opened_upright, stored_size, to_rgb
from tlkit.data.image import DecodedImage, ImageSpec, decode_square
from tlkit.data.sources.files import read_file
from tlkit.errors import ImageError, OptionError
from tlkit.explain.base import Explanation, HeatMethod
from tlkit.explain.classic import ClassicGradient, DescriptorParts, PixelTemplate
from tlkit.explain.gradcam import WEIGHINGS, PooledGradCam
from tlkit.explain.head_gradient import open_head_gradient
from tlkit.explain.keras_gradcam import KerasGradCam
from tlkit.explain.neighbors import TrainingNeighbors
from tlkit.explain.occlusion import Occlusion
from tlkit.explain.overlay import find_peak, upsample
from tlkit.inference.inputs import ImageInput, NamedInput, each_input, name_input
from tlkit.inference.predictor import Predictor
from tlkit.models.keras_setup import require_keras
from tlkit.runs.manifest import CLASSIC_MODEL, HEAD_ARRAYS
from tlkit.runs.run import Run, load_run
from tlkit.runs.trust import check_network, load_run_network
from tlkit.utils.text import quote_names

AUTO = "auto"
METHODS = (AUTO, *WEIGHINGS, Occlusion.name)
NUM_NEIGHBORS = 5
SHOWN_SIDE = 640  # pixels of the shorter side to which a JPEG is reduced while it is decoded
MAX_SHOWN_SIDE = 1600  # pixels of the longer side of an image that is kept; a sheet has many


class Explainer:
    """A run, ready to explain its answers.

    Attributes:
        predictor: gives the answers
        method: makes the heat maps
        neighbors: finds the nearest training images
    """

    def __init__(self, predictor: Predictor, method: HeatMethod, neighbors: TrainingNeighbors) -> None:
        self.predictor, self.method, self.neighbors = predictor, method, neighbors

    @property
    def needs_keras(self) -> bool:
        """True if an explanation goes through Keras, which takes seconds to start."""
        stages = self.predictor.manifest.stages
        return isinstance(self.method, KerasGradCam) or any(stage.engine == "keras" for stage in stages)

    def explain(
        self, inputs: ImageInput | Iterable[ImageInput], class_name: str | None = None
    ) -> Iterator[Explanation]:
        """Explain the answer to one image after the other, in their order.

        Args:
            inputs: as `Predictor.predict` takes them
            class_name: whose reasons are shown; the most probable class of each image where it is None

        Raises:
            OptionError: if the run has no such class, or an input is nothing that can be an image
        """
        label = None if class_name is None else self._label_of(class_name)
        return (self._explain(given, label) for given in each_input(inputs))

    def _label_of(self, class_name: str) -> int:
        names = self.predictor.manifest.class_names
        if class_name not in names:
            raise OptionError(f"the run has no class '{class_name}'; expected one of {quote_names(names, shown=20)}.")
        return names.index(class_name)

    def _explain(self, given: ImageInput, label: int | None) -> Explanation:
        spec = self.predictor.manifest.image
        named = name_input(given, spec)
        try:
            image, size, decoded = _open_image(given, named, spec)
        except ImageError as error:
            return Explanation(named.name, "error", error=str(error))
        features = self.predictor.network.extract(decoded.pixels[None])
        (prediction,) = self.predictor.answer([(named.name, decoded)], features)
        assert prediction.probabilities is not None
        label = int(np.argmax(prediction.probabilities)) if label is None else label
        heat = self.heat_map(decoded.pixels, label)
        return Explanation(
            path=named.name,
            status=prediction.status,
            label=prediction.label,
            confidence=prediction.confidence,
            explained=self.predictor.manifest.class_names[label],
            probability=float(prediction.probabilities[label]),
            method=self.method.name,
            heat=heat,
            peak=find_peak(heat, spec, *size),
            size=size,
            neighbors=self.neighbors.nearest(features, NUM_NEIGHBORS),
            reason=prediction.reason,
            image=_reduced(image),
            spec=spec,
        )

    def heat_map(self, pixels: np.ndarray, label: int) -> np.ndarray:
        """Compute the heat map of a class over the square that the network sees.

        Args:
            pixels: uint8 (size, size, 3), RGB
            label: index of the class

        Returns:
            float32 (size, size), 0 to 1
        """
        heat = self.method.heat(pixels, label)
        return upsample(heat, len(pixels), self.method.grid)


def _reduced(image: Image.Image) -> Image.Image:
    """Make a large image smaller."""
    side = (MAX_SHOWN_SIDE, MAX_SHOWN_SIDE)
    return ImageOps.contain(image, side, Image.Resampling.BILINEAR) if max(image.size) > MAX_SHOWN_SIDE else image


def _open_image(
    given: ImageInput, named: NamedInput, spec: ImageSpec
) -> tuple[Image.Image, tuple[int, int], DecodedImage]:
    """Decode an image to be looked at, and as the network sees it; also give the size of the upright original.

    Raises:
        ImageError
    """
    if isinstance(named.content, ImageError):
        raise named.content
    if isinstance(named.content, DecodedImage):  # of an array or a Pillow image
        opened = Image.fromarray(given) if isinstance(given, np.ndarray) else given
        assert isinstance(opened, Image.Image)
        upright = to_rgb(opened_upright(opened, spec.max_megapixels), spec.gray_range)
        return upright, upright.size, named.content
    data = named.content if isinstance(named.content, bytes) else read_file(named.content)
    upright = to_rgb(open_upright(data, SHOWN_SIDE, spec.max_megapixels), spec.gray_range)
    width, height = stored_size(data)[1]
    is_turned = (width > height) != (upright.width > upright.height) and width != height
    size = (height, width) if is_turned else (width, height)
    return upright, size, DecodedImage(decode_square(data, spec))


def open_explainer(
    run: Run | str | Path, method: str = AUTO, trust_model: bool = False, predictor: Predictor | None = None
) -> Explainer:
    """Open a run to explain its answers.

    Args:
        run: a finished run, or its folder
        method: "gradcam", "gradcam++" or "occlusion"; "auto" for Grad-CAM, or for what serves a classic classifier
        trust_model: whether Keras may open its network, in this process, even if this machine did not make it
        predictor: of the run, where one is open already

    Returns:
        What explains one image after the other

    Raises:
        RunError
        ModelError
        OptionError: also if the method cannot explain this run
    """
    if method not in METHODS:
        raise OptionError(f"the method is '{method}'; expected one of {', '.join(METHODS)}.")
    run = run if isinstance(run, Run) else load_run(run)
    predictor = predictor or Predictor(run, trust_model=trust_model)
    return Explainer(
        predictor, _open_method(run, predictor, method, trust_model), TrainingNeighbors(run, predictor.detector)
    )


def _open_method(run: Run, predictor: Predictor, method: str, trust_model: bool) -> HeatMethod:
    """Choose what makes the heat maps."""
    network, manifest = predictor.network, run.manifest
    occlusion = Occlusion(lambda pixels: predictor.classify(network.extract(pixels)))
    if method == Occlusion.name:
        return occlusion
    wanted = "gradcam" if method == AUTO else method
    if CLASSIC_MODEL in manifest.sha256:
        pipeline = open_pipeline(run.checked_file(CLASSIC_MODEL))
        if network.has_maps and ClassicGradient.fits(pipeline):
            return PooledGradCam(wanted, network, ClassicGradient(pipeline), None)
        if method != AUTO:
            raise OptionError(
                f"--method {method} cannot explain '{run.path}': its classifier has no feature map and no gradient; "
                "use --method occlusion."
            )
        if PixelTemplate.fits(pipeline):
            return PixelTemplate(pipeline)
        return DescriptorParts(pipeline) if DescriptorParts.fits(pipeline) else occlusion
    if network.has_maps and HEAD_ARRAYS in manifest.sha256:
        head = open_head_gradient(run, predictor.detector.references.shape[1])
        return PooledGradCam(wanted, network, head.gradient, head.grid)
    check_network(run, trust_model)  # an error now, not at the first image
    require_keras(f"Grad-CAM of '{run.path}'")
    return KerasGradCam(wanted, lambda: load_run_network(run, trust_model))
