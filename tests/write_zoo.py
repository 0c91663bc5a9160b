"""Counts anew what `tlkit/models/zoo.csv` says of every network's layers: `python -m tests.write_zoo`.

Year, accuracy and source stand there by hand; a new network needs a line with them.
"""

import csv
import io
from dataclasses import astuple, fields, replace
from pathlib import Path

from tlkit.models.catalog import CatalogEntry, load_catalog
from tlkit.models.keras_setup import start_keras

FILE = Path(__file__).parents[1] / "tlkit" / "models" / "zoo.csv"


def counted(row: CatalogEntry) -> CatalogEntry:
    """The row with depth, parameters and operations as its layers have them."""
    start_keras()
    import keras

    from tlkit.models.summary import build_summarized, summarize
    from tlkit.settings.commands import SummarySettings

    found = summarize(build_summarized(row.row, SummarySettings()))
    keras.utils.clear_session()
    return replace(row, depth=found.depth, parameters=found.total_parameters, multiply_adds=found.multiply_adds)


def text_of(rows: list[CatalogEntry]) -> str:
    """The file with these rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(CatalogEntry))
    writer.writerows(["" if value is None else value for value in astuple(row)] for row in rows)
    return text.getvalue()


if __name__ == "__main__":
    FILE.write_text(text_of([counted(row) for row in load_catalog()]), encoding="utf-8")
