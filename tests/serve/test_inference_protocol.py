"""The Open Inference Protocol: JSON, binary tensors, and a client that knows nothing of tlkit."""

import base64
import json

import numpy as np
import pytest

from tests.serve.conftest import started
from tlkit import predict
from tlkit.serve.gate import RequestLimits
from tlkit.serve.inference_protocol import HEADER_LENGTH, parse_infer
from tlkit.serve.refusal import Refusal


def binary_request(inputs, binary, **more):
    head = json.dumps({"inputs": inputs, **more}).encode()
    return {"content": head + binary, "headers": {HEADER_LENGTH: str(len(head))}}


def elements(*files):
    return b"".join(len(file).to_bytes(4, "little") + file for file in files)


def test_files_as_json_and_as_binary_get_the_answers_of_predict(served, colors, finetuned_run):
    paths = [colors / name / "5.png" for name in ("blue", "green", "red")]
    files = [path.read_bytes() for path in paths]
    expected = list(predict(finetuned_run, paths))
    tensor = {"name": "image", "datatype": "BYTES", "shape": [3]}
    address = f"/v2/models/{served.name}/infer"
    in_json = served.post(
        address, json={"id": "7", "inputs": [tensor | {"data": [base64.b64encode(file).decode() for file in files]}]}
    ).json()
    assert (in_json["id"], in_json["model_name"], in_json["model_version"]) == ("7", served.name, "1")
    outputs = {output["name"]: output for output in in_json["outputs"]}
    assert outputs["label"]["data"] == ["blue", "green", "red"]
    assert outputs["probabilities"]["shape"] == [3, 3]
    probabilities = np.array(outputs["probabilities"]["data"], np.float32).reshape(3, 3)
    assert np.array_equal(probabilities, [row.probabilities for row in expected])

    packed = elements(*files)
    binary = tensor | {"parameters": {"binary_data_size": len(packed)}}
    asked = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "label"}]
    answer = served.post(address, **binary_request([binary], packed, outputs=asked))
    length = int(answer.headers[HEADER_LENGTH])
    content = json.loads(answer.content[:length])
    assert [output["name"] for output in content["outputs"]] == ["probabilities", "label"]
    assert content["outputs"][0]["parameters"] == {"binary_data_size": 36}
    assert answer.content[length:] == probabilities.tobytes()


def test_pixels_are_classified_as_predict_classifies_an_array(served, finetuned_run):
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), np.uint8)
    expected = [row.probabilities for row in predict(finetuned_run, images)]
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [2, 40, 60, 3]}
    binary = tensor | {"parameters": {"binary_data_size": images.size}}
    address, asked = f"/v2/models/{served.name}/infer", [{"name": "probabilities"}]
    for request in (
        {"json": {"inputs": [tensor | {"data": images.tolist()}], "outputs": asked}},
        {"json": {"inputs": [tensor | {"data": images.ravel().tolist()}], "outputs": asked}},
        binary_request([binary], images.tobytes(), outputs=asked),
    ):
        answer = served.post(address, **request).json()
        assert np.array_equal(np.array(answer["outputs"][0]["data"], np.float32).reshape(2, 3), expected)


FILE = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["YQ=="]}
WRONG = {
    "nothing": {},
    "no inputs": {"inputs": []},
    "two inputs": {"inputs": [FILE, FILE]},
    "another name": {"inputs": [FILE | {"name": "x"}]},
    "another type": {"inputs": [FILE | {"datatype": "FP32"}]},
    "another shape": {"inputs": [FILE | {"shape": [2]}]},
    "shape of words": {"inputs": [FILE | {"shape": ["a"]}]},
    "endless shape": {"inputs": [FILE | {"shape": [10**400]}]},
    "many axes": {"inputs": [FILE | {"shape": [999_999_999] * 50_000}]},
    "deep pixels": {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [[[]]]}]},
    "no data": {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}]},
    "no pixels": {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 0, 2, 3], "data": []}]},
    "negative": {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, 1, 3], "data": [1, 2, 3]}]},
    "four channels": {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 4], "data": [1] * 4}]},
    "large values": {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 256]}]},
    "binary that is not there": {"inputs": [FILE | {"parameters": {"binary_data_size": 9}}]},
    "another output": {"inputs": [FILE], "outputs": [{"name": "x"}]},
    "outputs of words": {"inputs": [FILE], "outputs": ["x"]},
    "parameters of words": {"inputs": [FILE | {"parameters": "x"}]},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_malformed_request_is_refused(served, name):
    answer = served.post(f"/v2/models/{served.name}/infer", json=WRONG[name])
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_binary_data_that_does_not_fit_is_refused():
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}
    head = json.dumps({"inputs": [tensor]}).encode()
    for binary, length in (
        *((bad, str(len(head))) for bad in (b"\xff\xff\xff\xff__", b"\1\0\0\0a", b"\1\0\0\0ab", b"\1\0")),
        *((b"\2\0\0\0ab", length) for length in ("-1", "x", "99999", "9" * 5000, "1")),
    ):
        with pytest.raises(Refusal) as refused:
            parse_infer(head + binary, length, RequestLimits())
        assert refused.value.status == 400
    (image,) = parse_infer(head + b"\2\0\0\0ab", str(len(head)), RequestLimits()).images
    assert image.content == b"ab"


def test_an_image_that_cannot_be_read_is_an_error_of_the_request(served):
    answer = served.post(f"/v2/models/{served.name}/infer", json={"inputs": [FILE]})
    assert (answer.status_code, answer.json()) == (422, {"error": "Image 0 is text, not an image."})


def test_the_client_of_triton_works_unchanged(finetuned_run, colors):
    client_module = pytest.importorskip("tritonclient.http")
    paths = [colors / name / "7.png" for name in ("red", "blue")]
    expected = [row.probabilities for row in predict(finetuned_run, paths)]
    with started(finetuned_run.path) as server:
        client = client_module.InferenceServerClient(server.address.removeprefix("http://"))
        name = finetuned_run.path.name
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(name)
        metadata = client.get_model_metadata(name)
        assert [item["name"] for item in metadata["inputs"]] == ["image", "pixels"]
        given = client_module.InferInput("image", [2], "BYTES")
        given.set_data_from_numpy(np.array([path.read_bytes() for path in paths], np.object_))
        for outputs in (None, [client_module.InferRequestedOutput("probabilities")]):
            answer = client.infer(name, [given], outputs=outputs)
            assert np.array_equal(answer.as_numpy("probabilities"), expected)
        assert client.infer(name, [given]).as_numpy("label").tolist() == [b"red", b"blue"]
        pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
        given = client_module.InferInput("pixels", [1, 32, 32, 3], "UINT8")
        given.set_data_from_numpy(pixels)
        (row,) = predict(finetuned_run, pixels)
        assert np.array_equal(client.infer(name, [given]).as_numpy("probabilities")[0], row.probabilities)
        with pytest.raises(client_module.InferenceServerException, match="no run of this name"):
            client.infer("cats", [given])
        client.close()
