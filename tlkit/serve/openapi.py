"""The description of the addresses in the form of OpenAPI 3.1, for clients and their generators."""

from importlib.metadata import version
from typing import Any

from tlkit.serve.gate import RequestLimits

TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
BYTES = {"type": "string", "format": "binary"}
BASE64 = {"type": "string", "contentEncoding": "base64"}
ERRORS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    404: "There is no run of this name.",
    413: "The request is too large, or has too many images.",
    415: "The content type is not known.",
    422: "No image can be read.",
    429: "The server is busy; Retry-After says when to try again.",
    503: "The request took too long.",
}
GET_ADDRESSES = {
    "/": "Page to try the runs in a browser",
    "/models": "Runs, their classes, and the limits of a request",
    "/healthz": "Whether the server answers",
    "/metrics": "Counters for Prometheus",
    "/openapi.json": "This description",
    "/v2": "Open Inference Protocol: the server",
    "/v2/health/live": "Open Inference Protocol: whether the server lives",
    "/v2/health/ready": "Open Inference Protocol: whether the server is ready",
    "/v2/models/{name}": "Open Inference Protocol: inputs and outputs of a run",
    "/v2/models/{name}/ready": "Open Inference Protocol: whether a run is ready",
    "/v1/models/{name}": "TensorFlow Serving: state of a run",
    "/v1/models/{name}/metadata": "TensorFlow Serving: signature of a run",
}


def describe_api(limits: RequestLimits) -> dict[str, Any]:
    """Describe the addresses as OpenAPI has it."""
    paths = {address: {"get": _operation(words)} for address, words in GET_ADDRESSES.items()}
    model = _parameter("model", TEXT, "Name of the run; the first one by default")
    switches = [
        _parameter("top_k", {"type": "integer", "minimum": 1, "default": 1}, "Number of most probable classes"),
        _parameter("probs", FLAG, "Probability of every class"),
        _parameter("scores", FLAG, "Distance to the training images"),
    ]
    rows = {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}}
    paths["/predict"] = {"post": _posts("Classify images", _images(limits), rows, [model, *switches])}
    reason = _parameter("class", TEXT, "Class whose reasons to show; the most probable one by default")
    heat = {"$ref": "#/components/schemas/Explanation"}
    paths["/explain"] = {
        "post": _posts("Show where the reasons for a class are", _images(limits), heat, [model, reason])
    }
    anything = {"application/json": {"schema": {"type": "object"}}}
    for address, words in (
        ("/v2/models/{name}/infer", "Open Inference Protocol: classify images"),
        ("/v1/models/{name}:predict", "TensorFlow Serving: classify images"),
    ):
        paths[address] = {"post": _posts(words, anything, {"type": "object"}, [])}
    for address, methods in paths.items():
        if "{name}" in address:
            name = {"name": "name", "in": "path", "required": True, "schema": TEXT, "description": "Name of the run"}
            for operation in methods.values():
                operation.setdefault("parameters", []).append(name)
    info = {"title": "tlkit serve", "version": version("tlkit"), "description": "Image classifiers behind HTTP"}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": _components()}


def _operation(words: str) -> dict[str, Any]:
    return {"summary": words, "responses": {"200": {"description": "Done"}, "401": _error(401)}}


def _posts(words: str, content: dict[str, Any], answer: dict[str, Any], parameters: list[Any]) -> dict[str, Any]:
    done = {"description": "Done", "content": {"application/json": {"schema": answer}}}
    return {
        "summary": words,
        "parameters": list(parameters),
        "requestBody": {"required": True, "content": content},
        "responses": {"200": done, **{str(status): _error(status) for status in ERRORS}},
    }


def _error(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": ERRORS[status], "content": {"application/json": {"schema": schema}}}


def _parameter(name: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": words}


def _images(limits: RequestLimits) -> dict[str, Any]:
    """Describe the three ways to send images."""
    several = {"type": "array", "items": BYTES, "maxItems": limits.max_images}
    encoded = {"type": "array", "items": BASE64, "maxItems": limits.max_images}
    return {
        "multipart/form-data": {"schema": {"type": "object", "properties": {"file": several}, "required": ["file"]}},
        "application/json": {"schema": {"type": "object", "properties": {"image": BASE64, "images": encoded}}},
        "image/*": {"schema": BYTES},
        "application/octet-stream": {"schema": BYTES},
    }


def _components() -> dict[str, Any]:
    """Describe a row, an explanation and an error."""
    label, number = {"type": ["string", "null"]}, {"type": ["number", "null"]}
    top = {"type": "object", "properties": {"label": TEXT, "prob": NUMBER}, "required": ["label", "prob"]}
    status = {"enum": ["ok", "unknown", "error"]}
    row = {"path": TEXT, "status": status, "label": label, "confidence": number, "reason": label, "error": label}
    heat = {**row, "method": TEXT, "class": label, "class_probability": number, "overlay": label}
    pixels = {"type": ["array", "null"], "items": {"type": "integer"}}
    extra = {"distance": number, "probs": {"type": "object", "additionalProperties": NUMBER}}
    objects: dict[str, dict[str, Any]] = {
        "Prediction": {**row, "top": {"type": "array", "items": top}, **extra},
        "Explanation": {**heat, "peak": pixels, "size": pixels},
        "Error": {"error": TEXT},
    }
    schemas = {name: {"type": "object", "properties": fields} for name, fields in objects.items()}
    return {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
