"""Heat maps for the galleries of a page: where in an image the reasons for its predicted class are."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from tlkit.data.decode import open_upright, to_rgb
from tlkit.data.image import decode_square
from tlkit.data.sources.files import read_file
from tlkit.data.thumbnail import data_uri
from tlkit.errors import ImageError, TlkitError
from tlkit.explain.explainer import open_explainer
from tlkit.explain.occlusion import Occlusion
from tlkit.explain.overlay import draw_overlay
from tlkit.report.images import LARGE, QUALITY
from tlkit.runs.run import Run
from tlkit.utils.parallel import count_workers, ordered_map, single_threaded_blas
from tlkit.utils.storage import Location


def make_heat_maps(run: Run, root: Location, predicted: Mapping[str, int]) -> dict[str, str]:
    """Draw heat maps of images, as data URIs by path.

    There are none where a run cannot be explained without Keras, or only by hiding one part of an image after the
    other: a page must not take as long as a training.

    Args:
        root: folder that the paths are relative to
        predicted: the class of each image whose reasons are shown, by path
    """
    try:
        explainer = open_explainer(run)
    except TlkitError:  # of a run that cannot predict here
        return {}
    if explainer.needs_keras or explainer.method.name == Occlusion.name:
        return {}
    spec = run.manifest.image

    def draw(item: tuple[str, int]) -> str:
        """Draw the heat map of an image; "" where it vanished meanwhile."""
        path, label = item
        try:
            content = read_file(root / path)
            pixels = decode_square(content, spec)
            upright = to_rgb(open_upright(content, LARGE, spec.max_megapixels), spec.gray_range)
        except ImageError:
            return ""
        return data_uri(draw_overlay(upright, explainer.heat_map(pixels, label), spec, LARGE), QUALITY)

    with single_threaded_blas(), ThreadPoolExecutor(count_workers()) as pool:
        drawn = list(ordered_map(pool, draw, predicted.items()))
    return {path: uri for path, uri in zip(predicted, drawn, strict=True) if uri}
