"""A headless browser, and pages of runs whose names are what a stranger may choose."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.shared_runs import make_once

ROOT = Path(__file__).parents[2]
AXE = ROOT / "build" / "web" / "node_modules" / "axe-core" / "axe.min.js"  # `make test-web` puts it there
SETTINGS = {  # how a page is looked at
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 380, "height": 800}, "color_scheme": "light"},
    "dark phone": {"viewport": {"width": 380, "height": 800}, "color_scheme": "dark"},
}
CLASSES = (
    "<script>window.ran=1<b>",
    "'\"><img src=x onerror=window.ran=1>",
    "{{ 7 * 7 }}<",
    "\u202eevil \u05d0\u05d1\u05d2",
    "\U0001f41c ant \U0001f1e7\U0001f1f7",
    "long " + "x" * 240,
)
FILES = ("script>.png", "&lt;b&gt; & co.png", "y" * 240 + ".png", b"caf\xe9\xff.png".decode(errors="surrogateescape"))


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        options = ["--no-sandbox", "--disable-dev-shm-usage", *camera]
        started = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=options
        )
        yield started
        started.close()


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core."""
    return AXE.read_text(encoding="utf-8")


def draw_hostile(folder):
    """Draw a folder of images with hostile names; the classes are only partly told apart."""
    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for file in (f"{index}{file}" for index in range(4) for file in FILES):
            pixels = random.normal(60 + 25 * number, 40, (48, 64, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / file)
    return folder


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory):
    """A run on images of hostile names, with mistakes."""
    import tlkit

    if sys.platform != "linux":
        pytest.skip("other systems have no such names")
    images = make_once(tmp_path_factory, "hostile-images", draw_hostile)
    settings = tlkit.TrainSettings(model="linear", image_size=8, epochs=3, batch_size=16, validation_split=0.4)
    return make_once(tmp_path_factory, "hostile", lambda folder: tlkit.train(images, folder / "run", settings).run)


@pytest.fixture(scope="session")
def pages(finetuned_run, scratch_run, classic_run, hostile_run, tmp_path_factory):
    """Pages by name."""
    from tlkit.report.several import write_page_of_runs

    runs = {"without mistakes": finetuned_run, "classic": classic_run, "hostile": hostile_run}
    several = tmp_path_factory.mktemp("pages") / "several.html"
    write_page_of_runs([finetuned_run, scratch_run, classic_run], several)
    return {name: run.path / "report.html" for name, run in runs.items()} | {"several": several}


class Opened:
    """A page in a browser, with everything it asked for and complained about."""

    def __init__(self, browser, file, setting="light", **options):
        self.context = browser.new_context(**SETTINGS[setting], **options)
        self.page = self.context.new_page()
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file if isinstance(file, str) else file.as_uri())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.context.close()

    @property
    def fetched(self):
        """Addresses beside the page itself and what is inside it."""
        return [url for url in self.requests[1:] if not url.startswith("data:")]


@pytest.fixture
def opened(browser):
    """Open a page: `with opened(file, "dark") as found`."""
    return lambda file, setting="light", **options: Opened(browser, file, setting, **options)
