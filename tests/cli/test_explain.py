"""`tlkit explain`."""

import json

import pytest
from PIL import Image

from tests.cli.commands import refused, tlkit
from tests.making import noise


@pytest.fixture
def image(tmp_path, monkeypatch):
    """An image in the current folder."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise(60, 80, seed=0)).save("image.png")
    return "image.png"


def test_explain_writes_a_sheet_and_says_where_the_reasons_are(finetuned_run, image, tmp_path):
    done = tlkit("explain", finetuned_run.path, image)
    assert done.exit_code == 0, done.stderr
    assert "strongest at" in done.stdout or "nothing in the image" in done.stdout
    assert done.stdout.count(".png\n") == 7  # the image, five neighbors, the file
    assert Image.open(tmp_path / "explain.png").width > 1000
    tlkit("explain", finetuned_run.path, image)
    assert (tmp_path / "explain-2.png").exists()


def test_explain_json_has_every_reason(finetuned_run, scratch_run, classic_run, image, tmp_path):
    for run in (finetuned_run, scratch_run, classic_run):
        done = tlkit("explain", run.path, image, image, "--json")
        content = json.loads(done.stdout)
        assert content["file"] is None and len(content["images"]) == 2
        for entry in content["images"]:
            assert {"label", "confidence", "method", "peak", "neighbors"} <= entry.keys()
            assert entry["size"] == [80, 60]
            assert all(0 <= value < limit for value, limit in zip(entry["peak"] or (0, 0), (80, 60), strict=True))
            assert [set(neighbor) for neighbor in entry["neighbors"]] == [{"path", "label", "distance"}] * 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.png"]


def test_explain_into_a_folder_writes_one_file_per_image(finetuned_run, image, tmp_path):
    (tmp_path / "more").mkdir()
    Image.fromarray(noise(30, 30, seed=1)).save("more/image.png")
    done = tlkit("explain", finetuned_run.path, image, "more", "-o", "reasons/")
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "reasons").iterdir()) == ["image-2.png", "image.png"]


def test_explain_every_method_and_class(finetuned_run, image):
    found = {}
    for method in ("gradcam", "gradcam++", "occlusion"):
        for name in ("red", "blue"):
            done = tlkit("explain", finetuned_run.path, image, "--json", "--method", method, "--class", name)
            (entry,) = json.loads(done.stdout)["images"]
            assert (entry["method"], entry["class"]) == (method, name)
            found[name] = entry["class_probability"]
    assert found["red"] != found["blue"] and 0 < sum(found.values()) < 1  # a third class has the rest


def test_explain_refuses_what_cannot_be_done(finetuned_run, classic_run, image, tmp_path):
    assert "expected one of 'blue'" in refused(2, "explain", finetuned_run.path, image, "--class", "cat")
    assert "use --method occlusion" in refused(2, "explain", classic_run.path, image, "--method", "gradcam")
    assert "does not end in .png" in refused(2, "explain", finetuned_run.path, image, "-o", "x.jpg")
    (tmp_path / "empty").mkdir()
    assert "no file was found" in refused(3, "explain", finetuned_run.path, "empty")
    assert not (tmp_path / "explain.png").exists()


def test_explain_unreadable_images_are_rows_and_exit_with_6(finetuned_run, image, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    done = tlkit("explain", finetuned_run.path, image, "broken.jpg")
    assert done.exit_code == 6
    assert "broken JPEG" in done.stdout and (tmp_path / "explain.png").exists()


def test_explain_writes_nothing_among_the_images(finetuned_run, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(noise(30, 30, seed=0)).save(photos / "a.png")
    for output in (photos / "sheet.png", photos / "sheets"):
        assert "is inside the image folder" in refused(2, "explain", finetuned_run.path, photos, "-o", output)
    assert [path.name for path in photos.iterdir()] == ["a.png"]
