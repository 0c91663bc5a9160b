"""`tlkit features DATA -o FILE`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.options import GroupedCommand, options_from, output_option
from tlkit.settings.commands import FeaturesSettings

if TYPE_CHECKING:
    from tlkit.features.export import FeatureExport


ROWS = {"features": "features", "components": "principal components", "codes": "codes"}


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


def _lines(done: "FeatureExport") -> list[str]:
    from tlkit.utils.text import escape_control_chars

    images, values = done.shape
    sides = ", ".join(f"{len(part)} {side}" for side, part in done.split.parts.items() if len(part))
    lines = [f"{images} images ({sides}), {values} values each"]
    lines += [f"left out: {count} × {escape_control_chars(reason)}" for reason, count in done.left_out.items()]
    lines += [
        f"nearest training image of the same class, by {ROWS[kind]}: {share:.3f} of the validation images"
        for kind, share in done.neighbour.items()
    ]
    lines += [f"note: {escape_control_chars(note)}" for note in done.split.notes]
    return [*lines, "", *(f"file  {escape_control_chars(str(file))}" for file in done.files)]
