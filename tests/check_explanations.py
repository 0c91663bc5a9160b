"""Check that every backbone can be looked into: `python -m tests.check_explanations`; small networks first.

Each backbone has random weights and calibrated batch norms, and is checked in a process of its own, as
`tests/check_backbones.py` does. Its row is in `docs/explanations.csv` as soon as it is checked: started again, the
command continues with the next backbone. `CHECKS` has the properties.
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np

from tests.check_backbones import PACKAGES, PREFIX, ROOT, check_alone, has_failed, read_table, write_table
from tlkit.models.backbones import BACKBONES, find_backbone
from tlkit.models.catalog import load_catalog

EXPLAINED = "heat maps without Keras are Grad-CAM through Keras"  # a property of tlkit.testing
MIN_MAP_SIZE = 96  # pixels, so that the last feature map has several positions
MIN_SIZE = 64  # pixels, so that there are several resolutions
SCRIPT = f"""
import json, sys
from tests.check_explanations import check
print({PREFIX!r} + json.dumps(check(sys.argv[1], int(sys.argv[2]))))
"""


def check_visualize(name: str, image_size: int) -> tuple[bool, str]:
    """Show filters, feature maps and two steps of maximization of a backbone with random weights.

    returns: whether all of them are images of the shape they should have; and what they show
    """
    from tlkit.testing import calibrate_batch_norms
    from tlkit.visualization.feature_maps import show_maps
    from tlkit.visualization.filters import first_filters
    from tlkit.visualization.maximization import maximize, spread_units
    from tlkit.visualization.network import build_named_network

    network = build_named_network(name, "none", image_size)
    pixels = np.random.default_rng(0).integers(0, 256, (8, image_size, image_size, 3), dtype=np.uint8)
    calibrate_batch_norms(network.model, pixels.astype(np.float32))
    filters, (_, *maps) = first_filters(network), show_maps(network, pixels[0])
    layer = network.stages()[-1]
    found = maximize(network, layer, spread_units(layer, 2), steps=2)
    wanted = (2, image_size, image_size, 3)
    are_images = len(np.unique(filters.tiles)) > 2 and found.images.shape == wanted and found.images.std() > 0
    are_stages = len(maps) > 1 and all(row.tiles.std() > 0 for row in maps)
    stages = ", ".join(f"{row.layer} {row.shape[0]}" for row in maps)
    has_moved = not np.allclose(found.before, found.activations)
    return (
        are_images and are_stages and has_moved,
        f"{filters.title}; stages {stages}; {found.before} to {found.activations}",
    )


def check_explain(name: str, image_size: int) -> tuple[bool, str]:
    """Compare the heat maps of a converted network with Grad-CAM through Keras, at 3 x 3 positions or more."""
    from tlkit import testing

    return testing.CHECKS[EXPLAINED](testing._Subject(name, max(MIN_MAP_SIZE, image_size)))


CHECKS: dict[str, Callable[[str, int], tuple[bool, str]]] = {
    EXPLAINED: check_explain,
    "filters, feature maps and a maximization are shown": check_visualize,
}


def check(name: str, image_size: int = 0) -> list[tuple[str, bool, str]]:
    """Check every property of a backbone.

    image_size: in pixels; 0 for the smallest with several resolutions
    """
    size = image_size or max(MIN_SIZE, find_backbone(name).min_size)
    results = [(title, *check(name, size)) for title, check in CHECKS.items()]
    return [(title, bool(passed), str(detail)) for title, passed, detail in results]


def num_parameters() -> dict[str, int]:
    """Give the number of parameters of each backbone."""
    return {entry.name: entry.parameters for entry in load_catalog() if entry.command == "finetune"}


def small_first() -> list[str]:
    """List all backbones by their number of parameters."""
    return sorted(BACKBONES, key=num_parameters().__getitem__)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--table", type=click.Path(path_type=Path), default=ROOT / "docs" / "explanations.csv", show_default=True)
@click.option("--image-size", default=0, help="In pixels; 0 for the smallest with several resolutions.")
@click.option("--timeout", default=1800, show_default=True, help="Seconds for one backbone.")
@click.option("--retry", is_flag=True, help="Check those again whose process ended without a result.")
def main(names: tuple[str, ...], table: Path, image_size: int, timeout: int, retry: bool) -> None:
    """Check the backbones NAMES, or all."""
    rows = read_table(table)
    current = {package: version(package) for package in PACKAGES} | {"image_size": str(image_size)}
    for name in [find_backbone(name).name for name in names] or small_first():
        row = rows.get(name, {})
        titles = [title for title, *_ in json.loads(row.get("findings") or "[]")]
        is_done = current.items() <= row.items() and (row["error"] or titles == list(CHECKS))
        if not is_done or (retry and row["error"]):
            row = rows[name] = {"name": name} | current | check_alone(name, image_size, timeout, SCRIPT)
            write_table(table, rows)
        click.echo(f"{name:<24} {row['seconds']:>6} s  {row['error'] or row['passed'] + ' properties'}")
    done = [rows[name] for name in BACKBONES if current.items() <= rows.get(name, {}).items()]
    passed = sum(not has_failed(row) for row in done)
    click.echo(f"{len(done)} of {len(BACKBONES)} backbones are in {table}, {passed} of them with every property.")
    sys.exit(passed < len(done))


if __name__ == "__main__":
    main()
