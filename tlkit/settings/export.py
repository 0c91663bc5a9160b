"""Settings of `tlkit export`."""

from dataclasses import dataclass
from typing import Literal

from tlkit.settings.base import documented, setting, validate
from tlkit.settings.shared import trust_model_option


@documented
@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Settings of `tlkit export`."""

    format: Literal["litert", "saved_model", "onnx", "openvino", "hub", "all"] = setting(
        "litert",
        "Main",
        "File format; hub is the folder of a Hugging Face model repository, all writes every other format that "
        "--quantize allows.",
    )
    quantize: Literal["none", "float16", "dynamic", "int8"] = setting(
        "none", "Main", "Smaller numbers in the file: float16, dynamic (int8 weights), int8 (weights and activations)."
    )
    data: str = setting("", "Main", "DATA of RUN, where it has moved. Default: the path that RUN was trained on.")
    with_resize: bool = setting(
        False,
        "Main",
        "Resize inside the file: `pixels` is one image of any size, uint8 (1, height, width, 3). For saved_model and "
        "onnx, without --quantize. Otherwise the client makes images square.",
    )
    max_drop: float = setting(
        1.0,
        "Main",
        "Maximum loss of validation accuracy by --quantize, in percentage points; above it the exit code is 5.",
        min=0,
        max=100,
    )
    trust_model: bool = trust_model_option()

    def __post_init__(self) -> None:
        validate(self)
