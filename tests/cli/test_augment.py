"""`tlkit augment`: a contact sheet."""

from tests.cli.commands import tlkit


def test_augment_draws_a_sheet_and_names_its_images(colors, tmp_path):
    sheet = tmp_path / "sheet.png"
    done = tlkit("augment", colors, "-o", sheet, "--images", "3", "--image-size", "32")
    assert (done.exit_code, done.stderr) == (0, "")
    first, *names, last = done.stdout.splitlines()
    assert first.startswith("3 images with 8 views")
    assert names == ["blue/0.png", "green/0.png", "red/0.png"]
    assert last == f"file  {sheet}"
    assert sheet.read_bytes().startswith(b"\x89PNG")
