"""Parts of a time limit, and what ends a training that takes too long."""

import math
import time
from dataclasses import replace

import pytest

from tests.comparison.recipes import candidate
from tlkit.comparison.slots import Deadline, OutOfTimeError, TimeSlot, time_slot
from tlkit.utils.progress import Silent


def test_time_slot_divides_what_is_left_in_proportion():
    quick, slow = candidate("quick", min_seconds=10), candidate("slow", min_seconds=30)
    assert time_slot(quick, [slow]) == TimeSlot(0.25, 10)
    assert time_slot(slow, []) == TimeSlot(1.0, 30)
    assert time_slot(quick, [slow]).seconds(100) == 25
    assert time_slot(quick, [slow]).seconds(20) == 10  # less makes no classifier
    assert time_slot(quick, [slow]).seconds(math.inf) == math.inf


def test_time_slot_of_several_at_once_is_longer_but_leaves_time_for_what_follows():
    one, two = candidate("one", min_seconds=30), candidate("two", min_seconds=30)
    last = replace(candidate("last", min_seconds=30), depends_on_others=True)
    assert time_slot(one, [two, last], at_once=1).fraction == pytest.approx(1 / 3)
    assert time_slot(one, [two, last], at_once=2).fraction == pytest.approx(1 / 2)  # both beside each other, then last
    assert time_slot(one, [], at_once=2).fraction == 1.0


def test_deadline_ends_work_at_its_next_step():
    over, ample = Deadline(Silent(), -1), Deadline(Silent(), 1000)
    with pytest.raises(OutOfTimeError), over.stage("reading", 3, "images"):
        pytest.fail("it was started")
    with pytest.raises(OutOfTimeError):
        over.on_epoch_end({})
    with ample.stage("reading", 3, "images") as advance:
        advance(1)
    short = Deadline(Silent(), 0.05)
    with pytest.raises(OutOfTimeError), short.stage("reading", 3, "images") as advance:
        time.sleep(0.1)
        advance(1)


def test_deadline_note_passes_on_transient_ones_only():
    progress = Silent()
    for transient in (False, True):
        Deadline(progress, 1000).note(f"transient: {transient}", transient)
    assert progress.notes == ["transient: True"]
