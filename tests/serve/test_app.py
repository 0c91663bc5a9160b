"""The addresses: what they answer is what `predict` and `explain` answer."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.cli.commands import tlkit
from tlkit import Predictor, predict
from tlkit.inference.tables import PredictionColumns, prediction_json


def several(paths):
    return [("file", (path.name, path.read_bytes(), "image/png")) for path in paths]


def test_a_photo_as_multipart_as_the_body_and_as_json_gets_the_same_answer(served, photo):
    data = photo.read_bytes()
    encoded = base64.b64encode(data).decode()
    answers = [
        served.post("/predict", files=several([photo])),
        served.post("/predict", content=data, headers={"content-type": "image/png"}),
        served.post("/predict", content=data),
        served.post("/predict", content=data, headers={"content-type": "application/x-www-form-urlencoded"}),
        served.post("/predict", json={"image": encoded}),
        served.post("/predict", json={"images": ["data:image/png;base64," + encoded]}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 6
    rows = [answer.json()[0] for answer in answers]
    assert [row.pop("path") for row in rows] == ["0.png", *["<bytes>"] * 5]
    assert all(row == rows[0] for row in rows)
    assert rows[0]["label"] == "red"


def test_rows_are_those_of_predict_in_order(served, colors, finetuned_run, tmp_path):
    bad = tmp_path / "note.txt"
    bad.write_text("no image")
    files = [colors / name / "3.png" for name in ("green", "red", "blue")] + [bad]
    answer = served.post("/predict?top_k=3&probs=true&scores=true", files=several(files))
    printed = tlkit("predict", finetuned_run.path, *files, "--format", "json", "--top-k", 3, "--probs", "--scores")
    expected = json.loads(printed.stdout)
    assert answer.status_code == 200
    assert [row | {"path": path.name} for row, path in zip(expected, files, strict=True)] == answer.json()
    assert answer.json()[3]["error"] == "is text, not an image"


@pytest.mark.parametrize("name", ["finetuned_run", "blocks_run", "classic_run", "scratch_run"])
def test_probabilities_are_those_of_predict_bit_for_bit(serving, colors, name, request):
    run = request.getfixturevalue(name)
    found = serving(run)
    files = sorted(colors.rglob("*.png"))[:12]
    content = {"instances": [{"b64": base64.b64encode(path.read_bytes()).decode()} for path in files]}
    answer = found.post(f"/v1/models/{found.name}:predict", json=content).json()["predictions"]
    expected = [row.probabilities for row in predict(run, files)]
    assert np.array_equal(np.array(answer, np.float32), np.array(expected))


def test_a_request_in_which_no_image_can_be_read_has_status_422_and_its_rows(served):
    answer = served.post("/predict", content=b"no image")
    assert answer.status_code == 422
    assert answer.json()[0] | {"path": ""} == {
        "path": "",
        "status": "error",
        "label": None,
        "confidence": None,
        "top": [],
        "reason": None,
        "error": "is text, not an image",
    }


def test_an_unknown_image_says_so_with_the_label(serving, colors, copied, tmp_path):
    found = serving(copied)
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (row,) = found.post("/predict", files=several([tmp_path / "noise.png"])).json()
    (expected,) = predict(copied, tmp_path / "noise.png")
    columns = PredictionColumns(expected.top and (expected.label,))
    assert row == prediction_json(expected, columns) | {"path": "noise.png"}
    assert row["status"] == "unknown"


@pytest.fixture
def copied(finetuned_run, tmp_path):
    """A run that finds everything unlike its training images."""
    from tests.shared_runs import copy_run

    run = copy_run(finetuned_run, tmp_path)
    content = run.read_json("model.json")
    content["unknown"] |= {"threshold": -1e9} if "threshold" in content["unknown"] else {}
    run.write_json("model.json", content)
    if not Predictor(run).answers_unknown:
        pytest.skip("the run has no threshold")
    return run


def test_several_runs_answer_by_the_names_of_their_folders(serving, finetuned_run, classic_run, tmp_path, photo):
    from tests.shared_runs import copy_run

    other = copy_run(classic_run, tmp_path)
    found = serving(finetuned_run, other)
    assert list(found.runs) == [finetuned_run.path.name, "copied_run"]
    listed = found.client.get("/models").json()
    assert [item["name"] for item in listed["models"]] == list(found.runs)
    assert listed["models"][0]["class_names"] == ["blue", "green", "red"]
    for name, run in zip(found.runs, (finetuned_run, other), strict=True):
        (row,) = found.post(f"/predict?model={name}", files=several([photo])).json()
        (expected,) = predict(run, photo)
        assert row["confidence"] == round(expected.confidence, 6)
    answer = found.post("/predict?model=cats", files=several([photo]))
    assert (answer.status_code, answer.json()) == (404, {"error": "There is no run of this name; /models lists all."})


def test_explain_answers_with_a_heat_map_and_names_no_training_image(served, photo, finetuned_run):
    answer = served.post("/explain", files=several([photo])).json()
    kind, _, encoded = answer["overlay"].partition(",")
    overlay = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert (kind, overlay.size, answer["class"]) == ("data:image/jpeg;base64", (48, 48), "red")
    assert answer["method"] == "gradcam"
    assert "neighbors" not in answer
    other = served.post("/explain?class=blue", files=several([photo])).json()
    assert (other["class"], other["label"]) == ("blue", "red")
    assert other["class_probability"] < answer["class_probability"]
    assert served.post("/explain?class=cat", files=several([photo])).status_code == 422
    assert served.post("/explain", content=b"no image").json()["overlay"] is None
    assert served.post("/explain", files=several([photo, photo])).status_code == 413


def test_a_run_whose_reasons_need_keras_is_explained_without_it(serving, scratch_run, photo):
    found = serving(scratch_run)
    answer = found.post("/explain", files=several([photo])).json()
    assert answer["method"] == "occlusion"
    assert answer["overlay"].startswith("data:image/jpeg")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("top_k=0", "top_k"),
        ("top_k=x", "top_k"),
        ("top_k=-1", "top_k"),
        ("top_k=\u0661", "top_k"),
        ("probs=2", "probs"),
    ],
)
def test_a_query_that_means_nothing_is_refused(served, photo, query, words):
    answer = served.post(f"/predict?{query}", files=several([photo]))
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_health_models_and_the_server_answer(served):
    get = served.client.get
    assert get("/healthz").json() == get("/v2/health/live").json() == get("/v2/health/ready").json() == {"status": "ok"}
    assert get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert get(f"/v2/models/{served.name}/ready").json() == {"name": served.name, "ready": True}
    assert get(f"/v2/models/{served.name}/versions/1").status_code == 200
    assert get(f"/v2/models/{served.name}/versions/2").status_code == 404
    assert get("/v2/models/cats").status_code == get("/v1/models/cats").status_code == 404
    assert get(f"/v1/models/{served.name}").json()["model_version_status"][0]["state"] == "AVAILABLE"


def test_the_page_and_its_files_are_there_and_nothing_else(served):
    for address, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        answer = served.client.get(address)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    for address in ("/server.py", "/../server.py", "/page.html", "/static/page.css", "/%2e%2e/model.json"):
        assert served.client.get(address).status_code == 404


def test_images_are_counted_by_run_and_answer(serving, finetuned_run, photo):
    found = serving(finetuned_run)
    found.post("/predict", files=several([photo, photo]))
    found.post("/predict", content=b"no image")
    lines = found.client.get("/metrics").text.splitlines()
    assert f'tlkit_images_total{{model="{found.name}",answer="ok"}} 2' in lines
    assert f'tlkit_images_total{{model="{found.name}",answer="error"}} 1' in lines
