"""A contact sheet: each query on the left, the images that are nearest to it beside it."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from tlkit.data.thumbnail import FAINT, LINE_COLOR, read_square, stack_rows, write_text
from tlkit.search.query import Match, QueryResult
from tlkit.utils.storage import as_location
from tlkit.utils.text import shorten_middle

SIDE, GAP, MARGIN = 112, 10, 16  # pixels
LINE, TITLE_SIZE, TEXT_SIZE = 16, 13, 11
MAX_COLUMNS, MAX_QUERIES = 10, 40  # of a sheet
MAX_CAPTION = 17  # characters below an image


def draw_matches(results: Sequence[QueryResult], may_read: bool) -> bytes:
    """Draw a sheet and give the bytes of a PNG file.

    Args:
        may_read: whether the images of the index are read, from folders that it names
    """
    shown = results[:MAX_QUERIES]
    columns = min(MAX_COLUMNS, max((len(result.matches) for result in shown), default=0))
    width = 2 * MARGIN + SIDE + 2 * GAP + max(1, columns) * (SIDE + GAP)
    return stack_rows([_draw_row(result, width, may_read) for result in shown], width)


def _draw_row(result: QueryResult, width: int, may_read: bool) -> Image.Image:
    """Draw a query and the images that were found."""
    row = Image.new("RGB", (width, 2 * MARGIN + LINE + SIDE + 2 * LINE), "white")
    write_text(row, (MARGIN, MARGIN - 4), result.path.rpartition("/")[2], TITLE_SIZE)
    top = MARGIN + LINE
    row.paste(read_square(as_location(result.path), SIDE), (MARGIN, top))
    write_text(row, (MARGIN, top + SIDE + 3), "query", TEXT_SIZE, FAINT)
    left = MARGIN + SIDE + GAP
    ImageDraw.Draw(row).line((left, top, left, top + SIDE), LINE_COLOR, 2)
    left += GAP
    if result.error:
        write_text(row, (left, top), result.error, TEXT_SIZE, FAINT)
    for match in result.matches[:MAX_COLUMNS]:
        _draw_match(row, (left, top), match, may_read)
        left += SIDE + GAP
    ImageDraw.Draw(row).line((MARGIN, row.height - 1, width - MARGIN, row.height - 1), LINE_COLOR)
    return row


def _draw_match(row: Image.Image, position: tuple[int, int], match: Match, may_read: bool) -> None:
    left, top = position
    row.paste(read_square(as_location(match.root) / match.path if may_read else None, SIDE), position)
    caption = match.label or match.path.rpartition("/")[2]
    write_text(row, (left, top + SIDE + 3), shorten_middle(caption, MAX_CAPTION), TEXT_SIZE)
    write_text(row, (left, top + SIDE + 2 + LINE), f"{match.distance:.3f}", TEXT_SIZE, FAINT)
