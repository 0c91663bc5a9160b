"""Checks of a finished run: its files, versions, and whether it can predict here."""

import platform
import shlex
from pathlib import Path

from tlkit.doctor.base import Observation
from tlkit.engines.base import CLASSIC_PACKAGES, PACKAGES, installed_version
from tlkit.errors import TlkitError
from tlkit.inference.golden import has_golden, verify_golden
from tlkit.inference.predictor import Predictor
from tlkit.runs.run import Run, load_run
from tlkit.utils.text import format_size

MAX_NAMED = 3  # damaged files of one run
EFFECTS = {"tlkit": "reads the run", "pillow": "decodes images", "numpy": "computes the result"}  # of other versions


def check_run(path: Path) -> list[Observation]:
    """Look at a run; what is wrong with it has exit code 4, as `tlkit predict` would end."""
    try:
        run = load_run(path)
    except TlkitError as error:
        return [Observation("run", str(error), "problem", exit_code=error.exit_code)]
    manifest = run.manifest
    size = f"{manifest.image.size} × {manifest.image.size} pixels"
    origin = "made on this machine" if run.is_own else "not made on this machine"
    text = f"{run.path}: {len(manifest.class_names)} classes, {size}, engine {manifest.engine}, {origin}"
    head = Observation("run", text)
    damaged = _check_files(run)
    return [head, *damaged, _check_versions(run), *_check_predictions(run)]


def _check_files(run: Run) -> list[Observation]:
    """Compare every file with the hash that the run wrote."""
    hashes, problems, num_bytes = run.manifest.sha256, list[str](), 0
    for name in hashes:
        try:
            num_bytes += run.checked_file(name).stat().st_size
        except TlkitError as error:
            problems.append(str(error))
    observations = [Observation("files", text, "problem", exit_code=4) for text in problems[:MAX_NAMED]]
    if len(problems) > MAX_NAMED:
        text = f"{len(problems) - MAX_NAMED} more files are missing or differ"
        observations.append(Observation("files", text, "problem", exit_code=4))
    if problems:
        return observations
    return [Observation("files", f"{len(hashes)} files, {format_size(num_bytes)}, as the run wrote them")]


def _check_versions(run: Run) -> Observation:
    """Compare the versions that the run's figures depend on with those installed."""
    engine = run.manifest.engine
    recorded = run.read_json("model.json").get("versions", {})
    effects = EFFECTS | {engine: "computes the result"}
    names = ("keras", "tensorflow", *effects, *CLASSIC_PACKAGES)
    here = {"python": platform.python_version()} | {name: installed_version(PACKAGES.get(name, name)) for name in names}
    differing = [name for name in here if name in recorded and recorded[name] != here[name]]
    if not differing:
        return Observation("versions", "the same as those that the run was made with")
    words = [f"{name} {recorded[name]}, here {here[name] or 'missing'}" for name in differing]
    mattering = [f"{name} ({effects[name]})" for name in differing if name in effects]
    if mattering:
        text = f"{'; '.join(words)}. Answers may differ a little because of {', '.join(mattering)}"
        return Observation("versions", text, "remark")
    return Observation("versions", f"{'; '.join(words)}; this does not change what it predicts")


def _check_predictions(run: Run) -> list[Observation]:
    """Open the run as `tlkit predict` does, and replay its golden samples."""
    topic = "predict"
    if not run.is_own and any(stage.engine == "keras" for stage in run.manifest.stages):
        text = "not opened, because this run was not made on this machine and its network can contain code"
        remedy = shlex.join(["tlkit", "predict", str(run.path), "IMAGES", "--verify", "--trust-model"])
        return [Observation(topic, text, "remark", remedy)]
    try:
        predictor = Predictor(run)
        stages = ", ".join(f"{stage.file} by {stage.engine} in {stage.precision}" for stage in run.manifest.stages)
        opened = Observation(topic, f"can be used: {stages}")
        if not has_golden(run):
            return [opened, Observation("golden", "this run has no golden samples (--no-golden)")]
        topic = "golden"
        count = verify_golden(run, predictor)
    except TlkitError as error:
        return [Observation(topic, str(error), "problem", exit_code=error.exit_code)]
    return [opened, Observation("golden", f"{count} images give the same answers as when the run was made")]
