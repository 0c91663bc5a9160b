"""Which epoch is best."""

import numpy as np
import pytest

from tlkit.training.loop.history import (
    BALANCED_LOSS,
    HISTORY_COLUMNS,
    LOSS,
    MACRO_F1,
    EpochRecord,
    best_epoch,
    choose_criterion,
    is_imbalanced,
    plateau_factor,
)


def records(*losses, criterion=None):
    figures = enumerate(zip(losses, criterion or [None] * len(losses), strict=True), 1)
    return [EpochRecord("head", epoch, 0.1, 1.0, 0.5, loss, 0.5, 0.1, value) for epoch, (loss, value) in figures]


def test_best_epoch_first_of_equals():
    assert best_epoch(records(3.0, 1.0, 2.0, 1.0)) == 2


def test_best_epoch_nan_is_never_best():
    assert best_epoch(records(3.0, 1.0, float("nan"), 2.0)) == 2
    assert best_epoch(records(float("nan"), 3.0)) == 2


def test_best_epoch_by_its_criterion_then_by_the_lowest_loss():
    assert best_epoch(records(1, 3, 2, criterion=[-0.5, -0.7, -0.7])) == 3
    assert best_epoch(records(1, 2, criterion=[float("nan"), -0.1])) == 2


def test_choose_criterion_takes_f1_only_where_every_class_has_five_held_out_images():
    for train, validation, expected in (
        ((30, 11), (8, 1), LOSS),
        ((30, 10), (8, 5), MACRO_F1),
        ((30, 10), (8, 4), BALANCED_LOSS),
        ((30, 10, 30), (8, 9), BALANCED_LOSS),  # none of the last
        ((400, 20), (100, 5), MACRO_F1),
    ):
        labels = [np.repeat(np.arange(len(counts)), counts) for counts in (train, validation)]
        assert choose_criterion(*labels) == expected, (train, validation)


def test_is_imbalanced_from_three_to_one():
    counts = ([30, 10], [29, 10], [5, 0, 5])
    assert [is_imbalanced(np.repeat(np.arange(len(each)), each)) for each in counts] == [True, False, False]


def test_as_row_has_columns_of_history_csv():
    [record] = records(1.5, criterion=[0.5])
    assert tuple(record.as_row()) == HISTORY_COLUMNS
    assert HISTORY_COLUMNS == (
        "phase", "epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"
    )  # fmt: skip


def test_plateau_factor_counts_from_last_better_epoch():
    assert plateau_factor([5, 4, 4, 3, 3, 3]) == 1
    assert plateau_factor([5, 4, 4, 4, 4]) == pytest.approx(0.3)
    assert plateau_factor([5, 5, 5, 5, 5, 5, 5]) == pytest.approx(0.09)
    assert plateau_factor([5, 5, 5, 5, 4, 4, 4]) == pytest.approx(0.3)
