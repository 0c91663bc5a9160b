"""`tlkit models [BACKBONE --cuts]`."""

import math
from typing import TYPE_CHECKING, Any

import click

from tlkit.errors import OptionError

if TYPE_CHECKING:
    from tlkit.models.cut import Cut

HALF_BYTES = 2  # activations are kept in float16


@click.command()
@click.argument("backbone", required=False)
@click.option("--cuts", is_flag=True, help="List where BACKBONE can be cut for --freeze lower.")
@click.option("--image-size", type=click.IntRange(min=0), default=0, help="In pixels; 0 for the backbone's own.")
def models(backbone: str | None, cuts: bool, image_size: int) -> None:
    """List the backbones with where their ImageNet weights are, and the networks to train from scratch.

    With BACKBONE and --cuts, list its cut points: what lies below one is frozen, what lies above
    is trained, and one view of an image costs the given space in the cache.
    """
    if cuts and not backbone:
        raise OptionError("--cuts needs a backbone, such as `tlkit models mobilenet_v2 --cuts`.")
    click.echo("\n".join(_cut_lines(str(backbone), image_size) if cuts else _backbone_lines(backbone)))


def _backbone_lines(backbone: str | None) -> list[str]:
    from tlkit.models.backbones import ROWS, find_backbone, imagenet_file
    from tlkit.models.networks import ROWS as NETWORKS

    lines = [f"{'backbone':<24} {'image size':>10} {'least':>6}  ImageNet weights"]
    for row in [find_backbone(backbone)] if backbone else ROWS:
        here = "here" if imagenet_file(row, row.image_size).exists() else "to download"
        lines.append(f"{row.name:<24} {row.image_size:>10} {row.least_size:>6}  {here}")
    if backbone:
        return lines
    lines += ["", f"{'tlkit train --model':<24} {'image size':>10} {'least':>6}  year"]
    lines += [f"{row.name:<24} {row.image_size:>10} {row.least_size:>6}  {row.year}" for row in NETWORKS]
    return [*lines, "and every backbone above, without its weights"]


def _cut_lines(backbone: str, image_size: int) -> list[str]:
    from tlkit.models.backbones import find_backbone
    from tlkit.models.backend import start_keras

    row = find_backbone(backbone)
    start_keras()
    from tlkit.models.body import build_body
    from tlkit.models.cut import choose_cut, cut_points

    body = build_body(row, "none", image_size or row.image_size)
    cuts = [cut for cut in cut_points(body) if len(cut.shape) == 3]
    try:
        chosen = choose_cut(body, cuts, "auto").index
    except OptionError:  # it has none; the list says so
        chosen = -1
    head = f"{'cut point':<32} {'shape':>16} {'below':>12} {'above':>12} {'kB a view':>10}"
    return [head, *(_cut_line(body, cut, cut.index == chosen) for cut in cuts)]


def _cut_line(body: Any, cut: "Cut", is_auto: bool) -> str:
    from tlkit.models.cut import parameters_below

    below = parameters_below(body, cut)
    shape = "×".join(str(length) for length in cut.shape)
    space = HALF_BYTES * math.prod(cut.shape) / 1e3
    line = f"{cut.name:<32} {shape:>16} {below:>12,} {body.count_params() - below:>12,} {space:>10.1f}"
    return line + ("  auto" if is_auto else "")
