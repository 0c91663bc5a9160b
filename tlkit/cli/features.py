"""`tlkit features DATA -o FILE`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import options_from, output_option
from tlkit.settings.commands import FeaturesSettings

if TYPE_CHECKING:
    from tlkit.features.export import FeatureExport

KIND_WORDS = {"features": "features", "components": "principal components", "codes": "codes"}


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit features photos -o features.npz",
        "tlkit features photos --pca 64 -o features.csv",
        "tlkit features photos --run runs/train-001 -o f.npz",
    ),
    common=("output", "backbone", "run", "layer", "weights", "pca", "pq", "image_size", "validation_split", "seed"),
)
@click.argument("data", type=click.Path(path_type=Path))
@output_option("File to write: .npz, .parquet or .csv.", required=True)
@options_from(FeaturesSettings)
def features(data: Path, output: Path, settings: FeaturesSettings) -> None:
    """Export features (embeddings) of every image in DATA.
    The file has one row per image, with its path, class and subset.

    The split is the one a training with the same --seed and --validation-split uses, or with --run
    the one of that run. PCA and product quantization are fitted on training images only. They are
    saved in the .npz, or next to a .csv or .parquet.
    """
    from tlkit.cli.console import Console
    from tlkit.features.export import export_features

    click.echo("\n".join(_lines(export_features(data, output, settings, Console()))))


def _lines(export: "FeatureExport") -> list[str]:
    from tlkit.utils.text import escape_control_chars

    num_images, num_values = export.shape
    subsets = ", ".join(f"{len(images)} {subset}" for subset, images in export.split.subsets.items() if len(images))
    lines = [f"{num_images} images ({subsets}), {num_values} values each"]
    lines += [f"left out: {count} × {escape_control_chars(reason)}" for reason, count in export.skipped.items()]
    lines += [
        f"1-nearest-neighbor accuracy on the validation images, by {KIND_WORDS[kind]}: {100 * accuracy:.1f} %"
        for kind, accuracy in export.nearest_neighbor_accuracy.items()
    ]
    lines += [f"note: {escape_control_chars(note)}" for note in export.notes]
    return [*lines, "", *(f"file  {escape_control_chars(str(file))}" for file in export.files)]
