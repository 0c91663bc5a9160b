"""The REST interface of TensorFlow Serving, so that its clients can ask a run.

Source: tensorflow.org/tfx/serving/api_rest. An instance is `{"b64": FILE}`, also inside `{"image": …}`, or pixels as
nested lists (height, width, 3) of numbers from 0 to 255.
"""

from collections.abc import Sequence
from typing import Any

from tlkit.inference.inputs import NamedInput
from tlkit.inference.predictor import Prediction
from tlkit.runs.manifest import Manifest
from tlkit.serve.gate import RequestLimits
from tlkit.serve.inference_protocol import FILES, PIXELS, VERSION, check_readable
from tlkit.serve.pool import GivenImage
from tlkit.serve.reading import check_count, decode_base64, parse_json, pixels_of_numbers
from tlkit.serve.refusal import Refusal

STATUS = {  # of every run, for one that does not load is not served
    "model_version_status": [
        {"version": VERSION, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
}


def describe_signature(name: str, manifest: Manifest) -> dict[str, Any]:
    """Give the metadata of a run: the signature that its clients look for."""
    sizes = [{"size": "-1"}, {"size": str(len(manifest.class_names))}]
    signature = {
        "inputs": {FILES: {"dtype": "DT_STRING", "tensor_shape": {"dim": [{"size": "-1"}]}}},
        "outputs": {"probabilities": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": sizes}}},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
    }


def parse_instances(body: bytes, limits: RequestLimits) -> tuple[list[GivenImage], bool]:
    """Read a request.

    Returns:
        The images, and whether they are in rows (`instances`), not in columns (`inputs`)

    Raises:
        Refusal
    """
    content = parse_json(body)
    if isinstance(content, dict) and isinstance(content.get("instances"), list):
        return _images(content["instances"], limits), True
    if isinstance(content, dict) and "inputs" in content:
        columns = content["inputs"]
        if isinstance(columns, dict) and "b64" not in columns and len(columns) == 1:
            (columns,) = columns.values()
        return _images(columns if isinstance(columns, list) else [columns], limits), False
    raise Refusal(400, 'The JSON has neither "instances" nor "inputs".')


def _images(instances: list[Any], limits: RequestLimits) -> list[GivenImage]:
    check_count(instances, limits)
    return [_image(instance) for instance in instances]


def _image(instance: Any) -> GivenImage:
    if isinstance(instance, dict) and len(instance) == 1 and (FILES in instance or PIXELS in instance):
        (instance,) = instance.values()
    if isinstance(instance, dict) and "b64" in instance:
        return NamedInput("<bytes>", decode_base64(instance["b64"]))
    try:
        pixels = pixels_of_numbers(instance)
        if pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError("not an image")
        return pixels
    except (ValueError, TypeError, OverflowError, LookupError):
        words = 'An instance is neither {"b64": BASE64} nor pixels, height × width × 3 whole numbers from 0 to 255.'
        raise Refusal(400, words) from None


def format_predictions(predictions: Sequence[Prediction], in_rows: bool) -> dict[str, Any]:
    """Write an answer: calibrated probabilities in label order.

    Raises:
        Refusal: if an image cannot be read, which this interface has no row for
    """
    check_readable(predictions)
    rows = [[] if row.probabilities is None else row.probabilities.tolist() for row in predictions]
    return {"predictions" if in_rows else "outputs": rows}
