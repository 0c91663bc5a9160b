"""Screenshots of the docs, by a headless browser: `python benchmarks/screenshots.py`.

It trains on the photos of TrashNet in $TLKIT_TEST_DATA/images/trashnet, opens the page of the run in Chromium (or in
$CHROMIUM) and writes docs/pictures/report.png: the page on a screen, its mistakes, and the page on a phone in the
dark. Then it serves the run, and writes docs/pictures/serve.png: the page with answers. It needs
`pip install '.[serve,web]'`.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Browser, sync_playwright

import tlkit

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
MAX_BYTES = 200_000
NUM_COLORS = 200  # of the palette
KEPT = (
    "#1b5fc1",
    "#c9dcf7",
    "#b3261e",
    "#15181d",
    "#565e6b",
    "#82b1ff",
    "#ff9088",
)  # colors that no photo may displace
GROUND, EDGE = "#e9ecf0", "#c9ced6"
HEIGHT, GAP, RADIUS = 700, 26, 14  # of a panel, between panels, of their corners, in pixels


def main() -> None:
    """Train, look and draw."""
    photos = Path(os.environ["TLKIT_TEST_DATA"]) / "images" / "trashnet"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.chdir(folder)  # so that commands on the page have short paths
        shutil.copytree(photos, "trashnet")
        page = tlkit.finetune("trashnet", Path("runs/finetune-001"), freeze="all").run.path.resolve() / "report.html"
        program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        panels = [
            look(browser, page, (980, 1240), "light"),
            look(browser, page, (980, 1240), "light", "mistakes"),
            look(browser, page, (400, 820), "dark", "confusion"),
        ]
        save("report.png", panels)
        save("serve.png", look_at_server(browser, Path("runs/finetune-001")))
        browser.close()


def save(name: str, panels: list[Image.Image]) -> None:
    """Write an image of the docs."""
    content = collage(panels)
    assert len(content) <= MAX_BYTES, f"{len(content):,} bytes"
    (PICTURES / name).write_bytes(content)
    print(f"docs/pictures/{name}: {len(content):,} bytes")


def look_at_server(browser: Browser, run: Path) -> list[Image.Image]:
    """Serve a run, and take screenshots of answers: with a heat map, and to a photo that is unlike the others."""
    paths = ["trashnet/glass/glass41.jpg", "trashnet/metal/metal8.jpg"]
    photos = [*paths, next((ROOT / "sample_data").rglob("*each*/*.jpg"))]
    command = [sys.executable, "-m", "tlkit", "serve", str(run), "--port", "0", "--no-access-log"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        address = re.search(r"at (http://[\d.:]+)\.", server.stderr.readline())[1]  # type: ignore[index]
        panels = []
        for width, height, colors in ((900, 1020, "light"), (400, 900, "dark")):
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=colors, device_scale_factor=1.5
            )
            page = context.new_page()
            page.goto(address)
            page.set_input_files("#files", photos)
            page.wait_for_selector(".why >> nth=2")
            page.click(".why >> nth=1")
            page.wait_for_selector("text=Show the photo")
            page.evaluate("document.activeElement.blur(), scrollTo(0, innerWidth < 500 ? 760 : 0)")
            page.wait_for_timeout(500)
            panels.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
            context.close()
        server.terminate()
    return panels


def look(browser: Browser, page: Path, size: tuple[int, int], colors: str, section: str = "") -> Image.Image:
    """Take a screenshot of a page, from one of its sections on."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=colors, device_scale_factor=1.5
    )
    opened = context.new_page()
    opened.goto(page.as_uri())
    if section:
        opened.evaluate(f"document.getElementById('{section}').scrollIntoView({{behavior: 'instant'}})")
        opened.wait_for_timeout(200)
    content = opened.screenshot()
    context.close()
    return Image.open(io.BytesIO(content)).convert("RGB")


def collage(panels: list[Image.Image]) -> bytes:
    """Put screenshots side by side, with rounded corners, and write them as a PNG with a palette."""
    scaled = [panel.resize((round(panel.width * HEIGHT / panel.height), HEIGHT)) for panel in panels]
    width = sum(panel.width for panel in scaled) + GAP * (len(scaled) + 1)
    canvas, left = Image.new("RGB", (width, HEIGHT + 2 * GAP), GROUND), GAP
    for panel in scaled:
        mask = Image.new("L", panel.size)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, panel.width - 1, panel.height - 1), RADIUS, fill=255)
        canvas.paste(panel, (left, GAP), mask)
        frame = (left, GAP, left + panel.width - 1, GAP + panel.height - 1)
        ImageDraw.Draw(canvas).rounded_rectangle(frame, RADIUS, outline=EDGE)
        left += panel.width + GAP
    content = io.BytesIO()
    canvas.quantize(palette=palette_of(canvas), dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return content.getvalue()


def palette_of(canvas: Image.Image) -> Image.Image:
    """Choose the colors of an image: of its photos, and of the page's text and charts."""
    weighted = Image.new("RGB", (canvas.width, canvas.height + 30 * len(KEPT)))
    weighted.paste(canvas)
    for number, color in enumerate(KEPT):
        top = canvas.height + 30 * number
        weighted.paste(color, (0, top, canvas.width, top + 30))
    return weighted.quantize(NUM_COLORS)


if __name__ == "__main__":
    main()
