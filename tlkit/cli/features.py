"""`tlkit features DATA -o FILE`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.options import GroupedCommand, options_from, output_option
from tlkit.settings.commands import FeaturesSettings

if TYPE_CHECKING:
    from tlkit.features.export import FeatureExport

KIND_WORDS = {"features": "features", "components": "principal components", "codes": "codes"}


@click.command(cls=GroupedCommand)
@click.argument("data", type=click.Path(path_type=Path))
@output_option("File to write: .npz, .parquet or .csv.", required=True)
@options_from(FeaturesSettings)
def features(data: Path, output: Path, settings: FeaturesSettings) -> None:
    """Write what a network says of every image of DATA, for other programs.

    One row per image, with its path, class and split, which is that of a training with the same
    --seed and --validation-split; with --run that of the run. What compresses rows is learnt from
    training images and written, too: into the .npz, or beside a .csv or .parquet.
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
        f"nearest training image of the same class, by {KIND_WORDS[kind]}: {accuracy:.3f} of the validation images"
        for kind, accuracy in export.nearest_neighbor_accuracy.items()
    ]
    lines += [f"note: {escape_control_chars(note)}" for note in export.notes]
    return [*lines, "", *(f"file  {escape_control_chars(str(file))}" for file in export.files)]
