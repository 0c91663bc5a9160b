"""A network drawn as blocks from left to right: one per height of its feature maps, wider with more channels.

An arc above the blocks is a skip connection: from where its input branches off to where both are merged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from html import escape
from itertools import groupby
from operator import and_, or_

from tlkit.models.summary import LayerSummary, ModelSummary

MAX_HEIGHT, MIN_HEIGHT, VECTOR_HEIGHT = 170.0, 8.0, 90.0  # of a block, in units of the drawing
MAX_WIDTH, MIN_WIDTH, MIN_SPACE, GAP = 90.0, 10.0, 40.0, 46.0  # MIN_SPACE: for the words below a block
TOP, MARGIN, BELOW = 84.0, 44.0, 78.0
SLANT = 0.3  # how far a block's side leans back, as a fraction of its height
INK, MUTED, FACE, SIDE, FLAT, ARC = "#1d2733", "#64748b", "#7fb3d5", "#5b92b8", "#f0b27a", "#c0392b"
CONVOLUTIONS = {"Conv2D": "conv", "DepthwiseConv2D": "depthwise", "SeparableConv2D": "separable"}
HIDDEN = ("Rescaling", "Split", "GetItem", "ZeroPadding2D", "Cropping2D")  # kinds of layers that are not drawn
ARC_SPACE, ARC_HEIGHT = 22.0, 12.0  # from a block's lid up to its arcs, which leaves room for its shape
LABELS = {"Dense": "dense", "Softmax": "softmax", "InputLayer": "pixels", "Flatten": "vectorized"}


@dataclass(frozen=True)
class Block:
    """Consecutive layers whose outputs have one shape.

    Attributes:
        layers: those with kernels, and poolings, such as "3 × conv 3×3"
        names: of all its layers, in their order
    """

    shape: tuple[int, ...]
    layers: tuple[str, ...]
    names: tuple[str, ...]


def draw_network(summary: ModelSummary) -> str:
    """Draw the network as the text of an SVG file."""
    blocks = blocks_of(summary)
    max_map_height = max(block.shape[0] for block in blocks if len(block.shape) == 3)
    max_depth = max(block.shape[-1] for block in blocks)
    drawings, left, points = list[str](), MARGIN, dict[str, tuple[float, float]]()
    for block in blocks:
        width, height = _block_width(block, max_depth), _block_height(block, max_map_height)
        drawings.append(_draw_block(block, left, width, height))
        lid, lean = _block_top(height) - ARC_SPACE, 0.0 if len(block.shape) < 3 else SLANT * height
        for number, name in enumerate(block.names):
            points[name] = (left + lean + width * (number + 0.5) / len(block.names), lid - lean)
        left += max(width + SLANT * height, MIN_SPACE) + GAP
    skips = [pair for pair in skip_connections(summary) if set(pair) <= points.keys()]
    drawings += [_draw_arc(points[source], points[merge]) for source, merge in skips]
    return _draw_page(summary, drawings, left - GAP + MARGIN)


def skip_connections(summary: ModelSummary) -> list[tuple[str, str]]:
    """List the skip connections: the layer that branches, and the layer that adds or concatenates both branches.

    The branches of an inception module are not: each of them has layers of its own. A hidden layer is replaced by
    the one before it.
    """
    layers = summary.layers
    index = {layer.name: position for position, layer in enumerate(layers)}
    ancestors, found = list[int](), list[tuple[str, str]]()  # bit i of an ancestors' number: layer i
    for position, layer in enumerate(layers):
        inputs = [index[name] for name in dict.fromkeys(layer.inputs)]
        ancestors.append(reduce(or_, (ancestors[other] for other in inputs), 1 << position))
        if layer.kind not in ("Add", "Concatenate") or len(inputs) < 2:
            continue
        common = reduce(and_, (ancestors[other] for other in inputs)).bit_length() - 1
        if layer.kind == "Add" or common in inputs:
            while layers[common].kind in HIDDEN and common:
                common = index[layers[common].inputs[0]]
            found.append((layers[common].name, layer.name))
    return found


def blocks_of(summary: ModelSummary) -> list[Block]:
    """Group the layers by the shape of their stage, from the pixels to the probabilities."""
    drawn = [layer for layer in summary.layers if layer.kind not in HIDDEN]
    groups = [(shape, list(pairs)) for shape, pairs in groupby(_with_stage_shapes(drawn), key=lambda pair: pair[0])]
    return [
        Block(shape, _labels([layer for _, layer in pairs]), tuple(layer.name for _, layer in pairs))
        for shape, pairs in groups
    ]


def _with_stage_shapes(layers: Sequence[LayerSummary]) -> list[tuple[tuple[int, ...], LayerSummary]]:
    """Pair each layer with the shape of its stage: maps of one height belong together, as deep as the last of them."""
    pairs = []
    for height, group in groupby(sorted(layers, key=_map_height, reverse=True), key=_map_height):
        stage = list(group)
        pairs += [(stage[-1].output if height else layer.output, layer) for layer in stage]
    return pairs


def _map_height(layer: LayerSummary) -> int:
    return layer.output[0] if len(layer.output) == 3 else 0


def _labels(layers: list[LayerSummary]) -> tuple[str, ...]:
    """Name the layers with weights and the poolings; count equal ones."""
    names = [name for layer in layers if (name := _layer_label(layer))]
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    return tuple(f"{count} × {name}" if count > 1 else name for name, count in counts.items())


def _layer_label(layer: LayerSummary) -> str:
    window = f" {layer.kernel[0]}×{layer.kernel[1]}" if layer.kernel else ""
    if layer.kernel and layer.kind.endswith("Conv2D"):
        return CONVOLUTIONS.get(layer.kind, layer.kind) + window
    if "Pooling" in layer.kind:
        return ("max" if "Max" in layer.kind else "average") + window
    return LABELS.get(layer.kind, "")


def _block_width(block: Block, max_depth: int) -> float:
    if len(block.shape) < 3:
        return MIN_WIDTH
    return MIN_WIDTH + (MAX_WIDTH - MIN_WIDTH) * math.log1p(block.shape[-1]) / math.log1p(max_depth)


def _block_height(block: Block, max_map_height: int) -> float:
    if len(block.shape) < 3:
        return VECTOR_HEIGHT
    return max(MIN_HEIGHT, MAX_HEIGHT * block.shape[0] / max_map_height)


def _block_top(height: float) -> float:
    """Give the y of the upper edge of a block's front."""
    return TOP + (MAX_HEIGHT - height) / 2 + 50


def _draw_arc(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Draw a skip connection from one point above the blocks to another."""
    height = min(start[1], end[1]) - ARC_HEIGHT
    (x1, y1), (x2, y2) = start, end
    return f'<path d="M{x1:.1f},{y1:.1f} C{x1:.1f},{height:.1f} {x2:.1f},{height:.1f} {x2:.1f},{y2:.1f}" class="skip"/>'


def _draw_block(block: Block, left: float, width: float, height: float) -> str:
    """Draw a block with its shape above and its layers below."""
    is_vector = len(block.shape) < 3
    top, lean = _block_top(height), 0.0 if is_vector else height * SLANT
    shape = "×".join(map(str, block.shape))
    lid = f"{left},{top} {left + lean},{top - lean} {left + lean + width},{top - lean} {left + width},{top}"
    side = f"{left + width},{top} {left + width + lean},{top - lean} {left + width + lean},{top - lean + height} "
    middle, base = left + (width + lean) / 2, TOP + MAX_HEIGHT + 74
    words = "".join(
        f'<text x="{middle:.1f}" y="{base + 13 * line:.1f}" class="muted">{escape(text)}</text>'
        for line, text in enumerate(block.layers[:5])
    )
    return (
        f'<polygon points="{lid}" fill="{SIDE}" opacity="0.75"/>'
        f'<polygon points="{side}{left + width},{top + height}" fill="{SIDE}"/>'
        f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{height:.1f}" fill="{FLAT if is_vector else FACE}"/>'
        f'<text x="{middle:.1f}" y="{top - lean - 8:.1f}">{shape}</text>{words}'
    )


def _draw_page(summary: ModelSummary, drawings: list[str], width: float) -> str:
    width, height = max(width, 420), TOP + MAX_HEIGHT + BELOW + 60
    totals = (
        f"{summary.total_parameters:,} parameters · {summary.multiply_adds / 1e6:,.1f} million multiply-adds · "
        f"{summary.depth} layers with weights"
    )
    if count := len(skip_connections(summary)):
        totals += f" · {count} skip connections, drawn as arcs"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="system-ui, sans-serif">'
        f"<style>text{{font-size:11px;fill:{INK};text-anchor:middle}}.muted{{fill:{MUTED};font-size:10px}}"
        f".skip{{fill:none;stroke:{ARC};stroke-width:1.1}}"
        f".title{{font-size:18px;font-weight:600;text-anchor:start}}.totals{{text-anchor:start;fill:{MUTED}}}</style>"
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="{MARGIN}" y="28" class="title">{escape(summary.name)}</text>'
        f'<text x="{MARGIN}" y="46" class="totals">{totals}</text>{"".join(drawings)}</svg>\n'
    )
