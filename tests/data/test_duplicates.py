"""Near duplicates by pixels: copies are found, what only looks alike is not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.making import encoded
from tlkit.data import duplicates
from tlkit.data.appearance import APPEARANCE
from tlkit.data.duplicates import find_near_duplicates, group_images, name_groups
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec, decode_image

PHOTOS = sorted((Path(__file__).parents[2] / "sample_data" / "beach_desert").rglob("*.jpg"))


def thumbnails_of(files):
    return np.stack([decode_image(data, ImageSpec(32)).appearance["thumbnail"] for data in files])


def names(count):
    return [f"{index:032x}" for index in range(count)]


def texture(seed, side=32):
    """A gray image with detail of every size."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (side, side)).astype(np.uint8)


def copies_of(file):
    """An image re-encoded, at half its size, mirrored, and a bit brighter."""
    image = Image.open(file).convert("RGB")
    half = image.resize((image.width // 2, image.height // 2))
    return [
        encoded(image, "JPEG", quality=50),
        encoded(half, "JPEG", quality=90),
        encoded(ImageOps.mirror(image), "JPEG", quality=90),
        encoded(image, "PNG"),
    ]


def test_copies_of_photos_are_found_and_nothing_else():
    originals = [file.read_bytes() for file in PHOTOS]
    assert find_near_duplicates(thumbnails_of(originals), names(len(originals))).pairs == ()
    copies = [copy for file in PHOTOS[::4] for copy in copies_of(file)]
    found = find_near_duplicates(thumbnails_of(originals + copies), names(len(originals) + len(copies)))
    sources = {**{index: index for index in range(len(originals))}}
    sources |= {len(originals) + index: 4 * (index // 4) for index in range(len(copies))}
    assert [pair for pair in found.pairs if sources[pair.first] != sources[pair.second]] == []
    linked = {(pair.first, pair.second) for pair in found.pairs}
    assert [index for index, source in sources.items() if index != source and (source, index) not in linked] == []
    assert found.series == ()


def test_near_duplicates_are_mirrored_ones_too_and_scored():
    one, other = texture(1), texture(2)
    found = find_near_duplicates(np.stack([one, other, one, other[:, ::-1]]), ["d", "b", "a", "b"])
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 2), (1, 3)]
    assert [pair.score for pair in found.pairs] == pytest.approx([1, 1], abs=1e-5)


def test_chain_of_near_duplicates_is_one_group():
    first, change = texture(1).astype(float), texture(2).astype(float)
    frames = [np.clip(first + step * 0.1 * (change - first), 0, 255).astype(np.uint8) for step in range(4)]
    others = [texture(seed) for seed in range(10, 50)]
    folder = group_images(folder_of(np.stack(frames + others), names(44)))
    linked = {(pair.first, pair.second) for pair in find_near_duplicates(np.stack(frames), names(4)).pairs}
    assert (0, 1) in linked and (2, 3) in linked and (0, 3) not in linked
    assert folder.groups == (names(44)[0],) * 4 + tuple(names(44)[4:])


def test_blank_images_are_not_near_duplicates():
    white = np.full((32, 32), 255, np.uint8)
    nearly = white - (texture(1) > 250).astype(np.uint8)
    assert find_near_duplicates(np.stack([white, nearly, white]), names(3)).pairs == ()


def test_too_many_alike_are_a_series_and_no_group():
    scene, random = texture(1).astype(float), np.random.default_rng(0)
    frames = [np.clip(scene + random.normal(0, 3, scene.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    others = [texture(seed) for seed in range(10, 22)]
    found = find_near_duplicates(np.stack(frames + others), names(20))
    assert found.series == tuple(range(8))
    assert found.pairs == ()
    equal = find_near_duplicates(np.stack([frames[0]] * 8 + others), ["0"] * 8 + names(20)[8:])
    assert equal.series == ()
    assert len(equal.pairs) == 8 * 7 // 2


def test_blocks_do_not_change_what_is_found(monkeypatch):
    images = np.stack([texture(seed % 7) for seed in range(20)])
    whole = find_near_duplicates(images, names(20))
    monkeypatch.setattr(duplicates, "BLOCK", 3)
    assert find_near_duplicates(images, names(20)).pairs == whole.pairs
    assert len(whole.pairs) == 6 * 3 + 1


def altered(images, strength, random):
    """Copies with noise, every second one mirrored."""
    copies = np.clip(images + random.normal(0, strength, images.shape), 0, 255).astype(np.uint8)
    copies[::2] = copies[::2, :, ::-1]
    return copies


def test_bands_find_what_all_pairs_find(monkeypatch):
    random = np.random.default_rng(0)
    originals = np.stack([texture(seed) for seed in range(700)])
    images = np.concatenate([originals, altered(originals[:80], 8, random), altered(originals[:40], 16, random)])
    images = np.concatenate([images, originals[:5], np.zeros((3, 32, 32), np.uint8)])
    whole = find_near_duplicates(images, names(len(images)))
    monkeypatch.setattr(duplicates, "MAX_ALL_PAIRS", 0)
    assert find_near_duplicates(images, names(len(images))) == whole
    assert len(whole.pairs) > 90


def test_bands_seldom_miss_a_pair_at_the_limit():
    """The fewest have a band in common where details correlate as little as near duplicates may."""
    random = np.random.default_rng(1)
    originals = np.stack([texture(seed) for seed in range(3000)])
    images = np.concatenate([originals, altered(originals, 24, random)])
    first, second = np.arange(3000), np.arange(3000, 6000)
    limit = duplicates.ALIKE_DETAILS
    near = np.abs(duplicates._correlations(duplicates.details_of(images.astype(float)), first, second) - limit) < 0.005
    hashes, _ = duplicates.hash_details(images)
    plain, mirrored = hashes[:6000], hashes[6000:]
    found = (plain[first] == np.where(second[:, np.newaxis] % 2, plain[second], mirrored[second])).any(axis=1)
    assert near.sum() > 1000
    assert (near & ~found).sum() <= 6  # 1 or 2 are expected
    strangers = (plain[first[1:]] == plain[second[:-1]]).sum() / near.size
    assert strangers < 0.05


def test_many_copies_are_one_group_though_not_all_are_compared(monkeypatch):
    random = np.random.default_rng(2)
    images = np.concatenate(
        [altered(np.stack([texture(1)] * 150), 8, random), [texture(seed) for seed in range(5, 2005)]]
    )
    monkeypatch.setattr(duplicates, "MAX_ALL_PAIRS", 0)
    monkeypatch.setattr(duplicates, "MAX_NEIGHBORS", 8)
    found = find_near_duplicates(images, names(len(images)))
    assert len(found.pairs) < 150 * 149 // 2
    assert name_groups(names(len(images)), (), found.pairs)[:150] == (names(1)[0],) * 150


@pytest.mark.slow
def test_real_photos(shared_data, monkeypatch):
    for folder, most in (("trashnet", 20), ("hymenoptera", 0), ("sign_digits", 0)):
        files = sorted((shared_data / "images" / folder).rglob("*.*"))
        thumbnails = thumbnails_of([file.read_bytes() for file in files])
        with monkeypatch.context() as patch:
            found = find_near_duplicates(thumbnails, names(len(files)))
            assert len(found.pairs) == most
            patch.setattr(duplicates, "MAX_ALL_PAIRS", 0)
            assert find_near_duplicates(thumbnails, names(len(files))) == found


def folder_of(thumbnails, digests, related=()):
    count = len(digests)
    described = np.zeros(count, APPEARANCE)
    described["thumbnail"] = thumbnails
    return ImageFolder(
        root=Path("nowhere"),
        class_names=("a", "b"),
        paths=tuple(f"a/{index}.png" for index in range(count)),
        labels=np.zeros(count, np.int32),
        subsets=("",) * count,
        related=tuple(related),
        sha256=tuple(digests),
        digests=tuple(digests),
        groups=tuple(digests),
        appearances=described,
    )


def test_group_images_joins_equal_near_and_related_ones_and_says_why():
    images = np.stack([texture(1), texture(1)[:, ::-1], texture(2), texture(2), texture(3), texture(4), texture(5)])
    folder = group_images(
        folder_of(images, ["d", "c", "e", "e", "f", "b", "g"], ["", "p1", "", "p1", "p2", "p2", "p3"])
    )
    assert folder.groups == ("c", "c", "c", "c", "b", "b", "g")
    assert folder.reasons == (
        "near duplicate",
        "near duplicate, group p1",
        "equal pixels",
        "equal pixels, group p1",
        "group p2",
        "group p2",
        "",
    )
    assert folder.notes == (
        "3 groups of images that belong together; 2 images are in none; a group is in one subset.",
        "2 images are near duplicates, e.g. a/0.png and a/1.png; near duplicates are kept in one subset.",
    )
    parts = folder.subset([1, 4])
    assert (parts.groups, parts.reasons) == (("c", "b"), ("near duplicate, group p1", "group p2"))


def test_group_images_tells_of_a_series_and_leaves_it_alone():
    scene, random = texture(1).astype(float), np.random.default_rng(0)
    frames = [np.clip(scene + random.normal(0, 3, scene.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    folder = group_images(folder_of(np.stack(frames), names(8)))
    assert folder.groups == tuple(names(8))
    assert folder.notes[0].startswith("8 images look nearly alike, e.g. a/0.png and a/1.png")
