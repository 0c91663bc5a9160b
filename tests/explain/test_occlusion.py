"""Heat maps by covering parts of an image."""

import numpy as np

from tlkit.explain.occlusion import NUM_STEPS, Occlusion, Window


def test_occlusion_finds_the_part_that_the_answer_depends_on():
    def classify(images):
        """Class 1 is as probable as the square in rows 30 to 40 and columns 5 to 15 is bright."""
        bright = images[:, 30:40, 5:15].mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - bright, bright], axis=1)

    pixels = np.full((48, 48, 3), 20, np.uint8)
    pixels[30:40, 5:15] = 240
    heat = Occlusion(classify).heat(pixels, 1)
    assert heat.shape == (NUM_STEPS, NUM_STEPS) and heat.dtype == np.float32
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 30 <= (row + 0.5) * 4 < 40 and 5 <= (column + 0.5) * 4 < 15
    assert heat[0, -1] == 0


def test_occlusion_works_on_images_smaller_than_its_steps():
    heat = Occlusion(lambda images: np.full((len(images), 2), 0.5)).heat(np.zeros((5, 5, 3), np.uint8), 0)
    assert heat.shape == (5, 5) and (heat == 0).all()


def test_window_contains_points_and_gives_pixels():
    window = Window(0.25, 0.5, 0.0, 0.5)
    assert window.slices(8) == (slice(2, 4), slice(0, 4))
    inside = window.contains(np.array([0.1, 0.6, 0.1]), np.array([0.3, 0.3, 0.5]))
    assert inside.tolist() == [True, False, False]
    assert not Window().contains(np.array([0.0]), np.array([0.0])).any()
