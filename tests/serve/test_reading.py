"""Images in requests: every form, and every way to get it wrong."""

import base64
import json

import numpy as np
import pytest

from tlkit.serve.gate import RequestLimits
from tlkit.serve.reading import decode_base64, images_of_json, parse_json, pixels_of_numbers
from tlkit.serve.refusal import Refusal

MALFORMED = {
    "no body": {},
    "empty JSON": {"content": b"", "headers": {"content-type": "application/json"}},
    "half JSON": {"content": b'{"image": "', "headers": {"content-type": "application/json"}},
    "deep JSON": {"content": b"[" * 200_000, "headers": {"content-type": "application/json"}},
    "a number": {"json": 3},
    "a list": {"json": ["x"]},
    "no images": {"json": {"images": []}},
    "an address": {"json": {"image": "http://example.com/a.jpg"}},
    "a path": {"json": {"image": "/etc/passwd"}},
    "null": {"json": {"image": None}},
    "numbers": {"json": {"images": [1, 2]}},
    "another field": {"files": [("photo", ("a.png", b"x"))]},
    "text in the field": {"data": {"file": "x"}, "files": [("other", ("a", b""))]},
    "no boundary": {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
    "another boundary": {"content": b"--a\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}},
    "truncated": {
        "content": b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
        "headers": {"content-type": "multipart/form-data; boundary=b"},
    },
    "no name": {
        "content": b"--b\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--b--\r\n",
        "headers": {"content-type": "multipart/form-data; boundary=b"},
    },
    "many fields": {"data": {str(number): "x" for number in range(99)}, "files": [("file", ("a", b"x"))]},
    "a long field": {"data": {"a": "x" * 100_000}, "files": [("file", ("a", b"x"))]},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_refused_with_a_sentence(served, name):
    answer = served.post("/predict", **MALFORMED[name])
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].endswith((".", "]}."))


def test_another_content_type_is_refused(served):
    for kind in ("text/plain", "application/xml", "multipart/mixed", "x"):
        answer = served.post("/predict", content=b"x", headers={"content-type": kind})
        assert answer.status_code == 415, kind


def test_a_file_larger_than_a_megabyte_stays_in_memory(served, photo, monkeypatch, tmp_path):
    """The parser of the library moves it to a temporary file, which a full disk would refuse."""
    import tempfile

    def refuse(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    data = photo.read_bytes() + b"\0" * 3_000_000
    assert served.post("/predict", files=[("file", ("a.png", data))]).json()[0]["label"] == "red"


def test_names_of_files_are_repeated_and_never_opened(served, photo, colors):
    names = ["../../etc/passwd", str(colors / "blue" / "0.png"), "x" * 300, "\u202e.png", '"quoted".png']
    rows = served.post("/predict", files=[("file", (name, photo.read_bytes())) for name in names]).json()
    assert [row["label"] for row in rows] == ["red"] * 5
    assert rows[1]["path"] == names[1]
    assert len(rows[2]["path"]) == 255


def test_base64_may_have_line_ends_and_a_prefix():
    encoded = base64.encodebytes(b"\xff" * 200).decode()
    assert "\n" in encoded
    assert decode_base64(encoded) == decode_base64("data:image/jpeg;base64," + encoded) == b"\xff" * 200
    for wrong in ("a", "\u00e9", "a-_b", "====", "data:x", None, 1, ["YQ=="], b"YQ=="):
        with pytest.raises(Refusal) as refused:
            images_of_json({"image": wrong}, RequestLimits()) if wrong != "data:x" else decode_base64("data:x,a")
        assert refused.value.status == 400


def test_json_that_no_parser_takes_is_refused():
    for body in (b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b"{'a': 1}", b"\x00"):
        with pytest.raises(Refusal):
            parse_json(body)


def test_pixels_are_whole_numbers_of_a_byte():
    assert np.array_equal(pixels_of_numbers([[0, 255], [1, 2]]), np.array([[0, 255], [1, 2]], np.uint8))
    assert np.array_equal(pixels_of_numbers([[[1.0, 2], [3, 255.0]]]), np.array([[[1, 2], [3, 255]]], np.uint8))
    wrong_lengths = ([], [[]], [[1], [1, 2]], [[1], 2], [1, [2]], [[[1], [2]], [[1, 2], [3]]])
    for wrong in ([256], [-1], [1.5], [float("nan")], [True], ["1"], ["ab", [1]], None, [10**30], *wrong_lengths):
        with pytest.raises((ValueError, TypeError, LookupError, OverflowError)):
            pixels_of_numbers(wrong)


@pytest.mark.parametrize("read", ["predict", "infer", "instances", "binary", "pixels"])
def test_too_many_images_are_refused_before_one_is_decoded(served, read):
    """Decoding them all would take seconds, in which nothing else is answered."""
    many, image = 100_000, {"name": "image", "datatype": "BYTES", "shape": [100_000]}
    address, old = f"/v2/models/{served.name}/infer", f"/v1/models/{served.name}:predict"
    head = json.dumps({"inputs": [image | {"parameters": {"binary_data_size": 4 * many}}]}).encode()
    binary = {"content": head + bytes(4 * many), "headers": {"Inference-Header-Content-Length": str(len(head))}}
    pixels = {"name": "pixels", "datatype": "UINT8", "shape": [many, 1, 1, 3], "data": [1, 2, 3] * many}
    requests = {
        "predict": ("/predict", {"json": {"images": ["?"] * many}}),
        "infer": (address, {"json": {"inputs": [image | {"data": ["?"] * many}]}}),
        "instances": (old, {"json": {"instances": [{"b64": "?"}] * many}}),
        "binary": (address, binary),
        "pixels": (address, {"json": {"inputs": [pixels]}}),
    }
    answer = served.post(requests[read][0], **requests[read][1])
    assert (answer.status_code, answer.json()) == (413, {"error": "The request has more than 32 images."})
