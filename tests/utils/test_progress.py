"""What work reports to."""

import time

from tlkit.utils.progress import Silent, Stopwatch


def test_silent_progress_keeps_its_notes_and_prints_nothing(capsys):
    progress = Silent()
    with progress.stage("Reading", 3, "images") as advance:
        advance(1)
        advance(2)
    progress.note("a note")
    progress.on_epoch_end({"epoch": 1})
    assert progress.notes == ["a note"]
    assert capsys.readouterr() == ("", "")


def test_stopwatch_laps_of_one_name_add_up_to_the_total():
    watch = Stopwatch()
    time.sleep(0.01)
    watch.lap("read")
    time.sleep(0.01)
    watch.lap("fit")
    first = watch.laps["read"]
    time.sleep(0.01)
    watch.lap("read")
    assert list(watch.laps) == ["read", "fit"]
    assert 0.01 <= first <= watch.laps["read"] - 0.01
    assert abs(sum(watch.laps.values()) - watch.total()) < 0.01
