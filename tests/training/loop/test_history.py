"""Which epoch is best."""

from tlkit.training.loop.history import HISTORY_COLUMNS, EpochRecord, best_epoch


def records(*losses, f1=None):
    f1 = f1 or [None] * len(losses)
    figures = enumerate(zip(losses, f1, strict=True), 1)
    return [EpochRecord("head", epoch, 0.1, 1.0, 0.5, loss, 0.5, 0.1, val_f1) for epoch, (loss, val_f1) in figures]


def test_best_epoch_first_of_equals():
    assert best_epoch(records(3.0, 1.0, 2.0, 1.0)) == 2


def test_best_epoch_nan_is_never_best():
    assert best_epoch(records(3.0, 1.0, float("nan"), 2.0)) == 2
    assert best_epoch(records(float("nan"), 3.0)) == 2


def test_best_epoch_highest_f1_then_lowest_loss():
    assert best_epoch(records(1, 3, 2, f1=[0.5, 0.7, 0.7])) == 3


def test_as_row_has_columns_of_history_csv():
    [record] = records(1.5, f1=[0.5])
    assert tuple(record.as_row()) == HISTORY_COLUMNS
    assert HISTORY_COLUMNS == (
        "phase", "epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"
    )  # fmt: skip
