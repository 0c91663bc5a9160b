"""The REST interface of TensorFlow Serving."""

import base64

import numpy as np
import pytest

from tlkit import predict


@pytest.fixture
def encoded(photo):
    return {"b64": base64.b64encode(photo.read_bytes()).decode()}


def test_every_form_of_a_request_gets_the_probabilities_of_predict(served, finetuned_run, photo, encoded):
    (expected,) = predict(finetuned_run, photo)
    rows = [[float(value) for value in expected.probabilities]]
    forms = {
        "predictions": (
            {"instances": [encoded]},
            {"instances": [{"image": encoded}], "signature_name": "serving_default"},
        ),
        "outputs": ({"inputs": [encoded]}, {"inputs": {"image": [encoded]}}, {"inputs": encoded}),
    }
    for address in (f"/v1/models/{served.name}:predict", f"/v1/models/{served.name}/versions/1:predict"):
        for name, requests in forms.items():
            for content in requests:
                assert served.post(address, json=content).json() == {name: rows}, content


def test_pixels_as_lists_are_classified(served, finetuned_run):
    pixels = np.random.default_rng(1).integers(0, 256, (8, 9, 3), np.uint8)
    (expected,) = predict(finetuned_run, pixels)
    answer = served.post(f"/v1/models/{served.name}:predict", json={"instances": [pixels.tolist()]}).json()
    assert np.array_equal(np.array(answer["predictions"][0], np.float32), expected.probabilities)


@pytest.mark.parametrize(
    "content",
    [
        *(None, 3, [], {}, {"instances": []}, {"instances": [[]]}, {"instances": [3]}, {"instances": ["YQ=="]}),
        *({"instances": [{"b64": 3}]}, {"instances": [{"b64": "?"}]}, {"instances": [[[1, 2]]]}, {"inputs": None}),
        *({"instances": [[[[1, 2]]]]}, {"instances": [[[[1, 2, 3.5]]]]}, {"instances": {"b64": "YQ=="}}),
    ],
)
def test_a_malformed_request_is_refused(served, content):
    answer = served.post(f"/v1/models/{served.name}:predict", json=content)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_an_image_that_cannot_be_read_is_named_by_its_number(served, encoded):
    answer = served.post(f"/v1/models/{served.name}:predict", json={"instances": [encoded, {"b64": "YQ=="}]})
    assert (answer.status_code, answer.json()) == (422, {"error": "Image 1 is text, not an image."})


def test_the_metadata_has_the_signature(served):
    content = served.client.get(f"/v1/models/{served.name}/metadata").json()
    signature = content["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["outputs"]["probabilities"]["tensor_shape"]["dim"] == [{"size": "-1"}, {"size": "3"}]
    assert content["model_spec"]["name"] == served.name
