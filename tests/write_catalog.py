"""Count the layers of every network for `tlkit/models/catalog.csv`: `python -m tests.write_catalog`.

Year, accuracy and source are entered manually; a new network needs a line with them.
"""

import csv
import io
from dataclasses import astuple, fields, replace
from pathlib import Path

from tlkit.models.catalog import CatalogEntry, load_catalog
from tlkit.models.keras_setup import start_keras

CATALOG_FILE = Path(__file__).parents[1] / "tlkit" / "models" / "catalog.csv"


def recount(entry: CatalogEntry) -> CatalogEntry:
    """Count depth, parameters and operations of an entry from its layers."""
    start_keras()
    import keras

    from tlkit.models.summary import build_whole_network, summarize

    summary = summarize(build_whole_network(entry.spec))
    keras.utils.clear_session()
    return replace(entry, depth=summary.depth, parameters=summary.total_parameters, multiply_adds=summary.multiply_adds)


def to_csv(entries: list[CatalogEntry]) -> str:
    """Write the entries as the text of the file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(CatalogEntry))
    writer.writerows(["" if value is None else value for value in astuple(entry)] for entry in entries)
    return text.getvalue()


if __name__ == "__main__":
    CATALOG_FILE.write_text(to_csv([recount(entry) for entry in load_catalog()]), encoding="utf-8")
