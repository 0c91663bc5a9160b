"""How a comparison is begun, and with what it may be gone on with."""

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from tlkit.comparison.rungs import build_ladder
from tlkit.data.folder import read_folder
from tlkit.errors import OptionError, RunError
from tlkit.files import refuse_inside
from tlkit.runs import Run, begun_by, create_run
from tlkit.settings import CompareSettings, as_json
from tlkit.training.resume import drop_temporaries, refuse_links, refuse_special, reopen_run

BEGUN = "begun.json"  # what all its rungs depend on, as a hash


def start(data: str | Path, output: str | Path | None, settings: CompareSettings) -> Run:
    """A comparison's folder, begun.

    raises: DataError, OptionError, RunError
    """
    folder = read_folder(data)
    rungs = build_ladder(settings)
    if not any(rung.choose for rung in rungs):
        raise OptionError("--only names no rung that is trained; add one, such as linear.")
    refuse_inside(folder.root, output or "runs")
    run = create_run(Path(output) if output else None, "compare")
    run.write_json("settings.json", {"command": "compare", "data": str(folder.root.resolve()), **as_json(settings)})
    return run


def reopen(path: Path) -> Run:
    """A comparison that was stopped.

    raises: RunError
    """
    run = reopen_run(path)
    if (command := begun_by(run)) != "compare":
        raise RunError(f"'{path}' is no comparison; `tlkit {command} --resume {path}` goes on with it.")
    return run


def requested(run: Run) -> tuple[Path, CompareSettings]:
    """The images and the settings a comparison was begun with.

    raises: RunError where another tlkit began it, which had other settings
    """
    request = run.read_json("settings.json")
    names = {item.name for item in fields(CompareSettings)}
    if odd := sorted(request.keys() ^ {"command", "data", *names}):
        raise RunError(
            f"'{run.path}' was begun by another tlkit, whose settings differ from this one's in '{odd[0]}'; "
            "compare anew, or go on with that version."
        )
    try:
        return Path(request["data"]), CompareSettings(**{name: request[name] for name in names})
    except (OptionError, TypeError) as error:
        raise RunError(f"'{run.path / 'settings.json'}' is damaged ({error}); restore it or compare anew.") from None


def check_unchanged(run: Run, key: str) -> None:
    """Hold a comparison that is gone on with to what it was begun with.

    key: all that it depends on, as a hash
    raises: RunError
    """
    if (run.path / BEGUN).exists() and run.read_json(BEGUN) != key:
        raise RunError(
            f"since '{run.path}' was begun, the images, the pretrained weights at hand, tlkit or a package it needs "
            "have changed; compare anew."
        )


def accept(run: Run, key: str, rungs: Sequence[str]) -> None:
    """Note what a comparison depends on; the first change to the folder of one that is gone on with.

    rungs: names of those that will be made in it
    raises: RunError where one of them is a link, or holds one where tlkit would write
    """
    there = [run.path / name for name in rungs if os.path.lexists(run.path / name)]
    for path in there:
        refuse_special(path, "folder")
        refuse_links(path)
    for path in (run.path, *there):
        drop_temporaries(Run(path))
    if not (run.path / BEGUN).exists():
        run.write_json(BEGUN, key)
