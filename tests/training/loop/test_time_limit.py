"""What is said of a time limit: while images are read, after the last epoch, at the end."""

import time
from dataclasses import replace

import pytest

from tlkit.settings.training import ClassicSettings, FinetuneSettings
from tlkit.training.loop import time_limit
from tlkit.training.loop.history import EpochRecord
from tlkit.training.loop.time_limit import ReadingWatch, check_time_limit, notes_on_epochs
from tlkit.utils.progress import Silent


def epochs(*accuracies, seconds=9.0):
    """Epochs of one phase, with the start as epoch 0."""
    values = {"learning_rate": 0.1, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "seconds": seconds}
    rows = enumerate((0.5, *accuracies))
    return [EpochRecord(phase="blocks", epoch=number, val_accuracy=accuracy, **values) for number, accuracy in rows]


def read(limit, passed=0.0, images=1000):
    """Notes about a stage of 1,000 images, of which 20 are read, a hundred a second."""
    progress = Silent()
    with ReadingWatch(progress, limit, passed).stage("features", images, "images") as advance:
        for _ in range(5):
            time.sleep(0.04)
            advance(4)
    return progress.notes


@pytest.fixture
def hasty(monkeypatch):
    """The end of reading is foreseen after the second step."""
    monkeypatch.setattr(time_limit, "MEASURED_SECONDS", 0.0)


def test_reading_watch_says_once_that_reading_alone_takes_longer(hasty):
    [note] = read("8s")
    assert note.startswith("reading the images takes about 1")
    assert "--time-limit 8s does not shorten that" in note
    assert read("1m", passed=55.0)


def test_reading_watch_says_nothing_where_reading_fits_or_nothing_limits_it(hasty):
    assert read("5m") == read("") == read("8s", images=24) == []


def test_reading_watch_waits_until_the_pace_is_known():
    assert read("1s") == []


def test_notes_on_epochs_say_where_the_limit_ended_them():
    assert notes_on_epochs(epochs(0.6, 0.7), (2, 7), 3.0, 40.0) == [
        "stopped at 2 of 7 epochs by --time-limit; accuracy was still rising."
    ]
    assert notes_on_epochs(epochs(0.7, 0.6), (2, 7), 3.0, 40.0) == ["stopped at 2 of 7 epochs by --time-limit."]
    assert notes_on_epochs(epochs(0.7, 0.6), (5, 7), 3.0, 40.0) == []  # early stopping ended them


@pytest.mark.parametrize(
    ("allowed", "spare", "why"),
    [
        ((2, 7), 6.0, "about 6 s before --time-limit: another epoch of 9 s does not fit."),
        ((2, 7), 12.0, "about 12 s before --time-limit: the epochs took less time than expected."),
        ((0, 0), 20.0, "about 20 s before --time-limit: the training was done."),
        ((5, 7), 20.0, "about 20 s before --time-limit: the training was done."),
    ],
)
def test_notes_on_epochs_say_why_time_is_left(allowed, spare, why):
    assert notes_on_epochs(epochs(0.7, 0.6), allowed, spare, 40.0)[-1].endswith(why)
    assert not any("before" in note for note in notes_on_epochs(epochs(0.7, 0.6), allowed, spare, 0.0))
    assert not any("before" in note for note in notes_on_epochs(epochs(0.7, 0.6), allowed, spare, 1000.0))


SECONDS = {"scan": 1.0, "features": 30.0, "choose": 2.0, "fit": 3.0}


def test_check_time_limit_says_by_how_much_and_why():
    options = FinetuneSettings(time_limit="5")
    assert check_time_limit(options, SECONDS | {"total": 38.0}) == [
        "the run took 38 s, 33 s more than --time-limit 5: reading the images took 31 s, which no limit shortens."
    ]
    [note] = check_time_limit(options, SECONDS | {"features": 1.0, "fit": 20.0, "total": 26.0})
    assert note.endswith("training took 22 s, longer than estimated.")
    [note] = check_time_limit(replace(options, folds=3), SECONDS | {"total": 100.0})
    assert note.endswith("repeating the training and saving it took 1 min 4 s.")


def test_check_time_limit_that_was_kept_says_nothing():
    for limit, total in (("1m", 60.9), ("1m", 12.0), ("", 1e6)):
        assert check_time_limit(FinetuneSettings(time_limit=limit), SECONDS | {"total": total}) == []
    assert check_time_limit(ClassicSettings(descriptor="hog"), SECONDS | {"total": 1e6}) == []
