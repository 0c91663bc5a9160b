"""The comparison with other tools: its test split, its resumption, and whom a peer is compared with."""

import sys

import numpy as np
import pytest

import tlkit
from tests.making import encoded, noise

sys.path.append(str(tlkit.__path__[0] + "/../benchmarks"))

import peers  # noqa: E402


def point(arm, seconds, correct, seed=0, name="model"):
    return peers.Point(arm, seed, name, seconds, np.array(correct, bool))


@pytest.fixture
def place(tmp_path):
    for name in ("red", "blue"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(10):
            image = encoded(noise(8, 8, seed=number + 10 * (name == "red")))
            (tmp_path / "images" / name / f"{number}.png").write_bytes(image)
    made = peers.Place(tmp_path / "results", None)
    made.split(tmp_path / "images")
    return made


def test_split_takes_a_fifth_of_each_class_and_keeps_all_images(place, tmp_path):
    test, train = ({*peers.images_of(folder)} for folder in (place.test, place.train))
    assert [sum(name.startswith(label) for name in test) for label in ("red", "blue")] == [2, 2]
    assert not test & train
    assert test | train == {*peers.images_of(tmp_path / "images")}
    again = peers.Place(tmp_path / "again", None)
    again.split(tmp_path / "images")
    assert {*peers.images_of(again.test)} == test
    with pytest.raises(SystemExit, match="results of other images"):
        again.split(tmp_path)
    with pytest.raises(SystemExit, match="no images in folders of classes"):
        peers.Place(tmp_path / "none", None).split(tmp_path / "nothing")


def test_finished_points_are_read_back_and_not_run_again(place):
    points = [point("sklearn", 12.5, [1, 0, 1, 1], name="plain"), point("sklearn", 13.0, [1, 1, 1, 1], name="other")]
    place.add(points[:1])
    place.add(points[1:])
    read = place.read()
    assert [(row.arm, row.name, row.seconds, row.accuracy) for row in read] == [
        ("sklearn", "plain", 12.5, 0.75),
        ("sklearn", "other", 13.0, 1.0),
    ]
    np.testing.assert_array_equal(read[0].correct, points[0].correct)
    (arm,) = (row for row in peers.ARMS if row.name == "sklearn")
    assert not peers.run_missing(place, [arm], [0])  # else it would train in train/
    assert len(place.read()) == 2


def test_marked_requires_a_class_for_every_test_image(place):
    images = peers.images_of(place.test)
    assert peers.marked(place, dict.fromkeys(images, "red")).sum() == 2
    with pytest.raises(peers.FailedError, match="1 test images were not classified"):
        peers.marked(place, dict.fromkeys(images[1:], "red"))


def test_report_compares_a_peer_with_the_run_that_had_finished_last():
    good, poor = [1] * 95 + [0] * 5, [1] * 60 + [0] * 40
    points = [point("all", 20, poor), point("lower", 200, good), point("timm-frozen", 100, good, name="2 frozen")]
    points.append(point("fastai-1", 300, poor))
    points.append(point("keras-frozen", 5, poor))
    assert [row.arm for row in peers.tlkit_by_then(points, points[2:3])] == ["all"]
    assert [row.arm for row in peers.tlkit_by_then(points, points[3:4])] == ["lower"]
    assert peers.tlkit_by_then(points, points[4:]) == []
    text = peers.report("photos", points, 100)
    assert "timm (2 frozen) is better than tlkit" in text
    assert "| timm | 2 frozen | 100 | 95.0 % | +35.0 (" in text
    assert "No peer is better" in peers.report("photos", [*points[:2], points[3]], 100)


def test_draw_makes_an_image_of_800_pixels(tmp_path):
    from PIL import Image

    points = [point("all", 20, [1, 0], seed=seed) for seed in (0, 1)] + [point("timm-frozen", 90, [1, 1])]
    peers.draw(peers.by_model(points), "photos", peers.LIMIT, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size == (800, 500)
