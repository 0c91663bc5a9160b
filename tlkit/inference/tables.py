"""Predictions as rows of a table."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tlkit.inference.predictor import Prediction
from tlkit.utils.tables import data_frame

if TYPE_CHECKING:
    import pandas


def predictions_to_pandas(predictions: Iterable[Prediction]) -> "pandas.DataFrame":
    """Make a data frame of predictions, with the columns of `tlkit predict --format csv`.

    returns: path, status, label, confidence, label_2, confidence_2, ... as many as `top_k` gave, and error
    raises: ModelError where pandas is not installed
    """
    predictions = list(predictions)
    top_k = max((len(prediction.top) for prediction in predictions), default=1)
    columns = top_columns(top_k)
    rows = [top_values(prediction, top_k) for prediction in predictions]
    return data_frame(columns, rows)


def top_columns(top_k: int) -> list[str]:
    """Name the columns that every table of predictions has.

    >>> top_columns(2)
    ['path', 'status', 'label', 'confidence', 'label_2', 'confidence_2', 'error']
    """
    ranks = [name for k in range(2, top_k + 1) for name in (f"label_{k}", f"confidence_{k}")]
    return ["path", "status", "label", "confidence", *ranks, "error"]


def top_values(prediction: Prediction, top_k: int) -> list[Any]:
    """Give the values of `top_columns`; None where there is none."""
    values: list[Any] = [value for pair in prediction.top for value in pair]
    values += [None] * (2 * top_k - len(values))
    return [prediction.path, prediction.status, *values, prediction.error]
