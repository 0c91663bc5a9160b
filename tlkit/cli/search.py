"""`tlkit search`: an index of images, and the images that are alike."""

import json
import sys
from pathlib import Path

import click

from tlkit.cli.help import GroupedCommand, GroupedOption, HelpGroup
from tlkit.cli.options import DATA, open_run, options_from, output_option, verify_option, workers_options
from tlkit.cli.predict import SOME_FAILED
from tlkit.cli.reporting import report_options, reporting
from tlkit.settings.commands import CheckSettings
from tlkit.settings.search import IndexSettings, QuerySettings, SearchEvaluateSettings
from tlkit.utils.locations import Location


@click.group(cls=HelpGroup)
def search() -> None:
    """Find the images of a folder that are alike.

    `index` computes the features of every image once; `query` finds the nearest images of others, `evaluate` measures
    how often they are of the same class, and `near` lists near duplicates.
    """


@search.command(
    cls=GroupedCommand,
    examples=(
        "tlkit search index photos -o idx",
        "tlkit search index photos -o idx --run latest",
        "tlkit search index photos -o idx --descriptor histogram",
    ),
    common=("output", "backbone", "run", "descriptor", "labels", "index", "metric", "pca", "code_bytes"),
)
@click.argument("data", type=DATA)
@output_option("New folder for the index.", required=True, is_folder=True)
@verify_option
@report_options
@options_from(IndexSettings)
@workers_options
def index(data: Location, output: Path, settings: IndexSettings) -> None:
    """Make an index of every image in DATA.
    It is a new folder of data files, with paths relative to DATA.

    Images are found by features of a backbone, of a RUN or of a handcrafted descriptor. Up to 256 MB of features are
    compared one by one; of more, FAISS (an extra) looks at a part of them, and then at codes of a few bytes.
    """
    from dataclasses import replace

    from tlkit.cli.console import Console
    from tlkit.cli.search_output import print_change
    from tlkit.search.build import index_images

    if settings.run:
        settings = replace(settings, run=str(open_run(settings.run, settings.trust_model).path))
    print_change(index_images(data, output, settings, Console()), "indexed")


@search.command(
    cls=GroupedCommand,
    examples=(
        "tlkit search query idx photo.jpg",
        "tlkit search query idx new_photos -k 5 -o alike.png",
        "tlkit search query idx photo.jpg --format json",
    ),
    common=("output", "k", "format", "rerank"),
)
@click.argument("index_path", metavar="INDEX", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@output_option("File to write: .csv, .json, or .png for a contact sheet.")
@report_options
@options_from(QuerySettings)
def query(index_path: Path, images: tuple[str, ...], output: Path | None, settings: QuerySettings) -> None:
    """Find the images of INDEX that are nearest to each IMAGE.
    Each IMAGE is a file, a folder or a pattern such as '*.jpg'.

    The nearest comes first, with its class and its distance: 0 for equal features, 2 for opposite ones. An index of
    codes finds candidates first, whose exact distances then decide.
    """
    from tlkit.cli.console import Console
    from tlkit.cli.search_output import query_format, write_results
    from tlkit.search.index import open_index
    from tlkit.search.query import search_images

    kind = query_format(settings.format, output, reporting().as_json, sys.stdout.isatty())
    opened = open_index(index_path)
    results = search_images(opened, images, settings, Console())
    write_results(opened, results, kind, output)
    if any(result.error for result in results):
        click.get_current_context().exit(SOME_FAILED)


@search.command(
    "evaluate",
    cls=GroupedCommand,
    examples=(
        "tlkit search evaluate idx",
        "tlkit search evaluate idx --subset validation --json",
        "tlkit search evaluate idx --queries new_photos",
    ),
    common=("queries", "subset", "precision_k", "recall_k", "as_json"),
)
@click.argument("index_path", metavar="INDEX", type=click.Path(path_type=Path))
@report_options
@options_from(SearchEvaluateSettings)
def search_evaluate(index_path: Path, settings: SearchEvaluateSettings) -> None:
    """Measure how often INDEX finds images of the same class.
    Neither a query nor its duplicates count.

    Every image of the index is a query, or every image of --queries. Where the features are those of a run, the figures
    of the images that it was not trained on are printed apart.
    """
    from tlkit.cli.console import Console
    from tlkit.cli.search_output import print_evaluation
    from tlkit.search.evaluate import evaluate_index

    result = evaluate_index(index_path, settings, Console())
    if reporting().as_json:
        click.echo(json.dumps(result.as_json(), indent=2))
    else:
        print_evaluation(result)


@search.command(
    cls=GroupedCommand,
    examples=("tlkit search add idx new_photos", "tlkit search add idx photos --no-labels"),
    common=("labels",),
)
@click.argument("index_path", metavar="INDEX", type=click.Path(path_type=Path))
@click.argument("data", type=DATA)
@click.option(
    "--labels/--no-labels",
    default=True,
    cls=GroupedOption,
    group="Main",
    help="Classes from DATA; without them every image below DATA is taken.",
)
@click.option(
    "--run",
    default="",
    cls=GroupedOption,
    group="Run",
    help="Run folder whose features the index has, if it moved.",
)
@verify_option
@report_options
@workers_options
def add(index_path: Path, data: Location, labels: bool, run: str) -> None:
    """Add the images of DATA to INDEX.
    A file that changed replaces its old self; others stay.
    """
    from tlkit.cli.console import Console
    from tlkit.cli.search_output import print_change
    from tlkit.search.build import add_images

    print_change(add_images(index_path, data, IndexSettings(labels=labels, run=run), Console()), "added")


@search.command(
    cls=GroupedCommand,
    examples=("tlkit search remove idx cat/3.jpg", "tlkit search remove idx 'cat/*'"),
)
@click.argument("index_path", metavar="INDEX", type=click.Path(path_type=Path))
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@report_options
def remove(index_path: Path, paths: tuple[str, ...]) -> None:
    """Remove images from INDEX; their files stay.
    Each PATH is one that a query shows, or a pattern such as 'cat/*'.
    """
    from tlkit.cli.console import Console
    from tlkit.cli.search_output import print_change
    from tlkit.search.build import remove_images

    print_change(remove_images(index_path, paths, Console()), "removed")


@search.command("info", cls=GroupedCommand, examples=("tlkit search info idx", "tlkit search info idx --json"))
@click.argument("index_path", metavar="INDEX", type=click.Path(path_type=Path))
@report_options
def search_info(index_path: Path) -> None:
    """Show what INDEX holds, and check every file."""
    from tlkit.cli.search_output import print_info
    from tlkit.search.index import open_index

    opened = open_index(index_path)
    opened.check_files()
    print_info(opened)


@search.command(
    cls=GroupedCommand,
    examples=("tlkit search near photos", "tlkit search near photos --backbone none --json"),
    common=("backbone", "as_json"),
)
@click.argument("data", type=DATA)
@verify_option
@report_options
@options_from(CheckSettings)
@workers_options
def near(data: Location, settings: CheckSettings) -> None:
    """List the images of DATA that are nearly the same.
    They are the copies that `tlkit check` finds; nothing is written.

    Copies are found by pixels: encoded again, resized, mirrored, photographed twice. A backbone whose weights are
    cached finds crops, too.
    """
    from tlkit.cli.console import Console
    from tlkit.cli.search_output import print_near
    from tlkit.search.near import find_near_images

    print_near(find_near_images(data, settings, Console()))
