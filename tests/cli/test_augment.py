"""`tlkit augment`: a contact sheet."""

import json

from tests.cli.commands import refused, tlkit


def test_augment_draws_a_sheet_and_names_its_images(colors, tmp_path):
    sheet = tmp_path / "sheet.png"
    done = tlkit("augment", colors, "-o", sheet, "--rows", "3", "--image-size", "32")
    assert (done.exit_code, done.stderr) == (0, "")
    first, head, *names, last = done.stdout.splitlines()
    assert first == "3 images, 8 views each, the first unchanged"
    assert (head, names) == ("image (row)", ["blue/0.png", "green/0.png", "red/0.png"])
    assert last.split() == ["file", str(sheet)]
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_augment_as_json_names_the_file_and_its_images(colors, tmp_path):
    done = tlkit("augment", colors, "-o", tmp_path / "x.png", "--rows", "2", "--views", "3", "--json")
    content = json.loads(done.stdout)
    assert content == {
        "file": str(tmp_path / "x.png"),
        "images": ["blue/0.png", "green/0.png"],
        "views": 3,
        "notes": [],
    }


def test_augment_shows_what_the_named_command_sees(signs, colors, tmp_path):
    def drawn(data, *args):
        sheet = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
        done = tlkit("augment", data, "-o", sheet, "--rows", "2", "--image-size", "32", *args)
        assert done.exit_code == 0, done.stderr
        return sheet.read_bytes(), done.stdout

    (mirrored, said), (plain, not_mirrored) = drawn(signs), drawn(signs, "--for", "train")
    assert "are mirrored" in said
    assert "--hflip" in not_mirrored
    assert plain != mirrored
    assert plain == drawn(signs, "--no-hflip")[0]
    assert mirrored == drawn(signs, "--for", "train", "--hflip")[0]
    assert drawn(colors)[0] == drawn(colors, "--for", "train")[0]


def test_augment_refuses_amounts_that_no_view_shows(colors, tmp_path):
    words = refused(2, "augment", colors, "-o", tmp_path / "x.png", "--views", "1", "--rotation", "9")
    assert words.startswith("--rotation has no effect with --views 1")
