"""The contact sheet as files: what is on them, that nothing runs and nothing is replaced."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tests.cli.commands import read_csv, refused, tlkit
from tests.cli.conftest import NAMES
from tests.making import encoded, noise
from tlkit import write_sheet
from tlkit.errors import OptionError
from tlkit.inference.predictor import Prediction
from tlkit.inference.sheet_files import COLUMNS, MARGIN, PAGE_SIDE, SIDE


class Page(HTMLParser):
    """The texts, tags and addresses of a page."""

    def __init__(self, file):
        super().__init__()
        self.words, self.tags, self.addresses = [], [], []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        self.addresses += [found[name] for name in ("src", "href") if name in found]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def photos(tmp_path):
    """Five images, and a file that is no image."""
    (tmp_path / "new").mkdir()
    for number in range(5):
        (tmp_path / "new" / f"{number}.png").write_bytes(encoded(noise(40, 400, seed=number)))
    (tmp_path / "new" / "notes.txt").write_text("no image")
    return tmp_path / "new"


def answers(photos, label="bee"):
    rows = [Prediction(str(photos / f"{n}.png"), "ok", label, 0.9 - n / 10) for n in range(4)]
    rows.append(Prediction(str(photos / "4.png"), "unknown", label, 0.4, reason="not sure"))
    return [*rows, Prediction(str(photos / "notes.txt"), "error", error="is text, not an image")]


def test_page_has_every_image_below_its_class_and_loads_nothing(photos, tmp_path):
    write_sheet(answers(photos), tmp_path / "sheet.html")
    page = Page(tmp_path / "sheet.html")
    assert page.text.index("bee 4 images") < page.text.index("unknown 1 image") < page.text.index("unreadable 1 file")
    assert re.findall(r"\d\.png", page.text) == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    assert "notes.txt is text, not an image" in page.text
    assert "5 images: 4 in 1 class, 1 unknown; 1 unreadable file" in page.text
    images = [address for address in page.addresses if address.startswith("data:image/jpeg;base64,")]
    assert len(images) == 5
    assert {address for address in page.addresses if address not in images} == {"data:,", "#s0", "#s1", "#s2"}
    assert "script" not in page.tags
    assert "default-src 'none'" in (tmp_path / "sheet.html").read_text(encoding="utf-8")


def test_page_shows_names_as_text(photos, tmp_path):
    names = [*NAMES, "<script>alert(1)</script>", "\u202egpj.exe", "' onload='x"]
    rows = [
        Prediction(str(photos / f"{name}.png"), "ok", name, 0.5, top=((name, 0.5), (names[0], 0.4))) for name in names
    ]
    rows += [Prediction(f"{name}.png", "error", error=name) for name in names]
    write_sheet(rows, tmp_path / "sheet.html")
    page = Page(tmp_path / "sheet.html")
    assert set(page.tags).isdisjoint({"script", "iframe", "object"})
    assert "<script>alert(1)</script>" in page.text
    assert "花 ü" in page.text
    assert "\\x1b[31mred" in page.text
    assert "\u202e" not in page.text
    assert "\\u202egpj.exe" in page.text


def test_page_of_many_images_shows_some_and_counts_the_others(photos, tmp_path):
    rows = [Prediction(str(photos / f"{n % 5}.png"), "ok", "bee", n / 2000) for n in range(2000)]
    write_sheet(rows, tmp_path / "sheet.html")
    page = Page(tmp_path / "sheet.html")
    assert page.tags.count("img") == 60
    assert "1,940 more" in page.text
    assert re.findall(r"(\d+) %", page.text)[0] == "99"


def test_page_of_many_classes_still_shows_what_has_no_class(photos, tmp_path):
    rows = [Prediction(str(photos / f"{n % 5}.png"), "ok", f"class {n % 150}", 0.9) for n in range(1500)]
    rows += [Prediction(str(photos / "0.png"), "unknown", "class 1", n / 50) for n in range(40)]
    rows += [Prediction(f"{n}.txt", "error", error="is empty (0 bytes)") for n in range(70)]
    write_sheet(rows, tmp_path / "sheet.html")
    page = Page(tmp_path / "sheet.html")
    unknown = page.text[page.text.index("unknown 40 images") :]
    assert len(re.findall(r"\b0\.png", unknown)) == 40
    assert len(re.findall(r"\d\.txt", page.text)) == 60
    assert "10 more" in unknown
    assert page.tags.count("img") == 150 * 4 + 40


def test_png_has_the_images_in_rows(photos, tmp_path):
    (photos / "red.png").write_bytes(encoded(np.full((50, 50, 3), (250, 10, 20), np.uint8)))
    sure = Prediction(str(photos / "red.png"), "ok", "bee", 0.99)
    write_sheet([*answers(photos), sure], tmp_path / "sheet.png")
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"), int)
    red = np.argwhere(np.abs(pixels - (250, 10, 20)).max(axis=2) <= 3)
    (top, left), (bottom, right) = red.min(axis=0), red.max(axis=0)
    assert (bottom - top + 1, right - left + 1) == (
        50,
        50,
    )  # the most confident is the first, in the middle of its square
    assert left == MARGIN + (SIDE - 50) // 2
    few = pixels.shape[0]
    many = [Prediction(str(photos / f"{n % 5}.png"), "ok", f"class {n % 50}", 0.9) for n in range(4000)]
    write_sheet(many, tmp_path / "many.png")
    width, height = Image.open(tmp_path / "many.png").size
    assert width == pixels.shape[1] > COLUMNS * SIDE
    assert few < height < 8000


def test_png_draws_or_escapes_every_name(photos, tmp_path, recwarn):
    rows = [Prediction(str(photos / f"{name}$x_1$.png"), "ok", name, 0.5) for name in [*NAMES, "\U000f1234"]]
    write_sheet(rows, tmp_path / "sheet.png")
    assert [str(warning.message) for warning in recwarn if "missing from font" in str(warning.message)] == []
    assert Image.open(tmp_path / "sheet.png").format == "PNG"


def test_images_that_are_not_files_are_named(finetuned, tmp_path):
    from tlkit import predict

    pixels = noise(40, 40)
    write_sheet(predict(finetuned.run, [pixels, encoded(pixels)]), tmp_path / "sheet.html")
    page = Page(tmp_path / "sheet.html")
    assert page.tags.count("img") == 0
    assert "<array>" in page.text
    assert "<bytes>" in page.text


def test_thumbnails_are_small(photos, tmp_path):
    (photos / "large.jpg").write_bytes(encoded(noise(900, 1200), "JPEG"))
    write_sheet([Prediction(str(photos / "large.jpg"), "ok", "bee", 0.9)], tmp_path / "sheet.html")
    assert (tmp_path / "sheet.html").stat().st_size < 6000 + PAGE_SIDE**2


def test_write_sheet_refuses_other_endings_and_names_that_exist_before_it_takes_a_prediction(tmp_path):
    def nothing():
        raise AssertionError("a prediction was taken")
        yield

    (tmp_path / "there.png").write_text("mine")
    for name, words in (
        ("x.pdf", "does not end in .png or .html"),
        ("there.png", "already exists"),
        ("no/x.png", "is not a folder"),
    ):
        with pytest.raises(OptionError, match=words):
            write_sheet(nothing(), tmp_path / name)
    assert (tmp_path / "there.png").read_text() == "mine"


# the option


@pytest.mark.parametrize("ending", [".html", ".PNG"])
def test_predict_sheet_works_beside_other_outputs(finetuned_run, photos, tmp_path, ending):
    files = [tmp_path / name for name in (f"sheet{ending}", "out.json", "sorted")]
    args = ("--sheet", files[0], "-o", files[1], "--sort-into", files[2])
    done = tlkit("predict", finetuned_run.path, photos, *args)
    assert done.exit_code == 6
    assert f"sheet       {files[0]}" in done.stderr
    assert len(json.loads(files[1].read_text())) == 6
    assert all(file.exists() for file in files)
    assert len(list(tmp_path.iterdir())) == 4


def test_predict_sheet_changes_nothing_of_the_table(finetuned_run, photos, tmp_path):
    plain = tlkit("predict", finetuned_run.path, photos).stdout
    done = tlkit("predict", finetuned_run.path, photos, "--sheet", tmp_path / "sheet.html")
    assert done.stdout == plain
    page, rows = Page(tmp_path / "sheet.html"), read_csv(plain)
    for label in {row["label"] for row in rows if row["status"] == "ok"}:
        count = sum(row["label"] == label and row["status"] == "ok" for row in rows)
        assert f"{label} {count} image" in page.text


def test_predict_sheet_is_refused_before_anything_is_read(finetuned_run, photos, tmp_path):
    (tmp_path / "mine.png").write_text("mine")
    out = tmp_path / "out.html"
    for args, words in (
        (("--sheet", tmp_path / "mine.png"), "already exists"),
        (("--sheet", tmp_path / "sheet.pdf"), "does not end in .png or .html"),
        (("--sheet", photos / "sheet.png"), "is inside the image folder"),
        (("--sheet", out, "-o", out, "--format", "json"), "choose another name"),
    ):
        assert words in refused(2, "predict", finetuned_run.path, photos, *args)
        assert words in refused(2, "predict", tmp_path / "no run", photos, *args)
    assert (tmp_path / "mine.png").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"mine.png", "new"}


def test_predict_sheet_leaves_nothing_where_no_file_is_found(finetuned_run, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(3, "predict", finetuned_run.path, tmp_path / "empty", "--sheet", tmp_path / "sheet.html")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
