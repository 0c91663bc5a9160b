"""The cost of a head, measured on its own steps."""

from tlkit.models.head import Head
from tlkit.training.head.cost import head_step_seconds


def test_head_step_seconds_grow_with_the_head():
    small, large = (
        min(head_step_seconds(Head(0.5, True, hidden), 512, 10, 64) for _ in range(3)) for hidden in ((), (1024,))
    )
    assert 0 < 5 * small < large


def test_forecast_of_a_head_alone_is_of_the_whole_run(finetuned):
    metrics = finetuned.metrics
    assert metrics.forecast["seconds"] > metrics.seconds["features"]
    images = metrics.num_train + metrics.num_validation
    assert metrics.forecast["disk_bytes"] % (4 * images) == 0
