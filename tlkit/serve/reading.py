"""Images in requests: multipart, a raw body, and base64 in JSON.

A request holds images only. A path or an address in it is never opened.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from tlkit.inference.inputs import NamedInput
from tlkit.serve.gate import RequestLimits
from tlkit.serve.refusal import Refusal

FIELD = "file"  # of a multipart request
RAW_KINDS = ("", "application/octet-stream", "application/x-www-form-urlencoded")  # the last by curl --data-binary
MAX_FILE_NAME = 255  # characters that an answer repeats
MAX_FIELDS = 16  # of a multipart request, beside its files
EXPECTED = "send images as multipart fields named 'file', as the body, or as base64 in JSON"


class _InMemoryParser(MultiPartParser):
    """A parser that writes nothing to the disk; the body has a limit."""

    spool_max_size = 1 << 40


async def read_images(request: Request, limits: RequestLimits) -> list[NamedInput]:
    """Read the images of a request, in their order.

    Raises:
        Refusal: if it is malformed, or has none or too many
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        images = await _read_multipart(request, limits)
    elif kind in ("application/json", "text/json"):
        images = images_of_json(parse_json(await request.body()), limits)
    elif kind in RAW_KINDS or kind.startswith("image/"):
        body = await request.body()
        images = [NamedInput("<bytes>", body)] if body else []
    else:
        raise Refusal(415, f"The content type is not known; {EXPECTED}.")
    check_count(images, limits)
    return images


def check_count(images: Sequence[Any], limits: RequestLimits) -> None:
    """Check the number of images; Refusal if there is none, or too many"""
    if not images:
        raise Refusal(400, f"The request has no image; {EXPECTED}.")
    if len(images) > limits.max_images:
        raise Refusal(413, f"The request has more than {limits.max_images} images.")


async def _read_multipart(request: Request, limits: RequestLimits) -> list[NamedInput]:
    parser = _InMemoryParser(
        request.headers, request.stream(), max_files=limits.max_images + 1, max_fields=MAX_FIELDS, max_part_size=65_536
    )
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, UnicodeDecodeError):
        raise Refusal(400, "The multipart body is malformed.") from None
    files = [item for name, item in form.multi_items() if name == FIELD and isinstance(item, UploadFile)]
    images = [NamedInput((item.filename or "<bytes>")[:MAX_FILE_NAME], await item.read()) for item in files]
    await form.close()
    return images


def parse_json(body: bytes) -> Any:
    """Parse JSON; Refusal if it is malformed"""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON.") from None


def images_of_json(content: Any, limits: RequestLimits) -> list[NamedInput]:
    """Take the images of `{"image": BASE64}` or `{"images": [BASE64, ...]}`; Refusal if it is neither"""
    if isinstance(content, dict) and isinstance(content.get("images", []), list):
        texts = [content["image"]] if "image" in content else content.get("images", [])
        check_count(texts, limits)
        return [NamedInput("<bytes>", decode_base64(text)) for text in texts]
    raise Refusal(400, 'The JSON is none of {"image": BASE64} and {"images": [BASE64, ...]}.')


def decode_base64(text: Any) -> bytes:
    """Decode base64, with or without what a data URL begins with; Refusal if it is none"""
    if isinstance(text, str):
        if text.startswith("data:"):
            text = text.partition(",")[2]
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            pass
    raise Refusal(400, "An image is not base64.")


def pixels_of_numbers(data: Any) -> np.ndarray:
    """Turn nested lists of JSON into uint8.

    One level is joined at a time: NumPy takes seconds for a million short lists, in which nothing else is answered.

    Raises:
        ValueError, TypeError, OverflowError: if they are not whole numbers from 0 to 255 in lists of one length
    """
    shape = [len(data)]
    while isinstance(data[0], list):
        (length,) = set(map(len, data))
        data = list(chain.from_iterable(data))
        shape.append(length)
        if not data:
            raise ValueError("empty")
    values = np.asarray(data)
    if values.dtype.kind not in "if" or values.min() < 0 or values.max() > 255 or (values % 1).any():
        raise ValueError("not whole numbers from 0 to 255")
    return values.astype(np.uint8).reshape(shape)
