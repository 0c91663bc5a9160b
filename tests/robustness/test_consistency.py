"""Copies that people take for the same image."""

import numpy as np

from tlkit.robustness.consistency import COPIES


def test_copies_are_close_to_the_image():
    y, x = np.mgrid[:100, :100]
    image = np.stack([y + 50, x + 80, 2 * y], axis=2).astype(np.uint8)
    copies = {name: copy(image, np.random.default_rng(0)) for name, copy in COPIES.items()}
    assert {name: (copy.shape, copy.dtype) for name, copy in copies.items()} == dict.fromkeys(
        ("mirrored", "shifted", "encoded again"), ((100, 100, 3), np.uint8)
    )
    assert np.array_equal(copies["mirrored"][:, ::-1], image)
    assert 0 < np.abs(copies["encoded again"].astype(int) - image).mean() < 3
    offsets = [
        (down, right)
        for down in range(-3, 4)
        for right in range(-3, 4)
        if np.array_equal(copies["shifted"][10 + down : 90 + down, 10 + right : 90 + right], image[10:90, 10:90])
    ]
    assert len(offsets) == 1 and 1 < np.hypot(*offsets[0]) < 3
