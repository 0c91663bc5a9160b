"""What `model.json` says of a finished run, checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlkit.data.pixels import DECODE_VERSION, RESIZES
from tlkit.errors import RunError

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Stage:
    """One converted network of a run: its file, relative to the run, and the precision it runs in."""

    file: str
    precision: str


@dataclass(frozen=True)
class ModelFacts:
    """What `model.json` says.

    class_names  in label order
    image_size   height and width of the network's input, in pixels
    resize       how a picture becomes square
    engine       "litert", "openvino", "keras" or "classic"
    stages       what the engine runs, in order, from pixels to probabilities
    sha256       of every file of the run, by its name
    """

    class_names: tuple[str, ...]
    image_size: int
    resize: str
    precision: str
    engine: str
    stages: tuple[Stage, ...]
    sha256: dict[str, str]


def parse_facts(content: Any, file: Path) -> ModelFacts:
    """The content of a `model.json`.

    raises: RunError where it is damaged or was written by another version
    """
    try:
        if (content["format"], content["decode_version"]) != (FORMAT_VERSION, DECODE_VERSION):
            raise RunError(
                f"'{file}' was written by tlkit {content['versions']['tlkit']}, which decoded images differently; "
                "install that version or train again."
            )
        facts = ModelFacts(
            class_names=tuple(str(name) for name in content["class_names"]),
            image_size=int(content["image_size"]),
            resize=str(content["resize"]),
            precision=str(content["precision"]),
            engine=str(content["engine"]),
            stages=tuple(Stage(str(stage["file"]), str(stage["precision"])) for stage in content["stages"]),
            sha256=dict(content["sha256"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"'{file}' is damaged ({type(error).__name__}: {error}); train again or restore it.") from None
    if not 1 <= facts.image_size <= 4096 or facts.resize not in RESIZES or len(facts.class_names) < 2:
        raise RunError(f"'{file}' is damaged (impossible values); train again or restore it.")
    return facts
