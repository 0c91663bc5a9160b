"""Tables in the forms that other programs take."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tlkit.errors import require

if TYPE_CHECKING:
    import pandas


def data_frame(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> "pandas.DataFrame":
    """Make a pandas data frame, with columns also where there is no row.

    raises: ModelError where pandas is not installed
    """
    require("pandas", "pandas", "to_pandas()")
    import pandas

    return pandas.DataFrame(list(rows), columns=list(columns))
