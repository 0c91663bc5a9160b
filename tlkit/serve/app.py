"""The addresses of a server and their answers."""

import asyncio
import base64
import io
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from tlkit.errors import OptionError, TlkitError
from tlkit.explain.base import Explanation
from tlkit.inference.predictor import Prediction, Predictor, top_classes
from tlkit.inference.tables import PredictionColumns, prediction_json
from tlkit.serve import inference_protocol, tensorflow_serving
from tlkit.serve.gate import RequestLimits
from tlkit.serve.metrics import Metrics
from tlkit.serve.openapi import describe_api
from tlkit.serve.pool import ServedRun, WorkerPool
from tlkit.serve.reading import read_images
from tlkit.serve.refusal import Refusal
from tlkit.utils.tables import valid_unicode

OVERLAY_SIDE, OVERLAY_QUALITY = 640, 88  # pixels of the longer side of a heat map, and its quality as a JPEG
PAGE_FILES = {"/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css")}
PAGE_FILES["/page.js"] = ("page.js", "text/javascript")

Endpoint = Callable[[Request], Awaitable[Response]]


class App:
    """The answers of a server.

    Args:
        served: runs by name; the first answers where a request names none
        metrics: None makes new ones
    """

    def __init__(
        self, served: dict[str, ServedRun], pool: WorkerPool, limits: RequestLimits, metrics: Metrics | None = None
    ) -> None:
        self.served, self._pool, self._limits = served, pool, limits
        self.metrics = metrics or Metrics(list(self.addresses), list(served))
        self._explaining = asyncio.Semaphore(1)
        self.router = Router([_route(address, endpoint) for address, endpoint in self.addresses.items()])

    @property
    def addresses(self) -> dict[str, Endpoint]:
        """Every address with what answers it."""
        model, old = "/v2/models/{name}", "/v1/models/{name}"
        pages = {address: partial(_file, *file) for address, file in PAGE_FILES.items()}
        return {
            **pages,
            "/predict": self.predict,
            "/explain": self.explain,
            "/models": self.models,
            "/healthz": _say_ok,
            "/metrics": self.show_metrics,
            "/openapi.json": self.openapi,
            "/v2": _describe_server,
            "/v2/health/live": _say_ok,
            "/v2/health/ready": _say_ok,
            model: self.describe,
            f"{model}/ready": self.describe_ready,
            f"{model}/infer": self.infer,
            f"{model}/versions/{{version}}": self.describe,
            f"{model}/versions/{{version}}/ready": self.describe_ready,
            f"{model}/versions/{{version}}/infer": self.infer,
            f"{old}:predict": self.predict_instances,
            f"{old}/versions/{{version}}:predict": self.predict_instances,
            f"{old}/metadata": self.describe_signature,
            f"{old}/versions/{{version}}/metadata": self.describe_signature,
            f"{old}/versions/{{version}}": self.show_status,
            old: self.show_status,
        }

    async def predict(self, request: Request) -> Response:
        """Answer with the rows of `tlkit predict --format json`."""
        served, query = self._named_in_query(request), request.query_params
        predictor = served.predictor
        names = predictor.manifest.class_names
        top_k = _whole_number(query.get("top_k", "1"), len(names))
        columns = PredictionColumns(names, top_k, _flag(query, "probs"), _flag(query, "scores"))
        with self._pool.admitted():
            images = await read_images(request, self._limits)
            predictions = await self._classify(served, predictor, images)
        rows = [prediction_json(_with_top(prediction, columns), columns) for prediction in predictions]
        return _json(rows, 200 if any(row["error"] is None for row in rows) else 422)

    async def explain(self, request: Request) -> Response:
        """Answer with where in an image the reasons for a class are."""
        served, class_name = self._named_in_query(request), request.query_params.get("class")
        with self._pool.admitted():
            images = await read_images(request, replace(self._limits, max_images=1))
            async with self._explaining:
                try:
                    found = await self._pool.run(partial(_explained, served, images[0], class_name))
                except OptionError:
                    raise Refusal(422, "The run has no such class.") from None
                except TlkitError:
                    raise Refusal(422, "The answers of this run cannot be explained.") from None
        return _json(found, 200 if found["error"] is None else 422)

    async def models(self, request: Request) -> Response:
        """List the runs, and the limits of a request."""
        runs = [
            {
                "name": name,
                "class_names": [valid_unicode(label) for label in served.predictor.manifest.class_names],
                "image_size": served.predictor.manifest.image.size,
                "answers_unknown": served.predictor.answers_unknown,
            }
            for name, served in self.served.items()
        ]
        limits = {"max_bytes": self._limits.max_bytes, "max_images": self._limits.max_images}
        return _json({"models": runs, "limits": limits})

    async def show_metrics(self, request: Request) -> Response:
        """Write the counters for Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        """Describe these addresses."""
        return _json(describe_api(self._limits))

    async def describe(self, request: Request) -> Response:
        """Give the metadata of a run (Open Inference Protocol)."""
        served = self._named_in_path(request)
        return _json(inference_protocol.describe_run(served.name, served.predictor.manifest))

    async def describe_ready(self, request: Request) -> Response:
        """Say that a run is ready (Open Inference Protocol)."""
        return _json({"name": self._named_in_path(request).name, "ready": True})

    async def infer(self, request: Request) -> Response:
        """Answer predictions (Open Inference Protocol)."""
        served = self._named_in_path(request)
        predictor = served.predictor
        with self._pool.admitted():
            length = request.headers.get(inference_protocol.HEADER_LENGTH)
            asked = inference_protocol.parse_infer(await request.body(), length, self._limits)
            predictions = await self._classify(served, predictor, asked.images)
        body, headers = inference_protocol.format_infer(served.name, asked, predictions, predictor.manifest)
        return Response(body, headers=headers)

    async def show_status(self, request: Request) -> Response:
        """Say that a run is available (TensorFlow Serving)."""
        self._named_in_path(request)
        return _json(tensorflow_serving.STATUS)

    async def describe_signature(self, request: Request) -> Response:
        """Give the signature of a run (TensorFlow Serving)."""
        served = self._named_in_path(request)
        return _json(tensorflow_serving.describe_signature(served.name, served.predictor.manifest))

    async def predict_instances(self, request: Request) -> Response:
        """Answer probabilities (TensorFlow Serving)."""
        served = self._named_in_path(request)
        predictor = served.predictor
        with self._pool.admitted():
            images, in_rows = tensorflow_serving.parse_instances(await request.body(), self._limits)
            predictions = await self._classify(served, predictor, images)
        return _json(tensorflow_serving.format_predictions(predictions, in_rows))

    async def _classify(self, served: ServedRun, predictor: Predictor, images: Any) -> list[Prediction]:
        predictions = await self._pool.classify(predictor, images)
        for prediction in predictions:
            self.metrics.add("tlkit_images_total", model=served.name, answer=prediction.status)
        return predictions

    def _named_in_query(self, request: Request) -> ServedRun:
        """Find the run that `?model=` names, else the first; Refusal if there is none of this name"""
        return self._find(request.query_params.get("model", next(iter(self.served))))

    def _named_in_path(self, request: Request) -> ServedRun:
        """Find the run that the address names; Refusal if there is none of this name or version"""
        if request.path_params.get("version", inference_protocol.VERSION) != inference_protocol.VERSION:
            raise Refusal(404, "The run has no such version; omit it.")
        return self._find(request.path_params["name"])

    def _find(self, name: str) -> ServedRun:
        if name not in self.served:
            raise Refusal(404, "There is no run of this name; /models lists all.")
        return self.served[name]


def _route(address: str, endpoint: Endpoint) -> Route:
    """Make a route whose endpoint knows its address, for the log and the counters."""

    async def answer(request: Request) -> Response:
        """Answer a request."""
        return await endpoint(request)

    answer.route = address  # type: ignore[attr-defined]
    reads = address.endswith(("/infer", ":predict")) or address in ("/predict", "/explain")
    return Route(address, answer, methods=["POST" if reads else "GET"])


def _json(content: Any, status: int = 200) -> Response:
    """Make an answer of ASCII, as `tlkit predict` writes it."""
    return Response(json.dumps(content).encode(), status, media_type="application/json")


async def _file(name: str, kind: str, request: Request) -> Response:
    """Answer with a file of the page."""
    content = files("tlkit.serve").joinpath(name).read_bytes()
    return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})


async def _say_ok(request: Request) -> Response:
    """Say that the server answers; it takes requests only when all runs are open."""
    return _json({"status": "ok"})


async def _describe_server(request: Request) -> Response:
    """Name the server (Open Inference Protocol)."""
    return _json({"name": "tlkit", "version": version("tlkit"), "extensions": ["binary_tensor_data"]})


def _whole_number(text: str, maximum: int) -> int:
    """Read a number of the query; Refusal if it is not from 1 up"""
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= 1):
        raise Refusal(400, "top_k is not a whole number from 1 up.")
    return min(int(text), maximum)


def _flag(query: Mapping[str, str], name: str) -> bool:
    """Read a switch of the query; Refusal if it is neither on nor off"""
    text = query.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise Refusal(400, f"{name} is neither true nor false.")
    return text in ("true", "1")


def _with_top(prediction: Prediction, columns: PredictionColumns) -> Prediction:
    """Give a prediction as many of the most probable classes as are asked for."""
    if prediction.probabilities is None or len(prediction.top) == columns.top_k:
        return prediction
    return replace(prediction, top=top_classes(prediction.probabilities, columns.class_names, columns.top_k))


def _explained(served: ServedRun, image: Any, class_name: str | None) -> dict[str, Any]:
    """Explain an answer, as JSON; the nearest training images are not in it, for they are not the client's."""
    found = served.explain(image, class_name)
    names = ("status", "label", "confidence", "reason", "method", "peak", "size", "error")
    content = {"path": image.name, **{name: getattr(found, name) for name in names}}
    content |= {"class": found.explained, "class_probability": found.probability}
    return content | {"overlay": _overlay(found) if found.error is None else None}


def _overlay(found: Explanation) -> str:
    """Draw the heat map on the image, as a data URL."""
    file = io.BytesIO()
    found.overlay(OVERLAY_SIDE).save(file, "JPEG", quality=OVERLAY_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
