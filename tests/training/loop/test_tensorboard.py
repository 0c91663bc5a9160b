"""Curves for TensorBoard: each epoch of each phase, and everything passed on."""

from tlkit.training.loop.history import EpochRecord
from tlkit.training.loop.tensorboard import SCALARS, TensorBoard
from tlkit.utils.progress import Silent


class Listening(Silent):
    """A progress that keeps its epochs."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_epoch_end(self, row):
        self.rows.append(row)


def scalars(folder):
    from tensorflow.python.summary.summary_iterator import summary_iterator

    [file] = folder.iterdir()
    return {(value.tag, event.step) for event in summary_iterator(str(file)) for value in event.summary.value}


def test_tensorboard_writes_each_phase_and_passes_everything_on(tmp_path):
    progress = Listening()
    board = TensorBoard(progress, tmp_path)
    epochs = {"head": (1, 2), "blocks": (1, 2, 3)}
    rows = [
        EpochRecord(phase, epoch, 0.1, 1.0, 0.5, 0.9, 0.6, 0.2).as_row() for phase in epochs for epoch in epochs[phase]
    ]
    for row in rows:
        board.on_epoch_end(row)
    board.note("a note")
    with board.stage("head", 5, "epochs") as advance:
        advance(1)
    assert progress.rows == rows
    assert progress.notes == ["a note"]
    for phase, numbers in epochs.items():
        assert scalars(tmp_path / phase) == {(name, epoch) for name in SCALARS for epoch in numbers}
