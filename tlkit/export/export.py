"""From a finished run to files for other programs, each checked before it gets its name."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.engines.base import installed_version
from tlkit.errors import DataError, GateError
from tlkit.export.base import ClassicSource, ExportSource, RuntimeFunction
from tlkit.export.clients import client_scripts
from tlkit.export.formats import ExportFormat, choose_formats, describe_left_out
from tlkit.export.hub import hub_card
from tlkit.export.images import RunImages, find_root, read_golden, read_subset
from tlkit.export.metadata import associated_files, metadata_texts, model_facts
from tlkit.export.model import export_classic, export_model
from tlkit.export.verification import MIN_TESTED, Reference, Verification, measure_speeds, verify
from tlkit.inference.golden import has_golden, verify_golden
from tlkit.inference.predictor import Predictor
from tlkit.runs.manifest import MODEL
from tlkit.runs.run import Run, load_run
from tlkit.settings.base import settings_or_options
from tlkit.settings.export import ExportSettings
from tlkit.utils.files import check_new_file, new_folder, next_free, sha256_file, write_json
from tlkit.utils.parallel import count_workers, in_chunks, ordered_map, single_threaded_blas
from tlkit.utils.progress import Progress, Silent, Stopwatch
from tlkit.utils.storage import Location

CHECKED_IMAGES = {"none": 200}  # validation images that a file is checked with; all where it is quantized
MAX_CHECKED_IMAGES = 2000
WHOLE_IMAGES = 64  # with --with-resize
CALIBRATION_IMAGES = 300  # training images that int8 takes its ranges from
CHUNK = 8
REPORT = "export.json"
PACKAGES = ("tlkit", "keras", "tensorflow", "ai-edge-litert", "onnx", "onnxruntime", "openvino", "nncf", "numpy")


@dataclass(frozen=True)
class ExportedFile:
    """A format that was written.

    Attributes:
        format: its name
        files: relative to the folder
        num_bytes: of all its files
        seconds: that writing and checking took
        verification: how its answers differ from those of `predict`
        images_per_second: one image at a time, on this machine
        float32: num_bytes and images_per_second of the same format without quantization; None unless it is quantized
    """

    format: str
    files: tuple[str, ...]
    num_bytes: int
    seconds: float
    verification: Verification
    images_per_second: float
    float32: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Export:
    """The result of `tlkit export`.

    Attributes:
        path: the folder
        formats: what was written, by name
        quantize: "none", "float16", "dynamic" or "int8"
        notes: what a person should know
    """

    path: Path
    formats: Mapping[str, ExportedFile]
    quantize: str
    notes: tuple[str, ...] = field(default=(), repr=False)


def export_run(
    run: Run | str | Path,
    output: str | Path | None = None,
    settings: ExportSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Export:
    """Write a finished run as files for other programs, and check that they answer as it does.

    Args:
        run: a finished run, or its folder
        output: a new folder; the next free `<run>-<format>` where it is None
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `ExportSettings`, in place of `settings`

    Returns:
        The files of each format, and how their answers compare with those of the run

    Raises:
        OptionError: if a format does not take this `quantize`, or `output` exists
        RunError, ModelError, DataError
        GateError: if a file does not answer as the run does; nothing is left
    """
    settings = settings_or_options(ExportSettings, settings, options, output=output)
    progress = progress or Silent()
    run = run if isinstance(run, Run) else load_run(run)
    classic = MODEL not in run.manifest.sha256
    chosen = choose_formats(settings.format, settings.quantize, settings.with_resize, classic)
    output = Path(output) if output is not None else default_output(run, settings)
    check_new_file(output)
    return _Exporting(run, settings, progress, chosen).write(output)


def default_output(run: Run, settings: ExportSettings) -> Path:
    """Choose a free name in the current folder: that of the run, with the format and the quantization."""
    name = f"{run.path.resolve().name}-{settings.format}"
    return next_free(Path(name if settings.quantize == "none" else f"{name}-{settings.quantize}"))


class _Exporting:
    """One export on its way: the run, the images that are compared, and what is written so far."""

    def __init__(
        self, run: Run, settings: ExportSettings, progress: Progress, chosen: Mapping[str, ExportFormat]
    ) -> None:
        self.run, self.settings, self.progress, self.chosen = run, settings, progress, chosen
        self.notes = list[str]()
        self.watch = Stopwatch()
        self.whole = run.manifest.image if settings.with_resize else None
        left_out = describe_left_out(chosen, settings.quantize, settings.with_resize, MODEL not in run.manifest.sha256)
        if settings.format == "all" and left_out:
            self._note(left_out)
        self.root, reason = find_root(run, settings.data)
        if self.root is None and settings.quantize == "int8":
            raise DataError(f"--quantize int8 needs training images of the run, but {reason}; name DATA with --data.")
        if self.root is None:
            self._note(f"{reason}; only the golden samples are compared. --data names the images.")

    def write(self, output: Path) -> Export:
        """Write and check every format in a hidden folder, which gets its name at the end."""
        reference = self._reference()
        facts = model_facts(self.run, self.settings.quantize, self.settings.with_resize)
        model, classic = self._classifier()
        source = ExportSource(
            model=model,
            metadata=metadata_texts(facts),
            associated=associated_files(facts),
            quantize=self.settings.quantize,
            card=hub_card(self.run) if "hub" in self.chosen else "",
            calibration=self._calibration(),
            classic=classic,
            resize=self.whole,
        )
        with new_folder(output) as folder, tempfile.TemporaryDirectory() as workspace:
            source = replace(source, workspace=Path(workspace))
            formats = {name: self._write_format(name, source, reference, folder) for name in self.chosen}
            for name, content in source.associated.items():
                (folder / name).write_bytes(content)
            for name in self.chosen:
                for file, text in client_scripts(name, self.run.manifest.image, self.whole is not None).items():
                    (folder / file).write_text(text, encoding="utf-8")
            result = Export(output, formats, self.settings.quantize, tuple(self.notes))
            write_json(folder / REPORT, self._report(result, folder))
        return result

    def _classifier(self) -> tuple[Any, ClassicSource | None]:
        """Open the network of the run; or its classic classifier, with the network before it or None."""
        if MODEL in self.run.manifest.sha256:
            return export_model(self.run, self.settings.trust_model), None
        classic, network = export_classic(self.run, self.settings.trust_model)
        return network, classic

    def _reference(self) -> Reference:
        """Collect the images that files are compared on, with the answers of the run."""
        is_float32 = self.run.manifest.precision == "float32"
        predictor = Predictor(self.run, "auto" if is_float32 else "keras", trust_model=self.settings.trust_model)
        if not is_float32:
            self._note("the run computes in bfloat16; files are compared with its network in float32.")
        if has_golden(self.run):
            verify_golden(self.run, predictor)
        golden = images = read_golden(self.run)
        if self.root is not None:
            images = golden.joined(self._validation(self.root))
        if not len(images):
            raise DataError(
                f"'{self.run.path}' has no image to check a file with: no golden samples, and its validation images "
                "are not there; name DATA with --data."
            )
        tested = len(images) - len(golden)
        if self.settings.quantize != "none" and tested < MIN_TESTED:
            self._note(
                f"the accuracy of {self.settings.quantize} was hardly tested: on {tested or len(golden):,} images, of "
                f"{MIN_TESTED} needed."
            )
        return Reference(len(golden), images, self._predict(predictor, images.pixels), self.whole)

    def _validation(self, root: Location) -> RunImages:
        """Read the validation images that files are compared on, and note how many of them are there.

        Raises:
            DataError: if --data names a folder that has none of them, or too few for a quantized file
        """
        quantize = self.settings.quantize
        count = WHOLE_IMAGES if self.whole else CHECKED_IMAGES.get(quantize, MAX_CHECKED_IMAGES)
        images, wanted = read_subset(self.run, root, "validation", count)
        found = f"{len(images):,} of {wanted:,} validation images were found unchanged"
        needed = min(wanted, 1 if quantize == "none" else MIN_TESTED)
        if self.settings.data and len(images) < needed:
            raise DataError(
                f"{found} in '{root}'; expected at least {needed}: name the folder that the run was trained on."
            )
        if len(images) < wanted:
            self._note(f"{found}{'' if len(images) else '; only golden samples are compared'}.")
        elif wanted < MIN_TESTED:
            self._note(f"the run has {wanted:,} validation images; all of them are compared.")
        return images

    def _predict(self, predictor: Predictor, pixels: np.ndarray) -> np.ndarray:
        def work(rows: list[np.ndarray]) -> np.ndarray:
            """Classify some images."""
            return predictor.classify(predictor.network.extract(np.stack(rows)))

        with (
            self.progress.stage("reference", len(pixels), "images") as advance,
            single_threaded_blas(),
            ThreadPoolExecutor(count_workers()) as pool,
        ):
            answers = list[np.ndarray]()
            for rows in ordered_map(pool, work, in_chunks(pixels, CHUNK)):
                answers.append(rows)
                advance(len(rows))
        return np.concatenate(answers)

    def _calibration(self) -> np.ndarray | None:
        """Read the training images that int8 takes its ranges from; None where it is not asked for"""
        if self.settings.quantize != "int8" or self.root is None:
            return None
        images, wanted = read_subset(self.run, self.root, "train", CALIBRATION_IMAGES)
        if not len(images):
            raise DataError(f"no training image in '{self.root}' is as the run knew it; --quantize int8 needs some.")
        if len(images) < CALIBRATION_IMAGES:
            missing = (
                f"of {wanted:,}; the others are missing or changed" if len(images) < wanted else "all that there are"
            )
            self._note(f"int8 takes its ranges from {len(images):,} training images, {missing}.")
        return images.pixels

    def _write_format(self, name: str, source: ExportSource, reference: Reference, folder: Path) -> ExportedFile:
        row, watch = self.chosen[name], Stopwatch()
        before = set(folder.rglob("*"))
        with self.progress.stage(row.title, 1, "files") as advance:
            exporter = row.load()
            exporter.write(source, folder)
            advance(1)
        files = sorted(path for path in set(folder.rglob("*")) - before if path.is_file())
        run, found = self._verified(name, folder, reference)
        pixels = reference.inputs(CHUNK)
        float32 = None
        if self.settings.quantize == "none":
            (speed,) = measure_speeds([run], pixels)
        else:
            float32, speed = self._measure_both(row, source, run, pixels)
        relative = tuple(file.relative_to(folder).as_posix() for file in files)
        num_bytes = sum(file.stat().st_size for file in files)
        return ExportedFile(name, relative, num_bytes, watch.total(), found, speed, float32)

    def _verified(self, name: str, folder: Path, reference: Reference) -> tuple[RuntimeFunction, Verification]:
        """Open a file in its own runtime, and check its answers.

        Raises:
            GateError
        """
        what = self.chosen[name].files[0].rstrip("/")
        max_drop = None if self.settings.quantize == "none" else self.settings.max_drop / 100
        with self.progress.stage("verifying", len(reference.images), "images") as advance:
            try:
                run = self.chosen[name].load().open(folder)
                found = verify(_counted(run, advance), reference, what, max_drop)
            except (ValueError, RuntimeError, OSError) as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise GateError(f"{what} cannot be run ({reason}); it was removed.") from None
        return run, found

    def _measure_both(
        self, row: ExportFormat, source: ExportSource, run: RuntimeFunction, pixels: Sequence[np.ndarray]
    ) -> tuple[dict[str, float], float]:
        """Write the same format without quantization, and measure both in turn."""
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            row.load().write(replace(source, quantize="none"), folder)
            before, speed = measure_speeds([row.load().open(folder), run], pixels)
            num_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        return {"num_bytes": num_bytes, "images_per_second": before}, speed

    def _report(self, result: Export, folder: Path) -> dict[str, Any]:
        """Give the content of export.json."""
        written = result.formats.values()
        hashes = {name: sha256_file(folder / name) for file in written for name in file.files}
        return {
            "format": self.settings.format,
            "quantize": self.settings.quantize,
            "with_resize": self.settings.with_resize,
            "run": self.run.path.resolve().name,
            "sha256": hashes,
            "largest_difference": max(file.verification.max_difference for file in written),
            "images_checked": min(file.verification.num_golden + file.verification.num_validation for file in written),
            "seconds": self.watch.total(),
            "formats": {file.format: _as_json(file) for file in written},
            "notes": list(result.notes),
            "versions": {name: version for name in PACKAGES if (version := installed_version(name))},
        }

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.progress.note(text)


def _as_json(file: ExportedFile) -> dict[str, Any]:
    return {
        "files": list(file.files),
        "num_bytes": file.num_bytes,
        "seconds": file.seconds,
        "images_per_second": file.images_per_second,
        "float32": None if file.float32 is None else dict(file.float32),
        **file.verification.as_json(),
    }


def _counted(run: RuntimeFunction, advance: Callable[[int], None]) -> RuntimeFunction:
    def counted(pixels: np.ndarray) -> np.ndarray:
        """Run, and report the images that are done."""
        answers = run(pixels)
        advance(len(pixels))
        return answers

    return counted
