"""The page of a run: every section, every image once, every name as text."""

import shutil

import pytest

from tests.report.making import HOSTILE, Page, rewrite_rows, with_predictions
from tests.shared_runs import copy_foreign_run, copy_run, rewrite_json
from tlkit.errors import OptionError
from tlkit.report.page import write_run_page
from tlkit.runs.run import load_run
from tlkit.utils.files import sha256_file
from tlkit.utils.text import distinct_names

SECTIONS = ["next", "mistakes", "confusion", "classes", "confidence", "labels", "epochs", "map", "images", "settings"]


def written(run, tmp_path, **options):
    """The page of a run in a new file."""
    write_run_page(run, tmp_path / "page.html", **options)
    return Page((tmp_path / "page.html").read_text(encoding="utf-8", errors="surrogateescape"))


def test_a_training_writes_its_page_with_every_section(page, finetuned_run):
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == SECTIONS
    accuracy = finetuned_run.read_json("metrics.json")["accuracy"]
    assert f"{100 * accuracy:.1f} % of validation images are classified correctly." in page.text.replace("\xa0", " ")
    assert "Always answering" in page.text
    assert finetuned_run.read_settings()["data"] in page.text


def test_the_page_is_no_hashed_file_of_the_run(finetuned_run):
    assert (finetuned_run.path / "report.html").is_file()
    assert "report.html" not in finetuned_run.manifest.sha256
    assert "report.html" not in str(finetuned_run.read_json("metrics.json")["notes"])


def test_the_page_needs_no_other_file(page):
    for name in ("src", "href", "action", "srcset", "data"):
        assert [link for link in page.attributes(name) if not link.startswith(("#", "data:"))] == []
    assert "url(" not in page.html
    assert "@import" not in page.html


def test_every_image_is_in_the_page_once(page, finetuned_run):
    uris = [image[4] for image in page.data["images"]]
    heat_maps = [attrs["src"] for tag, attrs in page.tags if tag == "img" and "src" in attrs]
    assert page.html.count("data:image/jpeg;base64,") == len(uris) + len(heat_maps)
    assert len(heat_maps) == len(set(heat_maps))
    assert len(set(uris)) == len(uris) >= finetuned_run.read_json("metrics.json")["num_validation"]
    shown = [int(index) for index in page.attributes("data-image")]
    assert max(shown) < len(uris)


def test_headings_labels_and_languages_are_those_of_an_accessible_page(page):
    assert page.count("h1") == page.count("main") == page.count("nav") == 1
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")
    targets = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {link[1:] for link in page.attributes("href") if link.startswith("#")} <= targets
    assert {name for value in page.attributes("aria-labelledby") for name in value.split()} <= targets


@pytest.mark.parametrize("name", ["blocks_run", "scratch_run", "classic_run"])
def test_every_kind_of_training_has_a_page(name, request):
    run = request.getfixturevalue(name)
    found = Page((run.path / "report.html").read_text(encoding="utf-8"))
    sections = [attrs["id"] for tag, attrs in found.tags if tag == "section"]
    assert sections == [section for section in SECTIONS if section != "epochs" or name != "classic_run"]
    assert "report.html" not in str(run.read_json("metrics.json")["notes"])


def test_mistakes_are_shown_with_their_classes_the_most_confident_first(own_run, tmp_path):
    paths = [row["path"] for row in own_run.read_rows("split.csv")]
    rows = [
        (paths[0], "blue", [0.2, 0.7, 0.1]),
        (paths[1], "blue", [0.05, 0.05, 0.9]),
        (paths[2], "blue", [0.9, 0.1, 0]),
    ]
    found = written(with_predictions(own_run, rows), tmp_path)
    assert found.text.index(paths[1]) < found.text.index(paths[0])
    assert "2 of 3 images are misclassified" in found.text
    assert found.data["images"][0][:4] == [paths[1], 0, 2, 0.9]
    assert 'aria-label="1 of 3 blue predicted green"' in found.html


def test_a_run_without_mistakes_says_so(page, finetuned_run):
    assert finetuned_run.read_json("metrics.json")["accuracy"] == 1
    assert "No mistakes" in page.text
    count = finetuned_run.read_json("metrics.json")["num_validation"]
    assert f"All {count} images are classified correctly." in page.text


def rename_classes(run, names):
    """Let a run have classes of these names, and images of them in its folder."""
    old = run.manifest.class_names
    new = dict(zip(old, names, strict=True))
    for table in ("split.csv", "predictions_val.csv", "map.csv"):
        rows = run.read_rows(table)
        columns = [f"p_{new[name[2:]]}" if name.startswith("p_") else name for name in rows[0]]
        for row in rows:
            row |= {key: new[row[key]] for key in ("class", "label") if key in row}
            row["path"] = f"{new[row['path'].split('/')[0]].replace('/', '∕')}/{row['path'].split('/')[1]}"
        run.write_rows(table, columns, [list(row.values()) for row in rows])
    metrics = run.read_json("metrics.json")
    run.write_json("metrics.json", metrics | {"baseline_class": new[metrics["baseline_class"]], "notes": list(names)})
    content = run.read_json("model.json") | {"class_names": list(names)}
    hashes = {name: sha256_file(run.path / name) for name in content["sha256"]}
    rewrite_json(run, "metrics.json", run.read_json("metrics.json"))
    run.write_json("model.json", content | {"sha256": hashes})
    return load_run(run.path)


@pytest.mark.parametrize("first", range(0, len(HOSTILE), 2))
def test_every_name_is_shown_as_text(own_run, tmp_path, first):
    names = (*HOSTILE[first : first + 2], "plain")
    run = rename_classes(own_run, names)
    found = written(run, tmp_path)
    shown = distinct_names(names)
    assert shown[1].strip("'") == names[1].replace("\u202e", "\\u202e").strip("'")
    assert all(name in found.text for name in shown)
    assert found.data["names"] == shown
    assert found.count("script") == 2
    assert found.count("b") == len(run.read_json("model.json")["versions"])  # those of the page itself
    assert not [attrs for tag, attrs in found.tags if any(name.startswith("on") for name in attrs)]
    images = [attrs for tag, attrs in found.tags if tag == "img"]
    assert not [attrs for attrs in images if "data-image" not in attrs and not attrs["src"].startswith("data:image")]


def test_a_file_name_that_is_not_utf8_is_shown_escaped(own_run, tmp_path):
    rows = own_run.read_rows("predictions_val.csv")
    path = b"blue/caf\xe9<b>.png".decode("utf-8", "surrogateescape")
    rows[0]["path"] = path
    rewrite_rows(own_run, "predictions_val.csv", list(rows[0]), [list(row.values()) for row in rows])
    assert "blue/caf\\udce9<b>.png" in written(own_run, tmp_path).text


def test_the_page_is_made_again_in_the_run_and_never_over_another_file(own_run, tmp_path):
    before = (own_run.path / "report.html").read_bytes()
    page = write_run_page(own_run)
    assert page.file == own_run.path / "report.html"
    assert page.num_bytes == len(page.file.read_bytes()) > 0.9 * len(before)
    page.file.write_text("my notes")
    with pytest.raises(OptionError, match="not a page that tlkit wrote"):
        write_run_page(own_run)
    assert page.file.read_text() == "my notes"
    write_run_page(own_run, tmp_path / "page.html")
    with pytest.raises(OptionError, match="already exists"):
        write_run_page(own_run, tmp_path / "page.html")


def test_images_that_have_moved_are_found_where_they_are_now(finetuned_run, colors, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    rewrite_json(run, "settings.json", run.read_json("settings.json") | {"data": str(tmp_path / "gone")})
    lost = written(run, tmp_path)
    assert f"The images are not in {tmp_path / 'gone'} any more." in lost.text
    assert "data:image/jpeg" not in lost.html
    (tmp_path / "page.html").unlink()
    moved = written(run, tmp_path, images=shutil.copytree(colors, tmp_path / "moved"))
    assert all(image[4].startswith("data:image/jpeg") for image in moved.data["images"])
    assert len(moved.data["images"]) == len(lost.data["images"])


def test_no_folder_is_opened_that_a_run_of_a_stranger_names(finetuned_run, tmp_path):
    found = written(copy_foreign_run(finetuned_run, tmp_path), tmp_path)
    assert "data:image/jpeg" not in found.html
    assert "tlkit opens no folder that such a run names" in found.text


def test_a_map_has_a_point_per_image_in_its_place(own_run, tmp_path):
    rows = own_run.read_rows("predictions_val.csv")
    points = [(row["path"], row["class"], number, -number) for number, row in enumerate(rows)]
    rewrite_rows(own_run, "map.csv", ("path", "class", "x", "y"), points)
    found = written(own_run, tmp_path)
    dots = [attrs for tag, attrs in found.tags if tag == "circle" and "data-class" in attrs]
    assert len(dots) == len(rows)
    positions = {found.data["images"][int(dot["data-index"])][0]: float(dot["cx"]) for dot in dots}
    assert sorted(positions, key=positions.get) == [row["path"] for row in rows]


def test_a_map_of_another_method_has_the_same_images_elsewhere(finetuned_run, tmp_path):
    pytest.importorskip("sklearn")
    places, words = [], []
    for method in ("pca", "tsne"):
        (tmp_path / method).mkdir()
        found = written(finetuned_run, tmp_path / method, map_method=method)
        circles = [attrs for tag, attrs in found.tags if tag == "circle" and "data-class" in attrs]
        places.append([(attrs["cx"], attrs["cy"]) for attrs in circles])
        words.append("t-SNE" in found.text)
    assert len(places[0]) == len(places[1]) > 0 and places[0] != places[1]
    assert words == [False, True]


def test_many_classes_show_those_that_are_confused_most(own_run, tmp_path):
    names = tuple(f"class {number:03}" for number in range(60))
    path = own_run.read_rows("split.csv")[0]["path"]
    table = [(f"{path}{number}", names[number], names[number], 0.9, *[0.0] * 60) for number in range(60)]
    rows = [list(row) for row in table]
    for number, row in enumerate(rows):
        row[4 + number] = 0.9
    rows[7][4 + 7], rows[7][4 + 9] = 0.1, 0.9
    columns = ("path", "class", "label", "confidence", *(f"p_{name}" for name in names))
    own_run.write_rows("predictions_val.csv", columns, rows)
    split = own_run.read_rows("split.csv")
    own_run.write_rows("map.csv", ("path", "class", "x", "y"), [(path, names[0], 0, 0)])
    for row, name in zip(split, names, strict=False):
        row["class"] = name
    own_run.write_rows("split.csv", list(split[0]), [list(row.values()) for row in split])
    content = own_run.read_json("model.json") | {"class_names": list(names)}
    hashes = {name: sha256_file(own_run.path / name) for name in content["sha256"]}
    own_run.write_json("model.json", content | {"sha256": hashes})
    metrics = own_run.read_json("metrics.json") | {
        "accuracy": 59 / 60,
        "num_validation": 60,
        "baseline_class": names[0],
    }
    rewrite_json(own_run, "metrics.json", metrics)
    found = written(own_run, tmp_path)
    assert "Of 60 classes, these are the 30 that are confused most" in found.text
    assert 'aria-label="1 of 1 class 007 predicted class 009"' in found.html
    assert "20 more classes" in found.text
