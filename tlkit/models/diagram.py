"""Draws a network as blocks from left to right: one per height of its maps, as wide as they are deep."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from tlkit.models.summary import LayerRow, ModelSummary

TALLEST, WIDEST, NARROWEST, LINE, GAP = 170.0, 90.0, 10.0, 90.0, 46.0  # units of the drawing
TOP, MARGIN, BELOW = 84.0, 44.0, 78.0
SLANT, LEAST_PLACE = 0.3, 40.0  # how far a block's side leans back, of its height; room for words below it
INK, MUTED, FACE, SIDE, FLAT = "#1d2733", "#64748b", "#7fb3d5", "#5b92b8", "#f0b27a"


@dataclass(frozen=True)
class Block:
    """Layers in a row whose outputs have one shape.

    layers  of them those with kernels, such as "3 × Conv2D 3×3"
    """

    shape: tuple[int, ...]
    layers: tuple[str, ...]


def blocks_of(anatomy: ModelSummary) -> list[Block]:
    """The shapes a picture takes on its way, with the layers that work on each."""
    on_the_way = [row for row in anatomy.layers if row.kind not in ("Rescaling", "Split", "GetItem")]
    grouped = [(shape, list(rows)) for shape, rows in groupby(_stages(on_the_way), key=lambda pair: pair[0])]
    return [Block(shape, _worded([row for _, row in rows])) for shape, rows in grouped]


def draw_network(anatomy: ModelSummary) -> str:
    """The drawing as SVG text."""
    blocks = blocks_of(anatomy)
    tallest = max(block.shape[0] for block in blocks if len(block.shape) == 3)
    deepest = max(block.shape[-1] for block in blocks)
    parts, left = list[str](), MARGIN
    for block in blocks:
        width = _width(block, deepest)
        parts.append(_drawn(block, left, width, tallest))
        left += max(width + SLANT * _height(block, tallest), LEAST_PLACE) + GAP
    return _page(anatomy, parts, left - GAP + MARGIN)


def _stages(rows: Sequence[LayerRow]) -> list[tuple[tuple[int, ...], LayerRow]]:
    """Each layer with the shape of its stage: maps of one height belong together, as deep as the last of them."""
    found = []
    for height, part in groupby(sorted(rows, key=_map_height, reverse=True), key=_map_height):
        stage = list(part)
        found += [(stage[-1].output if height else row.output, row) for row in stage]
    return found


def _map_height(row: LayerRow) -> int:
    return row.output[0] if len(row.output) == 3 else 0


def _worded(rows: list[LayerRow]) -> tuple[str, ...]:
    """What works in a stage: layers with weights, and pooling, alike ones counted."""
    names = [name for row in rows if (name := _name(row))]
    counted = {name: names.count(name) for name in dict.fromkeys(names)}
    return tuple(f"{count} × {name}" if count > 1 else name for name, count in counted.items())


def _name(row: LayerRow) -> str:
    window = f" {row.window[0]}×{row.window[1]}" if row.window else ""
    if row.window and row.kind.endswith("Conv2D"):
        return {"Conv2D": "conv", "DepthwiseConv2D": "depthwise", "SeparableConv2D": "separable"}.get(
            row.kind, row.kind
        ) + window
    if "Pooling" in row.kind:
        return ("max" if "Max" in row.kind else "average") + window
    return {"Dense": "dense", "Softmax": "softmax", "InputLayer": "pixels", "Flatten": "vectorised"}.get(row.kind, "")


def _width(block: Block, deepest: int) -> float:
    if len(block.shape) < 3:
        return NARROWEST
    return NARROWEST + (WIDEST - NARROWEST) * math.log1p(block.shape[-1]) / math.log1p(deepest)


def _height(block: Block, tallest: int) -> float:
    return max(8.0, TALLEST * block.shape[0] / tallest) if len(block.shape) == 3 else LINE


def _drawn(block: Block, left: float, width: float, tallest: int) -> str:
    """A block with its shape above and its layers below."""
    flat = len(block.shape) < 3
    height = _height(block, tallest)
    top, lean = TOP + (TALLEST - height) / 2 + 50, 0.0 if flat else height * SLANT
    shape = "×".join(map(str, block.shape))
    corners = f"{left},{top} {left + lean},{top - lean} {left + lean + width},{top - lean} {left + width},{top}"
    side = f"{left + width},{top} {left + width + lean},{top - lean} {left + width + lean},{top - lean + height} "
    middle, base = left + (width + lean) / 2, TOP + TALLEST + 74
    words = "".join(
        f'<text x="{middle:.1f}" y="{base + 13 * line:.1f}" class="muted">{escape(text)}</text>'
        for line, text in enumerate(block.layers[:5])
    )
    return (
        f'<polygon points="{corners}" fill="{SIDE}" opacity="0.75"/>'
        f'<polygon points="{side}{left + width},{top + height}" fill="{SIDE}"/>'
        f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{height:.1f}" fill="{FLAT if flat else FACE}"/>'
        f'<text x="{middle:.1f}" y="{top - lean - 8:.1f}">{shape}</text>{words}'
    )


def _page(anatomy: ModelSummary, parts: list[str], width: float) -> str:
    width, height = max(width, 420), TOP + TALLEST + BELOW + 60
    told = (
        f"{anatomy.total_parameters:,} parameters · {anatomy.multiply_adds / 1e6:,.1f} million multiply-adds · "
        f"{anatomy.depth} layers with weights"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="system-ui, sans-serif">'
        f"<style>text{{font-size:11px;fill:{INK};text-anchor:middle}}.muted{{fill:{MUTED};font-size:10px}}"
        f".title{{font-size:18px;font-weight:600;text-anchor:start}}.told{{text-anchor:start;fill:{MUTED}}}</style>"
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="{MARGIN}" y="28" class="title">{escape(anatomy.name)}</text>'
        f'<text x="{MARGIN}" y="46" class="told">{told}</text>{"".join(parts)}</svg>\n'
    )
