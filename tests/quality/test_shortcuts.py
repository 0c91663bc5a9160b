"""What tells the classes apart besides what images show."""

import numpy as np
from PIL import Image

from tests.quality.making import looked_at, photo, photos, save
from tlkit.quality.shortcuts import Shortcuts, vote_among_equal, vote_among_nearest


def test_nothing_is_found_where_files_are_alike(tmp_path):
    assert Shortcuts().find(looked_at(photos(tmp_path, {"a": 25, "b": 25}))) == []


def test_format_and_size_that_tell_the_class(tmp_path):
    for index in range(25):
        save(photo(index, 96), tmp_path / "a" / f"{index}.png")
        save(photo(100 + index, 64), tmp_path / "b" / f"{index}.jpg")
    issues = Shortcuts().find(looked_at(tmp_path))
    assert {"the file format", "the size in pixels"} <= {
        issue.message.split(" alone")[0].removeprefix("the class can be predicted from ") for issue in issues
    }
    assert all(issue.severity == "error" for issue in issues[:2])
    assert "alone: 100.0 % (92.9 to 100.0 %) correct; the commonest class is 50.0 %." in issues[0].message
    assert issues[0].paths == ("a/0.png", "b/0.jpg")


def test_a_frame_around_one_class(tmp_path):
    for index in range(25):
        image = photo(index)
        save(image, tmp_path / "a" / f"{index}.png")
        framed = Image.new("RGB", image.size, "white")
        framed.paste(photo(100 + index, 84), (6, 6))
        save(framed, tmp_path / "b" / f"{index}.png")
    [issue] = [issue for issue in Shortcuts().find(looked_at(tmp_path)) if "border" in issue.message]
    assert issue.severity == "warning"


def test_votes_leave_out_the_image_itself():
    labels = np.array([0, 0, 1, 1, 1])
    assert vote_among_equal(["x", "x", "y", "y", "z"], labels).tolist() == [0, 0, 1, 1, 0]
    traits = np.array([[0.0], [0.1], [5.0], [5.1], [5.2]])
    assert vote_among_nearest(np.repeat(traits, 4, axis=0), np.repeat(labels, 4)).tolist() == [0] * 8 + [1] * 12
