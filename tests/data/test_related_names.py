"""File names that look grouped, and names that say nothing about relatives."""

import pytest

from tlkit.data.folder import read_folder
from tlkit.data.related_names import related_notes
from tlkit.data.sample_datasets import write_digits


def is_noted(stems, subsets=None):
    """Whether there is a note for images of one class with these names, in folders of these subsets."""
    if subsets is None:
        return bool(related_notes([(f"a/{stem}.jpg", "", "a") for stem in stems]))
    placed = zip(stems, subsets, strict=True)
    return bool(related_notes([(f"{subset}/a/{stem}.jpg", subset, "a") for stem, subset in placed]))


GROUPED = {
    "patients": [f"p{patient:03}_{number:02}" for patient in range(8) for number in range(4)],
    "slices": [f"P{patient:02}_slice{number}" for patient in range(8) for number in range(5)],
    "x-rays": [f"person{patient}_bacteria_{patient + number}" for patient in range(20) for number in range(2)],
    "hospital": [f"{patient:08}_{number:03}" for patient in range(9) for number in range(3)],
    "slides": [f"SOB_B_A-14-{slide}AB-40-{number:03}" for slide in (22549, 22704, 23060) for number in range(20)],
    "frames": [f"video{clip}_frame{number:05}" for clip in range(4) for number in range(30)],
    "tracks": [f"{track:05}_{number:05}" for track in range(5) for number in range(30)],
    "augmented": [f"IMG_{1200 + number}{end}" for number in range(20) for end in ("", "_aug1", "_aug2")],
    "some are augmented": [*map(str, range(60)), *(f"{number}_aug_1" for number in range(20))],
    "changed": [f"leaf {number}{end}" for number in range(9) for end in ("", "_flip", "_rot90", "-noisy")],
    "changed first": [f"{start}cat.{number}" for number in range(9) for start in ("", "flipped_", "rotated_")],
    "copies": [f"IMG_{number}{end}" for number in range(9) for end in ("", " (1)", " - Copy")],
    "masks": [f"benign ({number}){end}" for number in range(9) for end in ("", "_mask")],
    "keras": [f"aug_{number}_{71 * number + 13 * copy}" for number in range(20) for copy in range(5)],
    "roboflow": [f"dog-{number}_jpg.rf.{copy:032x}" for number in range(20) for copy in range(3)],
    "bursts": [f"IMG_20190321_1435{second:02}_BURST00{k}" for second in (2, 12, 40) for k in range(5)],
    "seconds": [f"IMG_20190321_14{minute}{second:02}" for minute in (11, 22, 33) for second in range(4)],
}
UNGROUPED = {
    "camera": [f"IMG_{number}" for number in range(1121, 1300)],
    "cameras": [f"{name}{number:04}" for name in ("IMG_", "DSC_", "DSCN", "DJI_", "P101") for number in range(40)],
    "camera folders": [f"{folder}_{number:04}" for folder in (100, 101, 102, 103) for number in range(1, 30)],
    "phone": [
        f"IMG_{201903 * 100 + day}_{hour}{37 * day % 60:02}{11 * hour % 60:02}"
        for day in range(1, 29)
        for hour in (11, 14, 17)
    ],  # noqa: E501
    "pixel": [f"PXL_202101{day:02}_12{3 * day % 60:02}{day:02}789" for day in range(1, 29)],
    "whatsapp": [f"IMG-201903{day:02}-WA{number:04}" for day in range(1, 29) for number in range(4)],
    "screenshots": [f"Screenshot 2019-03-{day:02} at {hour}.35.22" for day in range(1, 29) for hour in (11, 14, 17)],
    "plain": [f"{number:05}" for number in range(200)],
    "windows": [f"cat ({number})" for number in range(200)],
    "of the class": [f"glass{number}" for number in range(500)],
    "kaggle": [f"cat.{number}" for number in range(200)],
    "dated": [f"2019-03-{day:02}_{number:03}" for day in range(1, 9) for number in range(9)],
    "years": [f"photo_{year}_{number:03}" for year in (2019, 2020, 2021, 2022) for number in range(9)],
    "flickr": [f"{1_030_023_514 + 977 * number}_{0xAAD5C608F9 * (number + 1) % 16**10:010x}" for number in range(200)],
    "synsets": [f"n0{word}_{number}" for word in (1440764, 1443537, 1484850) for number in range(100)],
    "age and time": [
        f"{age}_{k}_0_20170116{174525125 + 60_007 * (age + 40 * k)}" for age in range(20, 60) for k in range(3)
    ],
    "size": [f"img_{number}_640x480" for number in range(50)],
    "changed once": [f"img_{number}_dark" for number in range(50)],
    "a few copies": [*map(str, range(200)), "1 (1)", "2 (1)", "3_copy"],
    "uuid": [f"{0x9E3779B97F4A7C15 * (k + 1) % 16**16:016x}-{k * 7919 % 4096:04x}" for k in range(200)],
}


@pytest.mark.parametrize("kind", GROUPED)
def test_names_of_relatives_are_noted(kind):
    assert is_noted(GROUPED[kind])


@pytest.mark.parametrize("kind", UNGROUPED)
def test_names_of_cameras_and_plain_numbering_are_not_noted(kind):
    assert not is_noted(UNGROUPED[kind])


def test_the_note_has_an_example_and_what_to_do():
    [note] = related_notes([(f"a/{stem}.png", "", "a") for stem in GROUPED["patients"]])
    assert "such as 'p000_00.png' and 'p000_01.png'" in note
    assert "accuracy may be too high" in note
    assert "--group-regex keeps a group in one subset" in note


def test_an_annotation_beside_each_image_is_no_relative():
    images = [(f"a/{number}.{end}", "", "a") for number in range(20) for end in ("jpg", "xml", "json", "txt")]
    assert related_notes(images) == []


def test_equal_names_in_other_folders_and_classes_are_no_relatives():
    paths = [f"{name}/day{day}/{number:03}.jpg" for name in "ab" for day in range(5) for number in range(9)]
    assert related_notes([(path, "", path[0]) for path in paths]) == []


def test_where_the_folder_has_validation_images_only_relatives_in_both_subsets_are_noted():
    stems = GROUPED["patients"]
    by_patient = ["validation" if stem < "p002" else "train" for stem in stems]
    by_number = ["validation" if stem.endswith("3") else "train" for stem in stems]
    assert not is_noted(stems, by_patient)
    assert is_noted(stems, by_number)


def test_subsets_that_are_each_numbered_from_1_on_are_not_noted():
    for stems in (GROUPED["patients"], GROUPED["some are augmented"], UNGROUPED["plain"]):
        assert not is_noted([*stems, *stems], ["train"] * len(stems) + ["validation"] * len(stems))


def test_test_images_that_are_numbered_as_the_training_images_are_not_noted_and_hide_no_relatives():
    for kind, expected in (("plain", False), ("patients", True)):
        stems = (UNGROUPED | GROUPED)[kind]
        assert is_noted([*stems, *stems], ["train"] * len(stems) + ["test"] * len(stems)) == expected


def test_real_folders_are_not_noted(shared_data):
    for name in ("trashnet", "hymenoptera", "sign_digits"):
        assert read_folder(shared_data / "images" / name).notes == (), name


def test_the_sample_of_digits_is_not_noted(tmp_path):
    write_digits(tmp_path / "digits")
    assert read_folder(tmp_path / "digits").notes == ()
