"""Finished runs that many tests read, each trained once for all workers.

A test never writes into one of them; `copy_run` gives it a copy that it may damage. What else a test trains is its
own affair and has the mark `@pytest.mark.training`.
"""

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Any]) -> Any:
    """Call `make(folder)` in the first worker that asks, and give its result, pickled, to every worker.

    make: fills the folder; where it fails, the next worker that asks starts again
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of this session; without workers the parent is that of all sessions
    folder, result = root / f"shared-{name}", root / f"shared-{name}.pickle"
    with locked(root / f"shared-{name}.lock"):
        if not result.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            made = pickle.dumps(make(folder))
            result.with_suffix(".new").write_bytes(made)
            result.with_suffix(".new").rename(result)
    own_runs(root)  # all of them: this result may name another shared run
    return pickle.loads(result.read_bytes())


def own_runs(root: Path) -> None:
    """Record the shared runs as made by this worker, which has a cache of its own."""
    from tlkit.runs.ledger import record_run
    from tlkit.utils.files import sha256_file

    for result in root.glob("shared-*.pickle"):  # so that its run is finished
        for file in result.with_suffix("").rglob("model.json"):
            record_run(sha256_file(file))


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock that the kernel gives back even where a worker is killed, which a lock file would survive."""
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def group_of_test(root: Path, nodeid: str) -> str:
    """Group tests that one worker should run.

    These are those of a folder with a package fixture, and of a file with a module fixture that trains; else one each.
    """
    file = nodeid.partition("::")[0]
    folder = file.rpartition("/")[0]
    if has_package_fixture(root / folder):
        return folder
    return file if shares_a_training(root / file) else nodeid


@cache
def has_package_fixture(folder: Path) -> bool:
    """Tell whether the tests of a folder share a fixture of their package."""
    file = folder / "conftest.py"
    return file.exists() and 'scope="package"' in file.read_text(encoding="utf-8")


@cache
def shares_a_training(file: Path) -> bool:
    """Tell whether tests of a file have the mark `@pytest.mark.training` and share a fixture of their module."""
    text = file.read_text(encoding="utf-8")
    return "pytest.mark.training" in text and 'scope="module"' in text


def copy_run(run, tmp_path: Path):
    """A copy of a run that a test may change."""
    from tlkit.runs.run import Run

    return Run(shutil.copytree(run.path, tmp_path / "copied_run"))


def copy_foreign_run(run, tmp_path: Path):
    """A copy of a run whose model.json this machine did not write."""
    copied = copy_run(run, tmp_path)
    with (copied.path / "model.json").open("a") as file:
        file.write(" ")
    return copied


def rewrite_json(run, name: str, value: Any) -> None:
    """Write another content into a file of a finished run, as if the run had been made so."""
    from tlkit.runs.ledger import record_run
    from tlkit.utils.files import sha256_file

    run.write_json(name, value)
    content = run.read_json("model.json")
    run.write_json("model.json", content | {"sha256": content["sha256"] | {name: sha256_file(run.path / name)}})
    record_run(sha256_file(run.path / "model.json"))


@pytest.fixture(scope="session")
def finetuned(colors, weights_file, tmp_path_factory):
    """The result of a head trained on a frozen backbone."""
    import tlkit

    settings = tlkit.FinetuneSettings(
        backbone="mobilenet_025",
        weights=str(weights_file),
        freeze="all",
        image_size=32,
        hidden="0",
        epochs=20,
        batch_size=16,
        learning_rate=0.01,
    )
    return make_once(tmp_path_factory, "finetuned", lambda folder: tlkit.finetune(colors, folder / "run", settings))


@pytest.fixture(scope="session")
def finetuned_run(finetuned):
    """The run of a head trained on a frozen backbone."""
    return finetuned.run


@pytest.fixture(scope="session")
def blocks_result(colors, weights_file, tmp_path_factory):
    """The result of a head and upper blocks trained on cached activations."""
    import tlkit

    settings = tlkit.FinetuneSettings(
        backbone="mobilenet_025",
        weights=str(weights_file),
        freeze="lower",
        cut="conv_pw_5_relu",
        image_size=64,
        hidden="8",
        batch_size=16,
        upper_batch_size=16,
        epochs=2,
        upper_epochs=3,
        upper_learning_rate=4e-3,
        patience=9,
        views=3,
    )
    return make_once(tmp_path_factory, "blocks", lambda folder: tlkit.finetune(colors, folder / "run", settings))


@pytest.fixture(scope="session")
def blocks_run(blocks_result):
    """The run of a head and upper blocks trained on cached activations."""
    return blocks_result.run


@pytest.fixture(scope="session")
def scratch_result(colors, tmp_path_factory):
    """The result of a small network trained from random weights."""
    import tlkit

    settings = tlkit.TrainSettings(
        model="lenet5_relu", image_size=16, width=0.5, epochs=6, batch_size=8, learning_rate=5e-3
    )
    return make_once(tmp_path_factory, "scratch", lambda folder: tlkit.train(colors, folder / "run", settings))


@pytest.fixture(scope="session")
def scratch_run(scratch_result):
    """The run of a small network trained from random weights."""
    return scratch_result.run


@pytest.fixture(scope="session")
def classic_result(colors, tmp_path_factory):
    """The result of a classic classifier on handcrafted features, which needs the extra `classic`."""
    import tlkit

    pytest.importorskip("sklearn")
    pytest.importorskip("skimage")
    settings = tlkit.ClassicSettings(descriptor="histogram", classifier="logistic")
    return make_once(tmp_path_factory, "classic", lambda folder: tlkit.train_classic(colors, folder / "run", settings))


@pytest.fixture(scope="session")
def classic_run(classic_result):
    """The run of a classic classifier on handcrafted features."""
    return classic_result.run


@pytest.fixture(scope="session")
def comparison(colors, tmp_path_factory):
    """The result of a comparison of four candidates; two need training. Its `run` holds a run of each."""
    import tlkit

    pytest.importorskip("sklearn")
    pytest.importorskip("skimage")
    settings = tlkit.CompareSettings(only="chance,majority,colors,linear")
    return make_once(tmp_path_factory, "comparison", lambda folder: tlkit.compare(colors, folder / "run", settings))
