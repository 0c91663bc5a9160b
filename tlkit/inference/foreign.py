"""A trial of the files of a stranger's run in a child process: a crash of an engine there is a sentence here.

Engines are C++ code that trusts its files: a crafted `.tflite` can end the process that opens it. So the stages of a
run that this machine did not make are first opened, and run on two images, in a child process with limits. A good
verdict is kept in the cache, under the hashes of the files and the versions of the engines.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tlkit.cache.folder import KEY, CachePart, cache_dir, claim_cache, remember_use
from tlkit.engines.base import Engine, EngineSpec, engine_version, run_in_batches
from tlkit.engines.factory import open_engines
from tlkit.errors import OptionError, RunError, TlkitError
from tlkit.runs.manifest import InferenceStage, Manifest
from tlkit.runs.run import Run
from tlkit.utils.child import describe_end, machine_limits, start_child
from tlkit.utils.files import TEMPORARY, Owned, atomic_write, is_regular, sha256_text

TRIAL_VERSION = 1  # part of every key; raise it when a trial looks at more
PROCESSOR_SECONDS, SECONDS = 120, 300  # limits of a trial; docs/decisions/028 has what was measured
MAX_TEXT = 500  # characters of an error that the child reports
SIGNATURE = slice(4, 8), b"TFL3"  # bytes of a `.tflite` file
REFUSED = 4  # exit code of a child that says why
VERDICT_FILES = CachePart(
    "verdicts", Owned(files=re.compile(rf"{KEY}\.txt|{TEMPORARY.pattern}"), folders=re.compile("(?!)"))
)


def try_stages(run: Run, stages: Sequence[InferenceStage]) -> None:
    """Open and run the stages of a run in a child process, unless that went well before.

    Raises:
        RunError: if it crashes, reaches a limit, or is refused there
    """
    for stage in stages:
        run.checked_file(stage.file)
    verdict = cache_dir() / VERDICT_FILES.name / f"{_key(run.manifest, stages)}.txt"
    if is_regular(verdict):
        remember_use(verdict)
        return
    _try_in_child(run, stages)
    with suppress(OSError, OptionError):
        claim_cache(VERDICT_FILES)
        verdict.parent.mkdir(exist_ok=True)
        atomic_write(verdict, "These files were opened and run in a child process, without a crash.\n")


def _key(manifest: Manifest, stages: Sequence[InferenceStage]) -> str:
    parts = [(manifest.sha256[stage.file], stage.engine, stage.precision) for stage in stages]
    versions = sorted({(stage.engine, engine_version(stage.engine)) for stage in stages})
    return sha256_text(TRIAL_VERSION, manifest.image.size, len(manifest.class_names), parts, versions)


def _try_in_child(run: Run, stages: Sequence[InferenceStage]) -> None:
    limits = machine_limits(PROCESSOR_SECONDS)
    words = (str(run.path.absolute()), json.dumps([asdict(stage) for stage in stages]))
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with start_child("tlkit.inference.foreign", words, limits, **pipes) as child:
        try:
            output, _ = child.communicate(timeout=SECONDS)
            reason = describe_end(child.returncode, limits)
        except subprocess.TimeoutExpired:
            reason = f"took more than {SECONDS} seconds"
        finally:
            child.kill()
    if not reason and child.returncode == 0:
        return
    if not reason and child.returncode == REFUSED and (text := output.decode("utf-8", "replace")[:MAX_TEXT].strip()):
        raise RunError(text)
    raise RunError(
        f"'{run.path}' cannot be used: a process that opened its network {reason or 'failed'}; its files are "
        "damaged or made to do harm: do not use this run."
    )


def run_trial(run: Run, stages: Sequence[InferenceStage]) -> None:
    """Open the stages, and run them on a black and on a random image.

    Raises:
        RunError: if their shapes do not fit together, or the output is not one probability for each class
        ModelError: if an engine cannot open a file
    """
    engines = list[Engine]()
    for stage in stages:
        file = run.checked_file(stage.file)
        _check_signature(file)
        engines += open_engines(EngineSpec(stage.engine, stage.precision), file)
    side, num_classes = run.manifest.image.size, len(run.manifest.class_names)
    noise = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    for pixels in (np.zeros_like(noise), noise):
        rows = pixels
        try:
            for engine in engines:
                rows = run_in_batches(engine, engine.session(), rows)
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RunError(f"'{run.path}' cannot be used: its stages do not fit together ({reason}).") from None
        if rows.shape != (1, num_classes) or not np.isfinite(rows).all():
            found = " × ".join(map(str, rows.shape[1:])) if np.isfinite(rows).all() else "values that are not numbers"
            raise RunError(
                f"model.json of '{run.path}' has {num_classes} classes, but its model has {found}; "
                "restore model.json or train again."
            )


def _check_signature(file: Path) -> None:
    """Check that a `.tflite` file is one; other formats that an engine would accept may refer to other files."""
    position, expected = SIGNATURE
    if file.suffix == ".tflite":
        with file.open("rb") as opened:
            found = opened.read(position.stop)[position]
        if found != expected:
            raise RunError(f"the litert engine cannot open '{file}' (it is not a .tflite file); restore it.")


if __name__ == "__main__":
    try:
        run_trial(Run(Path(sys.argv[1])), [InferenceStage(**stage) for stage in json.loads(sys.argv[2])])
    except TlkitError as refusal:
        sys.stdout.buffer.write(str(refusal).encode("utf-8", "surrogateescape"))
        sys.exit(REFUSED)
