"""The content of a finished run's model.json, checked before anything else of the run is read.

A run may come from a stranger. `FIELDS` is the schema: a field that tlkit reads is a row of it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tlkit.data.image import DECODE_VERSION, RESIZES, ImageSpec
from tlkit.engines.base import PACKAGES
from tlkit.errors import RunError
from tlkit.utils.files import TEMPORARY, Owned

FORMAT_VERSION = 5
COMPARISON_PAGE = "compare.html"  # of a comparison
REPORT_PAGE, MODEL_CARD = REMADE = "report.html", "MODEL_CARD.md"  # can be made again, so no hash holds them
MODEL = "model.keras"  # the whole network, of runs that have one
HEAD_ARRAYS = "engine/head.npz"  # weights of the head, whose gradient explains an answer
REFERENCES = "engine/references.npy"  # features of training images, which distances are measured to
IMAGE_MAP = "map.csv"  # validation images as points of a plane
UNKNOWN_IMAGES = "unknown.csv"  # images of no class that the rule for "unknown" is fitted on
CLASSIC_MODEL = "classic.npz"  # a classic classifier, with its descriptors
READ_COLUMNS = {  # of the tables that are read
    "split.csv": ("path", "class", "split", "sha256", "pixels"),
    UNKNOWN_IMAGES: ("path", "sha256"),
    "predictions_val.csv": ("path", "class", "label", "confidence"),
    "folds/predictions.csv": ("path", "class", "label", "confidence"),
    "history.csv": ("phase", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"),
    "conflicts.csv": ("path", "class", "group"),
    IMAGE_MAP: ("path", "class", "x", "y"),
}
RUN_FILES = Owned(  # everything a run or a comparison writes; other files in its folder are not tlkit's
    files=re.compile(
        r"UNFINISHED|DONE|RESUMED|MODEL_CARD\.md|model\.keras|classic\.npz"
        r"|(?:settings|model|metrics|golden|speed|compare|comparison-key|checkpoint-(?:strategy|versions))\.json"
        r"|(?:split|history|left_out|conflicts|map|per_class|confusion_matrix|predictions_val|unknown|wrong|compare)\.csv"
        r"|(?:report|compare)\.html|compare\.png|checkpoint-[a-z]+\.npz"
        r"|engine/(?:lower|upper|head)\.(?:tflite|keras)|engine/references\.npy|engine/head\.npz"
        r"|plots/(?:calibration|confusion|curves|wrong)\.png|golden/\d\.png"
        r"|tensorboard/[a-z]+/events\.out\.tfevents\.[^/]+"
        r"|folds/(?:per_class|confusion_matrix|predictions|wrong)\.csv"
        rf"|(?:(?:engine|folds|golden|plots)/)?{TEMPORARY.pattern}"
    ),
    folders=re.compile(r"engine|folds|golden|plots|tensorboard(?:/[a-z]+)?"),
)
STAGE_ORDER = ("engine/lower", "engine/upper", "engine/head", "model", "classic")  # without ending
ENDINGS = {"litert": ".tflite", "openvino": ".tflite", "keras": ".keras", "classic": ".npz"}  # of what engines read
STAGE_PRECISIONS = ("float32", "bfloat16")

MAX_CLASSES, MAX_NAME = 100_000, 4096  # classes of a run; characters of a name
MAX_SIDE, MAX_MEGAPIXELS = 4096, 178  # of the square that a network sees, in pixels; of an image
MAX_HASHES = 1000  # files of a run
MAX_HIDDEN, MAX_UNITS = 16, 65_536  # hidden layers of a head, and units of each
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100
MAX_VALUES = 1000  # in a field without a schema of its own
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class InferenceStage:
    """One step from pixels to probabilities.

    Attributes:
        file: relative to the run
        engine: that runs it, with its precision: "litert", "openvino", "keras" or "classic"
    """

    file: str
    engine: str
    precision: str = "float32"


@dataclass(frozen=True)
class Manifest:
    """The content of a finished run's `model.json`.

    Attributes:
        class_names: in label order
        image: the square that is classified
        precision: of the frozen layers: "float32" or "bfloat16"
        engine: that the run was made with
        stages: in order, from pixels to probabilities
        temperature: divides the logits of what the stages give
        unknown: the rule for "unknown", as `evaluation.rejection` reads it; its references are in `REFERENCES`
        sha256: of every file of the run, by its path in the run
    """

    class_names: tuple[str, ...] = field(repr=False)
    image: ImageSpec
    precision: str
    engine: str
    stages: tuple[InferenceStage, ...] = field(repr=False)
    temperature: float
    unknown: dict[str, Any] = field(repr=False)
    sha256: dict[str, str] = field(repr=False)


def parse_manifest(content: Any, file: Path) -> Manifest:
    """Check the content of a `model.json` against `FIELDS`.

    Raises:
        RunError: if it is damaged or was written by another version
    """
    if not isinstance(content, dict):
        raise _damaged(file, "it is not an object")
    if (content.get("format"), content.get("decode_version")) != (FORMAT_VERSION, DECODE_VERSION):
        raise RunError(_other_version(content, file))
    for name, rule in FIELDS.items():
        if name not in content:
            if rule.is_required:
                raise _damaged(file, f"it has no {name}")
        elif not rule.accepts(content[name]):
            raise _damaged(file, f"{name} is not {rule.expected}")
    names = ("file", "engine", "precision")
    stages = tuple(InferenceStage(*(stage[name] for name in names)) for stage in content["stages"])
    return Manifest(
        class_names=tuple(content["class_names"]),
        image=ImageSpec.from_json(content),
        precision=content["precision"],
        engine=content["engine"],
        stages=stages,
        temperature=float(content["temperature"]),
        unknown=content["unknown"],
        sha256=dict(content["sha256"]),
    )


def _damaged(file: Path, reason: str) -> RunError:
    return RunError(f"'{file}' is damaged ({reason}); restore it or train again.")


def _other_version(content: dict[str, Any], file: Path) -> str:
    versions = content.get("versions")
    version = versions.get("tlkit") if isinstance(versions, dict) else None
    known = isinstance(version, str) and re.fullmatch(r"[\w.+-]{1,40}", version)
    writer, advice = (f"tlkit {version}", "install that version, or train") if known else ("another version", "train")
    return f"'{file}' was written by {writer}, which decoded images differently; {advice} again."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_name(value: Any) -> bool:
    """Tell whether a value is a text that can be written everywhere; bytes of a file name that is not UTF-8 can."""
    if not isinstance(value, str) or not len(value) <= MAX_NAME:
        return False
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _are_class_names(value: Any) -> bool:
    is_list = isinstance(value, list) and 2 <= len(value) <= MAX_CLASSES
    return is_list and all(is_name(name) and name for name in value) and len(set(value)) == len(value)


def _are_versions(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= MAX_VALUES and all(map(is_name, value.values()))


def _is_range(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] < value[1]


def _are_stages(value: Any) -> bool:
    """Tell whether these are stages in the order of `STAGE_ORDER`."""
    if not isinstance(value, list) or not 1 <= len(value) <= len(STAGE_ORDER) or not all(map(_is_stage, value)):
        return False
    positions = [STAGE_ORDER.index(stage["file"].rpartition(".")[0]) for stage in value]
    return positions == sorted(set(positions))


def _is_stage(value: Any) -> bool:
    """Tell whether this is a known file with an engine that can read it."""
    if not isinstance(value, dict) or not all(is_name(value.get(name)) for name in ("file", "engine", "precision")):
        return False
    file, engine, precision = value["file"], value["engine"], value["precision"]
    if engine not in ENDINGS or precision not in (STAGE_PRECISIONS if engine == "openvino" else ("float32",)):
        return False
    known = [f"{name}{ENDINGS[engine]}" for name in STAGE_ORDER]
    return file in known and RUN_FILES.files.fullmatch(file) is not None


def _are_hashes(value: Any) -> bool:
    """Tell whether these are hashes of files that a run writes, which all lie inside its folder."""
    if not isinstance(value, dict) or not len(value) <= MAX_HASHES:
        return False
    names = all(is_name(name) and RUN_FILES.files.fullmatch(name) for name in value)
    return names and all(isinstance(digest, str) and SHA256.fullmatch(digest) for digest in value.values())


def _is_head(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    hidden, numbers = value.get("hidden"), [value.get(name, 0) for name in ("dropout", "l1", "l2")]
    if not isinstance(hidden, list) or not len(hidden) <= MAX_HIDDEN:
        return False
    has_units = all(_is_whole(units, 1, MAX_UNITS) for units in hidden)
    return has_units and isinstance(value.get("batch_norm"), bool) and all(_is_number(n) and n >= 0 for n in numbers)


def _is_rejection(value: Any) -> bool:
    """Tell whether this is a rule for "unknown"."""
    if not isinstance(value, dict):
        return False
    coverage, threshold = value.get("coverage", 0), value.get("threshold")
    has_limits = _is_number(coverage) and 0 < coverage <= 1 and (threshold is None or _is_number(threshold))
    are_moments = all(_are_moments(value.get(name)) for name in ("distance", "doubt"))
    return has_limits and are_moments and _is_number(value.get("balance"))


def _are_moments(value: Any) -> bool:
    """Tell whether this is a mean and a standard deviation."""
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[1] > 0


@dataclass(frozen=True)
class FieldRule:
    """A row of the schema.

    Attributes:
        expected: in words, after "is not"
        accepts: tells whether a value is that
    """

    expected: str
    accepts: Callable[[Any], bool]
    is_required: bool = True


def _is_optional_name(value: Any) -> bool:
    return value is None or is_name(value)


FIELDS = {  # of model.json; other fields are not read
    "versions": FieldRule("an object of texts", _are_versions),
    "class_names": FieldRule(f"a list of 2 to {MAX_CLASSES:,} different names", _are_class_names),
    "image_size": FieldRule(f"a whole number from 1 to {MAX_SIDE:,}", lambda value: _is_whole(value, 1, MAX_SIDE)),
    "resize": FieldRule(f"one of {', '.join(RESIZES)}", lambda value: isinstance(value, str) and value in RESIZES),
    "gray_range": FieldRule("null or two numbers, the smaller first", _is_range),
    "max_megapixels": FieldRule(
        f"a number from 0 to {MAX_MEGAPIXELS}", lambda value: _is_number(value) and 0 < value <= MAX_MEGAPIXELS
    ),
    "precision": FieldRule(f"one of {', '.join(STAGE_PRECISIONS)}", lambda value: value in STAGE_PRECISIONS),
    "engine": FieldRule(f"one of {', '.join(PACKAGES)}", lambda value: isinstance(value, str) and value in PACKAGES),
    "stages": FieldRule("a list of files of the run in their order, each with an engine that reads it", _are_stages),
    "sha256": FieldRule("an object with the SHA-256 of files that a run writes", _are_hashes),
    "backbone": FieldRule("a name", is_name, is_required=False),
    "freeze": FieldRule("a name", is_name, is_required=False),
    "weights": FieldRule("a name", is_name, is_required=False),
    "cut": FieldRule("a name or null", _is_optional_name, is_required=False),
    "head": FieldRule("an object with hidden, dropout and batch_norm", _is_head, is_required=False),
    "descriptor": FieldRule("a name", is_name, is_required=False),
    "features": FieldRule("a name", is_name, is_required=False),
    "classifier": FieldRule("a name", is_name, is_required=False),
    "temperature": FieldRule(
        f"a number from {MIN_TEMPERATURE} to {MAX_TEMPERATURE}",
        lambda value: _is_number(value) and MIN_TEMPERATURE <= value <= MAX_TEMPERATURE,
    ),
    "unknown": FieldRule("an object with coverage, threshold, balance, distance and doubt", _is_rejection),
}
