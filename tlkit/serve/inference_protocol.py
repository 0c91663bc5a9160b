"""The Open Inference Protocol, version 2, as KServe and Triton clients speak it.

An input is `image` (BYTES: files, one an element) or `pixels` (UINT8: images, height, width, 3). Tensors are JSON, or
binary after the JSON where the header `Inference-Header-Content-Length` says how long that is.
Source: github.com/kserve/open-inference-protocol, and Triton's binary tensor data extension.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkit.inference.inputs import NamedInput
from tlkit.inference.predictor import Prediction
from tlkit.runs.manifest import Manifest
from tlkit.serve.gate import RequestLimits
from tlkit.serve.pool import GivenImage
from tlkit.serve.reading import check_count, decode_base64, parse_json, pixels_of_numbers
from tlkit.serve.refusal import Refusal
from tlkit.utils.tables import valid_unicode

HEADER_LENGTH = "Inference-Header-Content-Length"
VERSION = "1"  # of every run: a folder has one
FILES, PIXELS = "image", "pixels"  # the inputs
MAX_AXES = 4  # of a tensor
MAX_ID = 256  # characters of a request's id, which the answer repeats
OUTPUTS = ("probabilities", "label", "confidence", "status", "reason")


@dataclass(frozen=True)
class InferRequest:
    """A request for predictions.

    Attributes:
        identifier: that the answer repeats; "" without one
        images: files, or pixels
        outputs: the names that are asked for, and whether each is binary
    """

    identifier: str
    images: list[GivenImage]
    outputs: dict[str, bool]


def describe_run(name: str, manifest: Manifest) -> dict[str, Any]:
    """Give the metadata of a run: its inputs and outputs."""
    outputs = [{"name": output, "datatype": "BYTES", "shape": [-1]} for output in OUTPUTS]
    outputs[0] |= {"datatype": "FP32", "shape": [-1, len(manifest.class_names)]}
    outputs[2]["datatype"] = "FP32"
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "tlkit",
        "inputs": [
            {"name": FILES, "datatype": "BYTES", "shape": [-1]},
            {"name": PIXELS, "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
        ],
        "outputs": outputs,
        "parameters": {"class_names": [valid_unicode(label) for label in manifest.class_names]},
    }


def parse_infer(body: bytes, header_length: str | None, limits: RequestLimits) -> InferRequest:
    """Read a request.

    Args:
        header_length: the header of this name; None where the whole body is JSON

    Raises:
        Refusal
    """
    split = len(body)
    if header_length is not None:
        split = int(header_length) if re.fullmatch("[0-9]{1,12}", header_length) else len(body) + 1
        if split > len(body):
            raise Refusal(400, f"The header {HEADER_LENGTH} is no length within the body.")
    content = parse_json(body[:split])
    try:
        (tensor,) = content["inputs"]
        parameters = tensor.get("parameters") or {}
        images = _images(tensor, parameters, body[split:], limits)
        identifier = str(content.get("id") or "")[:MAX_ID]
        outputs = _outputs(content)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise Refusal(
            400, f"The request is malformed; it has one input, {FILES} (BYTES) or {PIXELS} (UINT8, N × H × W × 3)."
        ) from None
    return InferRequest(identifier, images, outputs)


def _images(
    tensor: Mapping[str, Any], parameters: Mapping[str, Any], binary: bytes, limits: RequestLimits
) -> list[GivenImage]:
    """Take the images of an input tensor; ValueError if it is malformed, Refusal if there are none or too many"""
    size = parameters.get("binary_data_size")
    if size is not None and size != len(binary):
        raise ValueError("another number of bytes")
    shape = [int(length) for length in tensor["shape"][: MAX_AXES + 1]]
    if len(shape) > MAX_AXES:
        raise ValueError("too many axes")
    if (tensor["name"], tensor["datatype"]) == (FILES, "BYTES"):
        elements = _split_elements(binary, limits) if size is not None else _flat(tensor["data"])
        check_count(elements, limits)
        if math.prod(shape) != len(elements):
            raise ValueError("another number of elements")
        files = elements if size is not None else map(decode_base64, elements)
        return [NamedInput("<bytes>", file) for file in files]
    if (tensor["name"], tensor["datatype"]) == (PIXELS, "UINT8") and len(shape) == 4 and shape[3] == 3:
        if min(shape) < 1:
            raise ValueError("no pixels")
        check_count(range(shape[0]), limits)
        values = np.frombuffer(binary, np.uint8) if size is not None else pixels_of_numbers(tensor["data"])
        return list(values.reshape(shape))
    raise ValueError("another input")


def _flat(data: Any) -> list[Any]:
    return [item for part in data for item in (part if isinstance(part, list) else [part])]


def _split_elements(binary: bytes, limits: RequestLimits) -> list[bytes]:
    """Split elements, each after its length in 4 little-endian bytes, up to one more than are allowed.

    Raises:
        ValueError: if they do not fill the whole
    """
    elements, start = list[bytes](), 0
    while start < len(binary) and len(elements) <= limits.max_images:
        end = start + 4 + int.from_bytes(binary[start : start + 4], "little")
        if end > len(binary) or start + 4 > len(binary):
            raise ValueError("an element is cut off")
        elements.append(binary[start + 4 : end])
        start = end
    return elements


def _outputs(content: Mapping[str, Any]) -> dict[str, bool]:
    """Find the outputs that are asked for; Refusal if one is not known"""
    by_default = bool((content.get("parameters") or {}).get("binary_data_output", False))
    asked = content.get("outputs") or [{"name": name} for name in OUTPUTS]
    if not all(output["name"] in OUTPUTS for output in asked):
        raise Refusal(400, f"An output is not known; expected {', '.join(OUTPUTS)}.")
    return {output["name"]: bool((output.get("parameters") or {}).get("binary_data", by_default)) for output in asked}


def format_infer(
    name: str, request: InferRequest, predictions: Sequence[Prediction], manifest: Manifest
) -> tuple[bytes, dict[str, str]]:
    """Write an answer.

    Returns:
        The body, and the headers that it needs

    Raises:
        Refusal: if an image cannot be read, which this protocol has no row for
    """
    check_readable(predictions)
    tensors, binary = [], list[bytes]()
    for output, is_binary in request.outputs.items():
        tensor: dict[str, Any] = {"name": output, "datatype": "BYTES", "shape": [len(predictions)]}
        values: list[Any] = [getattr(prediction, output) for prediction in predictions]
        if output == "probabilities":
            tensor |= {"datatype": "FP32", "shape": [len(predictions), len(manifest.class_names)]}
        elif output == "confidence":
            tensor["datatype"] = "FP32"
        if is_binary:
            data = _binary(values, tensor["datatype"])
            tensor["parameters"] = {"binary_data_size": len(data)}
            binary.append(data)
        else:
            is_number = tensor["datatype"] == "FP32"
            tensor["data"] = np.ravel(values).tolist() if is_number else [valid_unicode(value) for value in values]
        tensors.append(tensor)
    content = {"model_name": name, "model_version": VERSION, "outputs": tensors}
    head = json.dumps(content | ({"id": request.identifier} if request.identifier else {})).encode()
    if not binary:
        return head, {"Content-Type": "application/json"}
    return b"".join([head, *binary]), {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}


def check_readable(predictions: Sequence[Prediction]) -> None:
    """Check that every image could be read; Refusal that names the first that could not"""
    for number, prediction in enumerate(predictions):
        if prediction.error is not None:
            raise Refusal(422, f"Image {number} {prediction.error}.")


def _binary(values: Sequence[Any], datatype: str) -> bytes:
    if datatype == "FP32":
        return np.asarray(values, "<f4").tobytes()
    texts = [valid_unicode(value).encode() for value in values]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
