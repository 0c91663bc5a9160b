"""`tlkit features DATA -o FILE`."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand, GroupedOption
from tlkit.cli.options import DATA, open_run, options_from, verify_option, workers_options
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.commands import FeaturesSettings
from tlkit.utils.locations import Location

if TYPE_CHECKING:
    from tlkit.features.export import FeatureExport

KIND_WORDS = {"features": "features", "components": "principal components", "codes": "codes"}


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit features photos -o features.npz",
        "tlkit features photos --pca 64 -o features.csv",
        "tlkit features photos --run runs/train-001 -o f.npz",
        "tlkit features s3://mine/photos -o s3://mine/rows/",
    ),
    common=("output", "backbone", "run", "layer", "weights", "pca", "pq", "image_size", "validation_split", "seed"),
)
@click.argument("data", type=DATA)
@click.option(
    "-o",
    "--output",
    type=click.Path(),  # as text: a Path has lost the "/" at the end of "name/"
    required=True,
    cls=GroupedOption,
    group="Main",
    help="File to write: .npz, .parquet or .csv; or with / at the end a folder of parquet shards, which the same "
    "command continues after an interruption. Both may be URIs such as s3://bucket/features/.",
)
@verify_option
@report_options
@options_from(FeaturesSettings)
@workers_options
def features(data: Location, output: str, settings: FeaturesSettings) -> None:
    """Export features (embeddings) of every image in DATA.
    The file has one row per image, with its path, class and subset.

    The split is the one a training with the same --seed and --validation-split uses, or with --run
    the one of that run. PCA and product quantization are fitted on training images only. They are
    saved in the .npz, next to a .csv or .parquet, or in the folder of shards. A .parquet and each
    shard have them as one column of lists of equal length, named features (or codes, with --pq); a
    .csv has one column for each value.
    """
    from tlkit.cli.console import Console
    from tlkit.distributed.shard_folder import names_folder
    from tlkit.features.export import export_features

    if settings.run:
        settings = replace(settings, run=str(open_run(settings.run, settings.trust_model).path))
    export = export_features(data, output, settings, Console())
    files = [output] if names_folder(output) else [str(file) for file in export.files]
    (_print_json if reporting().as_json else _print)(export, files)


def _print(export: "FeatureExport", files: list[str]) -> None:
    from tlkit.cli.screen import FAINT, STRONG, WARN, Screen, percent
    from tlkit.cli.verdict import print_left_out

    screen = Screen()
    num_images, num_values = export.shape
    subsets = ", ".join(f"{len(images):,} {subset}" for subset, images in export.split.subsets.items() if len(images))
    screen.line((f"{num_images:,} images", STRONG), f"  {num_values:,} values each  ({subsets})")
    for kind, accuracy in export.nearest_neighbor_accuracy.items():
        screen.line(f"{percent(accuracy)} nearest-neighbor accuracy of the {KIND_WORDS[kind]}", indent=2)
    words = "the fraction of validation images whose nearest training image has the same class"
    screen.line((words, FAINT), indent=2)
    if reporting().verbosity > QUIET:
        for note in export.notes:
            screen.entry("check", note, style=WARN)
        print_left_out(screen, export.skipped)
    for file in files:
        screen.entry("shards" if file.endswith("/") else "file", file)


def _print_json(export: "FeatureExport", files: list[str]) -> None:
    from tlkit.data.listing import count_reasons

    content = {
        "files": files,
        "num_images": export.shape[0],
        "num_values": export.shape[1],
        "subsets": {subset: len(images) for subset, images in export.split.subsets.items()},
        "nearest_neighbor_accuracy": export.nearest_neighbor_accuracy,
        "left_out": count_reasons(export.skipped),
        "notes": list(export.notes),
    }
    click.echo(json.dumps(content, indent=2))
