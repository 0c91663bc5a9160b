"""The place of the benchmarks: a temporary folder with its own caches, runs and (quick) small data."""

import os
import shutil
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from measure import Finished, execute, say

HERE = Path(__file__).resolve().parent
PHOTOS = "trashnet"
DATASETS = (PHOTOS, "sign_digits", "hymenoptera")
QUICK_IMAGES = 60


@dataclass
class Workplace:
    """The needs of every section.

    folder   thrown away at the end
    data     the image folder of each name in `DATASETS`
    rounds   how often each arm of a comparison runs
    seeds    of the runs whose accuracy is compared
    quick    whether only the scripts are tried out
    """

    folder: Path
    data: dict[str, Path]
    rounds: int
    seeds: tuple[int, ...]
    quick: bool = False
    _numbers: count = field(default_factory=count)
    _runs: dict[tuple[str, ...], Path] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        """The cache that all but the cold runs share."""
        return self.folder / "cache"

    def fresh(self, name: str) -> Path:
        """Give a path at which there is nothing yet."""
        return self.folder / f"{name}-{next(self._numbers)}"

    def tlkit(self, *words: str | Path, cache: Path | None = None) -> Finished:
        """Run the command line as a person would."""
        return execute([*command_line(), *words], self._env(cache), self.folder)

    def script(self, name: str, *words: str | Path) -> Finished:
        """Run one of the scripts beside this file."""
        return execute([sys.executable, HERE / name, *words], self._env(), self.folder)

    def python(self, code: str) -> Finished:
        """Run a line of Python in a process of its own."""
        return execute([sys.executable, "-c", code], self._env(), self.folder)

    def finetune(self, name: str, *options: str, cache: Path | None = None) -> tuple[Finished, Path]:
        """Make a new run on one of the data sets, with freeze all by default, and give its folder."""
        options = options if "--freeze" in options else ("--freeze", "all", *options)
        run = self.fresh("run")
        return self.tlkit("finetune", self.data[name], "-o", run, *options, cache=cache), run

    def run_of(self, name: str, *options: str) -> Path:
        """Give a run with these options, made when it is first asked for; sections share it."""
        key = (name, *options)
        if key not in self._runs:
            say(f"  finetune {' '.join(key)}")
            self._runs[key] = self.finetune(name, *options)[1]
        return self._runs[key]

    def warm_up(self) -> None:
        """Let the system read TensorFlow and the images once, so that the first arm does not pay for all."""
        self.python("import keras, tensorflow, tlkit")
        for root in self.data.values():
            for file in root.rglob("*"):
                if file.is_file():
                    file.read_bytes()

    def _env(self, cache: Path | None = None) -> dict[str, str]:
        """Give this process's environment (with KERAS_HOME), with a cache that is not the user's."""
        return os.environ | {"TLKIT_CACHE": str(cache or self.cache), "PYTHONUTF8": "1", "COLUMNS": "100"}


def command_line() -> list[str]:
    """Find `tlkit` of the environment that runs the benchmarks."""
    installed = shutil.which("tlkit", path=str(Path(sys.executable).parent))
    return [installed] if installed else [sys.executable, "-m", "tlkit"]


def make_workplace(folder: Path, rounds: int, quick: bool) -> Workplace:
    """Make a workplace over the photos that TLKIT_TEST_DATA names.

    raises: SystemExit with a sentence where they are not there
    """
    data = {name: _found(name) for name in DATASETS}
    if quick:
        data = {name: _thinned(root, folder / "data" / name) for name, root in data.items()}
        return Workplace(folder, data, 1, (0,), quick)
    return Workplace(folder, data, rounds, (0, 1, 2))


def _found(name: str) -> Path:
    home = os.environ.get("TLKIT_TEST_DATA")
    if not home:
        raise SystemExit("TLKIT_TEST_DATA is not set; it must name the folder that holds images/trashnet and others.")
    root = Path(home).resolve() / "images" / name
    if not root.is_dir():
        raise SystemExit(f"TLKIT_TEST_DATA has no images/{name}; the benchmarks need {', '.join(DATASETS)} there.")
    return root


def _thinned(root: Path, target: Path) -> Path:
    """Copy the first few images of every class, `QUICK_IMAGES` in all."""
    classes = [folder for folder in sorted(root.rglob("*")) if folder.is_dir() and any(_files(folder))]
    for folder in classes:
        copy = target / folder.relative_to(root)
        copy.mkdir(parents=True)
        for file in _files(folder)[: QUICK_IMAGES // len(classes)]:
            shutil.copyfile(file, copy / file.name)
    return target


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
