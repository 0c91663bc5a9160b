"""The content of a finished run's model.json, checked before anything else of the run is read."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tlkit.data.image import DECODE_VERSION, ImageSpec
from tlkit.engines.base import PACKAGES
from tlkit.errors import RunError

FORMAT_VERSION = 4


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
        sha256: of every file of the run, by its path in the run
    """

    class_names: tuple[str, ...] = field(repr=False)
    image: ImageSpec
    precision: str
    engine: str
    stages: tuple[InferenceStage, ...] = field(repr=False)
    sha256: dict[str, str] = field(repr=False)


def parse_manifest(content: Any, file: Path) -> Manifest:
    """Check the content of a `model.json`.

    Raises:
        RunError: if it is damaged or was written by another version
    """
    try:
        if (content["format"], content["decode_version"]) != (FORMAT_VERSION, DECODE_VERSION):
            raise RunError(
                f"'{file}' was written by tlkit {content['versions']['tlkit']}, which decoded images differently; "
                "install that version, or train again."
            )
        manifest = Manifest(
            class_names=tuple(str(name) for name in content["class_names"]),
            image=ImageSpec.from_json(content),
            precision=str(content["precision"]),
            engine=str(content["engine"]),
            stages=tuple(
                InferenceStage(*(str(stage[name]) for name in ("file", "engine", "precision")))
                for stage in content["stages"]
            ),
            sha256=dict(content["sha256"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"'{file}' is damaged ({type(error).__name__}: {error}); train again or restore it.") from None
    engines = {stage.engine for stage in manifest.stages}
    engines_known = bool(engines) and engines <= PACKAGES.keys()
    if not (len(manifest.class_names) > 1 and engines_known):
        raise RunError(f"'{file}' is damaged (impossible values); train again or restore it.")
    return manifest
