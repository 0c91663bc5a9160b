"""The explanation of an answer."""

import numpy as np
import pytest
from PIL import Image

from tlkit.data.image import ImageSpec
from tlkit.explain.base import Explanation


def test_overlay_is_an_rgb_image_of_the_asked_size():
    image, heat = Image.new("RGB", (300, 200), "white"), np.ones((8, 8), np.float32)
    explanation = Explanation("x.png", "ok", heat=heat, image=image, spec=ImageSpec(8))
    assert explanation.overlay(150).size == (150, 100) and explanation.overlay(150).mode == "RGB"
    assert image.size == (300, 200)


def test_overlay_without_a_heat_map_says_so():
    with pytest.raises(ValueError, match=r"'x.png' has no heat map: is empty"):
        Explanation("x.png", "error", error="is empty").overlay()
