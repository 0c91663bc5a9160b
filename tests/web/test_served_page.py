"""The page of `tlkit serve` in a browser: photos in, answers out."""

import base64
import shutil
import time
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from tests.serve.conftest import started
from tests.shared_runs import copy_run
from tests.web.conftest import CLASSES, SETTINGS
from tlkit.utils.text import escape_control_chars

pytestmark = pytest.mark.web

DROP = """(files) => {
  const transfer = new DataTransfer();
  for (const [name, base64] of files) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
}"""


@pytest.fixture(scope="module")
def address(finetuned_run):
    with started(finetuned_run.path) as server:
        yield server.address + "/"


def encoded(path):
    return base64.b64encode(path.read_bytes()).decode()


def wait_until(page, expression):
    """Wait until an expression is true; playwright's own function needs `eval`, which the page forbids."""
    until = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < until, expression
        time.sleep(0.05)


def answers(page, count):
    """The first line of every card, once all have one."""
    wait_until(page, f"document.querySelectorAll('.answer:not(.waiting)').length === {count}")
    return page.eval_on_selector_all(".answer", "all => all.map(item => item.textContent)")


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_photo_that_is_dropped_gets_a_label_and_the_page_is_quiet_and_accessible(
    opened, address, axe, colors, setting
):
    photo = colors / "red" / "1.png"
    with opened(address, setting) as found:
        wait_until(found.page, "document.getElementById('about').textContent.includes('3 classes')")
        found.page.evaluate(DROP, [["red photo.png", encoded(photo)]])
        (answer,) = answers(found.page, 1)
        assert answer.startswith("red")
        assert "red photo.png: red" in found.page.inner_text("#status")
        bars = found.page.eval_on_selector_all(".bars bdi", "all => all.map(item => item.textContent)")
        assert (len(bars), bars[0]) == (3, "red")
        found.page.click("text=Show where")
        found.page.wait_for_selector("text=Show the photo")
        assert found.page.get_attribute(".frame img", "src").startswith("data:image/jpeg")
        assert "red" in found.page.get_attribute(".frame img", "alt")
        width = found.page.evaluate("document.documentElement.scrollWidth")
        assert width <= SETTINGS[setting]["viewport"]["width"]
        assert found.complaints == []
        assert all(url.startswith((address, "blob:")) for url in found.fetched)
    with opened(address, setting, bypass_csp=True) as found:
        found.page.evaluate(DROP, [["a.png", encoded(photo)], ["note.txt", "bm90ZQ=="]])
        answers(found.page, 2)
        found.page.wait_for_timeout(400)  # cards appear slowly
        found.page.evaluate(axe)
        violations = found.page.evaluate("axe.run()")["violations"]
        assert [(item["id"], item["nodes"][0]["html"]) for item in violations] == []


def test_files_are_chosen_by_the_keyboard_and_bad_ones_say_why(opened, address, colors, tmp_path):
    bad = tmp_path / "note.txt"
    bad.write_text("no image")
    with opened(address) as found:
        with found.page.expect_file_chooser() as chooser:
            found.page.focus("#choose")
            found.page.keyboard.press("Enter")
        chooser.value.set_files([colors / "blue" / "0.png", bad, colors / "green" / "0.png"])
        labels = answers(found.page, 3)
        assert [label.partition("\xa0")[0].rstrip("0123456789> ") for label in (labels[0], labels[2])] == [
            "green",
            "blue",
        ]
        assert labels[1] == "The file is text, not an image."
        found.page.click("#clear")
        assert found.page.is_hidden("#results")
        assert found.page.evaluate("document.activeElement.id") == "choose"


def test_the_camera_takes_a_photo(opened, address):
    with opened(address) as found:
        found.page.click("#open-camera")
        wait_until(found.page, "document.getElementById('video').videoWidth > 0")
        found.page.click("#take")
        assert len(answers(found.page, 1)) == 1
        assert "camera" in found.page.inner_text(".name")
        found.page.click("#close-camera")
        assert found.page.is_visible("#drop")
        assert found.complaints == []


def test_hostile_names_of_classes_and_files_are_text(opened, hostile_run, tmp_path):
    folder = tmp_path / "<b onclick=x>"
    shutil.copytree(hostile_run.path, folder)
    photo = min(Path(hostile_run.read_settings()["data"]).rglob("*.png"))
    with started(folder) as server, opened(server.address + "/", "phone") as found:
        wait_until(found.page, "document.getElementById('about').textContent.includes('6 classes')")
        found.page.evaluate(DROP, [["<img src=x onerror=window.ran=1>.png", encoded(photo)]])
        (answer,) = answers(found.page, 1)
        assert any(answer.startswith(name[:8]) for name in ("unknown", *CLASSES)), escape_control_chars(answer)
        assert "<img src=x onerror" in found.page.inner_text(".name")
        assert found.page.evaluate("window.ran") is None
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 380
        assert found.complaints == []


def test_a_token_is_asked_for_and_kept_for_the_page(opened, finetuned_run, colors, tmp_path):
    file = tmp_path / "token"
    file.write_text("0123456789abcdef")
    file.chmod(0o600)
    with started(finetuned_run.path, "--token-file", file) as server, opened(server.address + "/") as found:
        found.page.wait_for_selector("#access:not([hidden])")
        assert found.page.is_hidden("#input")
        found.page.fill("#token", "wrong")
        found.page.keyboard.press("Enter")
        found.page.wait_for_selector("text=The token is wrong.")
        found.page.fill("#token", "0123456789abcdef")
        found.page.keyboard.press("Enter")
        found.page.wait_for_selector("#input:not([hidden])")
        found.page.set_input_files("#files", colors / "red" / "2.png")
        assert answers(found.page, 1)[0].startswith("red")
        assert all("401" in words for words in found.complaints)  # the browser notes each refusal


def test_two_runs_can_be_chosen(opened, finetuned_run, classic_run, tmp_path):
    other = copy_run(classic_run, tmp_path)
    with started(finetuned_run.path, other.path) as server, opened(server.address + "/") as found:
        found.page.wait_for_selector("#choice:not([hidden])")
        assert finetuned_run.path.name in found.page.inner_text("#about")
        found.page.select_option("#model", "copied_run")
        assert "copied_run" in found.page.inner_text("#about")


def test_a_server_that_has_ended_is_named(opened, finetuned_run, colors):
    with started(finetuned_run.path) as server, opened(server.address + "/") as found:
        wait_until(found.page, "document.getElementById('about').textContent !== ''")
        server.kill()
        server.wait()
        found.page.set_input_files("#files", colors / "red" / "2.png")
        assert answers(found.page, 1) == ["The server does not answer."]
