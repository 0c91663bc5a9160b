"""Explanations as PNG: each image, its heat map and its nearest training images side by side."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from tlkit.data.thumbnail import FAINT, LINE_COLOR, read_square, stack_rows, write_text
from tlkit.explain.base import Explanation
from tlkit.explain.overlay import draw_overlay
from tlkit.utils.storage import Location
from tlkit.utils.text import shorten_middle

SIDE, THUMBNAIL = 300, 118  # pixels: of an image and its heat map, of a training image
MARGIN, GAP = 16, 8
TITLE_SIZE, TEXT_SIZE, LINE = 15, 12, 17
WIDTH = 2 * MARGIN + 2 * SIDE + GAP + 5 * (THUMBNAIL + GAP)
MAX_CAPTION = 16  # characters
METHOD_WORDS = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "occlusion": "occlusion",
    "gradient": "gradient × input",
    "template": "template × image",
    "parts": "descriptors left out",
}


def sheet_bytes(explanations: Sequence[Explanation], root: Location | None) -> bytes:
    """Draw a sheet of explanations, one below the other, and give the bytes of a PNG file.

    Args:
        root: the folder of the training images; None to read none of them
    """
    return stack_rows([_draw_row(explanation, root) for explanation in explanations], WIDTH)


def _draw_row(explanation: Explanation, root: Location | None) -> Image.Image:
    """Draw one explanation: a title, and the images below it."""
    if explanation.image is None or explanation.heat is None or explanation.spec is None:
        row = Image.new("RGB", (WIDTH, 2 * MARGIN + 2 * LINE), "white")
        write_text(row, (MARGIN, MARGIN), _title(explanation), TITLE_SIZE)
        return row
    image = ImageOps.contain(explanation.image, (SIDE, SIDE), Image.Resampling.BILINEAR)
    top = MARGIN + 2 * LINE + GAP
    row = Image.new("RGB", (WIDTH, top + max(image.height, THUMBNAIL + 2 * LINE) + MARGIN), "white")
    write_text(row, (MARGIN, MARGIN), _title(explanation), TITLE_SIZE)
    write_text(row, (MARGIN, MARGIN + LINE + 2), _subtitle(explanation), TEXT_SIZE, FAINT)
    row.paste(image, (MARGIN, top))
    row.paste(draw_overlay(image, explanation.heat, explanation.spec, SIDE), (MARGIN + image.width + GAP, top))
    left = MARGIN + 2 * (SIDE + GAP)
    if explanation.neighbors:
        reason = "" if root else ", not read: another machine made the run"
        write_text(row, (left, top - 2), f"nearest training images{reason}", TEXT_SIZE, FAINT)
    for neighbor in explanation.neighbors:
        row.paste(read_square(root / neighbor.path if root else None, THUMBNAIL), (left, top + LINE))
        below = top + LINE + THUMBNAIL + 3
        write_text(row, (left, below), shorten_middle(neighbor.label, MAX_CAPTION), TEXT_SIZE)
        write_text(row, (left, below + LINE - 1), f"distance {neighbor.distance:.2f}", TEXT_SIZE, FAINT)
        left += THUMBNAIL + GAP
    ImageDraw.Draw(row).line((MARGIN, row.height - 1, WIDTH - MARGIN, row.height - 1), LINE_COLOR)
    return row


def _title(explanation: Explanation) -> str:
    name = explanation.path.rsplit("/", 1)[-1]
    if explanation.error is not None:
        return f"{name}: {explanation.error}"
    answer = f"{explanation.label}  {100 * (explanation.confidence or 0):.1f} %"
    return f"{answer}  ·  {name}" if explanation.status == "ok" else f"unknown ({explanation.reason})  ·  {name}"


def _subtitle(explanation: Explanation) -> str:
    words = f"{METHOD_WORDS[explanation.method]}: what speaks for '{explanation.explained}'"
    if explanation.explained != explanation.label:
        words += f", whose probability is {100 * (explanation.probability or 0):.1f} %"
    return words if explanation.peak else f"{words}: nothing in this image"
