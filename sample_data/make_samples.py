"""Draws `beach_desert`: two classes of 40 small scenes that share their colors and differ in what is there.

    python sample_data/make_samples.py [FOLDER]

Every scene has its own random generator, seeded by class and number, so the same versions of Pillow and NumPy
write the same files. A scene is drawn `SCALE` times too large and then reduced, which smooths its edges.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Color = tuple[float, float, float]  # red, green, blue, 0 to 255
Point = tuple[float, float]  # x, y in pixels of the large image, y downwards
Part = tuple[Color, float, list[Point]]  # paint, thickness of a line or 0 to fill, points in a unit square
Thing = list[Part]  # its foot is at (0, 0)

SEED, PER_CLASS, QUALITY = 7, 40, 85
SIZE, SCALE = (128, 96), 4
WIDTH, HEIGHT = SIZE[0] * SCALE, SIZE[1] * SCALE
BEACH, DESERT = CLASSES = ("beach", "desert")
SAND, PALE, GOLD, CLAY, WHITE = (230, 204, 154), (238, 222, 186), (226, 184, 118), (212, 150, 100), (250, 250, 245)
LEAF, BARK, RUST, SLATE, GRAY = (58, 124, 62), (120, 88, 60), (186, 112, 76), (120, 136, 172), (150, 142, 132)
BLUE, BAY, DULL = (30, 98, 164), (64, 190, 196), (104, 124, 138)  # kinds of water
SHADE = (70, 48, 70)
FAN = np.linspace(0, 1, 7)


@dataclass(frozen=True)
class Light:
    """A time of day: the sky on high and at the horizon, the sun and its height, what becomes of white paint."""

    high: Color
    low: Color
    sun: Color | None
    height: float
    tint: Color


LIGHTS = (
    Light((66, 138, 218), (188, 220, 240), (255, 252, 230), 0.25, (255, 255, 255)),  # noon
    Light((140, 186, 224), (252, 226, 196), (255, 242, 205), 0.55, (255, 240, 222)),  # morning
    Light((112, 88, 158), (255, 158, 92), (255, 232, 150), 0.85, (255, 188, 150)),  # sunset
    Light((44, 44, 98), (226, 124, 142), None, 0, (162, 136, 178)),  # dusk
    Light((150, 159, 170), (210, 212, 214), None, 0, (212, 214, 220)),  # overcast
)


def _frond(turn: float) -> Part:
    """Draw a palm leaf that leaves the top of the trunk at an angle and hangs."""
    x, y = 0.42 * np.cos(turn) * FAN, -0.26 * np.sin(turn) * FAN + 0.3 * FAN**2
    return LEAF, 0.05, [(0.1 + float(a), -1 + float(b)) for a, b in zip(x, y, strict=True)]


def _wedge(color: Color, start: float, end: float) -> Part:
    """Draw a piece of a parasol between two angles."""
    rim = [(0.5 * float(np.cos(a)), -0.6 - 0.4 * float(np.sin(a))) for a in np.linspace(start, end, 9)]
    return color, 0, [*rim, (0, -0.55)]


PALM: Thing = [(BARK, 0.07, [(0, 0), (0.02, -0.4), (0.06, -0.75), (0.1, -1)])]
PALM += [_frond(turn) for turn in (-0.3, 0.3, 0.9, 1.5, 2.2, 2.8, 3.4)]
PARASOL: Thing = [(BARK, 0.04, [(0.02, 0), (-0.02, -0.95)])]
PARASOL += [_wedge(((214, 60, 55), WHITE)[k % 2], 0.63 * k, 0.63 * (k + 1)) for k in range(5)]
TOWEL: Thing = [((60, 130, 190), 0, [(-0.4, 0), (-0.25, -0.22), (0.5, -0.22), (0.35, 0)])]
TOWEL += [((245, 200, 70), 0, [(-0.1, 0), (0.05, -0.22), (0.2, -0.22), (0.05, 0)])]
BOAT: Thing = [
    (WHITE, 0, [(-0.05, -0.12), (-0.05, -0.9), (0.4, -0.16)]),
    (WHITE, 0, [(-0.1, -0.12), (-0.1, -0.7), (-0.4, -0.16)]),
]
BOAT += [(RUST, 0, [(-0.5, -0.1), (0.5, -0.1), (0.32, 0.04), (-0.34, 0.04)])]
CACTUS: Thing = [(LEAF, 0.2, [(0, 0), (0, -0.9)]), (LEAF, 0.13, [(0, -0.35), (-0.3, -0.38), (-0.3, -0.68)])]
CACTUS += [(LEAF, 0.13, [(0, -0.25), (0.28, -0.28), (0.28, -0.55)])]
ROCK: Thing = [(GRAY, 0, [(-0.35, 0), (-0.3, -0.2), (-0.1, -0.34), (0.15, -0.3), (0.36, 0)])]
ROCK += [((196, 184, 166), 0, [(-0.3, -0.02), (-0.26, -0.18), (-0.1, -0.3), (0.02, -0.12)])]
BUSH: Thing = [
    ((140, 138, 84), 0.03, [(0, 0), (x, y)]) for x, y in ((-0.3, -0.2), (-0.12, -0.32), (0.08, -0.34), (0.28, -0.2))
]
COAT = (158, 108, 66)
CAMEL: Thing = [(COAT, 0.05, [(x, -0.4), (x + 0.02, 0)]) for x in (-0.26, -0.16, 0.16, 0.26)]
CAMEL += [(COAT, 0.2, [(-0.22, -0.46), (0.22, -0.46)]), (COAT, 0.16, [(0, -0.6)])]
CAMEL += [(COAT, 0.08, [(0.26, -0.5), (0.42, -0.48), (0.46, -0.78), (0.56, -0.76)])]

# what is drawn of each kind of scene: water, its fraction of the ground, things on the ground
BEACHES: tuple[tuple[Color, float, tuple[Thing, ...]], ...] = (
    (BLUE, 0.72, (PARASOL, TOWEL)),
    (BAY, 0.6, (PALM, PARASOL)),
    (DULL, 0.5, (ROCK, PALM)),
    (BLUE, 0.22, (PALM, PARASOL, TOWEL)),
    (BAY, 0.32, (PARASOL, ROCK, TOWEL)),
)
# far land and its shape, ground, dunes, things on the ground
DESERTS: tuple[tuple[Color | None, bool, Color, int, tuple[Thing, ...]], ...] = (
    (None, False, GOLD, 3, (CAMEL,)),
    (RUST, True, CLAY, 0, (CACTUS, ROCK, BUSH)),
    (SLATE, False, GOLD, 1, (CACTUS, BUSH)),
    (SLATE, False, PALE, 2, (PALM,)),
    (RUST, True, PALE, 1, (ROCK, CAMEL, BUSH)),
)


class Scene:
    """An image that is being drawn: the light, the horizon in pixels, and a random generator."""

    def __init__(self, light: Light, random: np.random.Generator) -> None:
        self.light, self.random = light, random
        self.image = Image.new("RGB", (WIDTH, HEIGHT))
        self.draw = ImageDraw.Draw(self.image)
        self.horizon = HEIGHT * self.between(0.26, 0.6)
        self.depth = HEIGHT - self.horizon

    def between(self, low: float, high: float) -> float:
        """Draw a random number."""
        return float(self.random.uniform(low, high))

    def some(self, low: int, high: int) -> int:
        """Draw a random count, below `most`."""
        return int(self.random.integers(low, high))

    def varied(self, color: Color, by: float = 8) -> Color:
        """Change a color a little."""
        red, green, blue = (np.asarray(color) + self.random.normal(0, by, 3)).tolist()
        return red, green, blue

    def lit(self, color: Color) -> Color:
        """Paint as this light shows it."""
        red, green, blue = (c * t / 255 for c, t in zip(color, self.light.tint, strict=True))
        return red, green, blue

    def pour(self, outline: list[Point], high: Color, low: Color) -> None:
        """Fill an outline with colors that run from its top to its bottom."""
        mask = Image.new("L", (WIDTH, HEIGHT))
        ImageDraw.Draw(mask).polygon(outline, fill=255)
        top, bottom = (pick(y for _, y in outline) for pick in (min, max))
        fraction = np.clip((np.arange(HEIGHT) - top) / (bottom - top + 1), 0, 1)[:, None, None]
        column = np.clip((1 - fraction) * high + fraction * low, 0, 255).astype(np.uint8)
        self.image.paste(Image.fromarray(column).resize((WIDTH, HEIGHT)), mask=mask)

    def haze(self, boxes: list[tuple[float, float, float, float]], color: Color, blur: float, strength: float) -> None:
        """Paint blurred ellipses: clouds, glow, shadows."""
        mask = Image.new("L", (WIDTH, HEIGHT))
        for box in boxes:
            ImageDraw.Draw(mask).ellipse(box, fill=int(255 * strength))
        self.image.paste(_whole(color), (0, 0, WIDTH, HEIGHT), mask.filter(ImageFilter.GaussianBlur(blur)))

    def wave(self, y: float, height: float, length: float, slope: float = 0) -> list[Point]:
        """Draw a rolling line from edge to edge."""
        x = np.arange(-8, WIDTH + 9, 4.0)
        first, second = self.random.uniform(0, 6.3, 2)
        swing = 0.7 * np.sin(x / length * 6.3 + first) + 0.3 * np.sin(x / length * 15 + second)
        return list(zip(x.tolist(), (y + height * swing + slope * (x - WIDTH / 2)).tolist(), strict=True))

    def put(self, parts: Thing, x: float, y: float, size: float) -> None:
        """Place a thing on a point, with a soft shadow, facing either way."""
        self.haze([(x - 0.4 * size, y - 0.06 * size, x + 0.5 * size, y + 0.07 * size)], self.lit((90, 70, 60)), 5, 0.4)
        side = size if self.random.random() < 0.5 else -size
        for color, thickness, points in parts:
            self._paint(
                [(x + a * side, y + b * size) for a, b in points], thickness * size, self.varied(self.lit(color))
            )

    def _paint(self, points: list[Point], thickness: float, color: Color) -> None:
        if not thickness:
            return self.draw.polygon(points, fill=_whole(color))
        self.draw.line(points, fill=_whole(color), width=max(1, round(thickness)))
        for x, y in points:
            self.draw.circle((x, y), thickness / 2, fill=_whole(color))
        return None

    def scatter(self, things: tuple[Thing, ...], farthest: float, count: int) -> None:
        """Put things on the ground, far ones first; none is in its farthest fraction, `farthest`."""
        for fraction in sorted(self.random.uniform(farthest, 0.95, count).tolist()):
            thing = things[self.random.integers(len(things))]
            tall = 1.6 if thing is PALM else 1
            self.put(
                thing,
                WIDTH * self.between(0.08, 0.92),
                self.horizon + fraction * self.depth,
                tall * (28 + 90 * fraction),
            )


def _whole(color: Color) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, round(channel))) for channel in color)
    return red, green, blue


def _mixed(first: Color, second: Color, fraction: float) -> Color:
    red, green, blue = (a + (b - a) * fraction for a, b in zip(first, second, strict=True))
    return red, green, blue


def _sky(scene: Scene) -> None:
    """Sky, sun and clouds: the same for both classes."""
    light, horizon = scene.light, scene.horizon
    low = scene.varied(light.low)
    scene.pour([(0, 0), (WIDTH, 0), (WIDTH, horizon + 8), (0, horizon + 8)], scene.varied(light.high), low)
    if light.sun:
        x, y, size = WIDTH * scene.between(0.1, 0.9), horizon * light.height, scene.between(12, 22)
        scene.haze([(x - 3 * size, y - 3 * size, x + 3 * size, y + 3 * size)], light.sun, 28, 0.5)
        scene.draw.circle((x, y), size, fill=_whole(light.sun))
    for _ in range(scene.some(0, 5)):
        x, y, size = WIDTH * scene.between(0, 1), horizon * scene.between(0.1, 0.7), scene.between(18, 40)
        puffs = [(x + k * size, scene.between(0.2, 0.6) * size) for k in range(-2, 3)]
        scene.haze([(a - size, y - b, a + size, y + b / 2) for a, b in puffs], _mixed(low, WHITE, 0.5), 5, 0.7)


def _beach(scene: Scene, kind: int) -> None:
    """Sand, and the sea as far as a slanting, rolling shore."""
    water, fraction, things = BEACHES[kind]
    ground, horizon = scene.lit(scene.varied((SAND, PALE)[kind % 2])), scene.horizon
    scene.pour([(0, horizon), (WIDTH, horizon), (WIDTH, HEIGHT), (0, HEIGHT)], ground, _mixed(ground, WHITE, 0.12))
    fraction *= scene.between(0.8, 1.2)
    shore = scene.wave(
        horizon + fraction * scene.depth, 10 * fraction + 3, WIDTH * 0.8, scene.between(-0.3, 0.3) * fraction
    )
    sea = _mixed(scene.lit(scene.varied(water)), scene.light.low, 0.25)
    _water(scene, shore, sea, ground)
    for _ in range(scene.some(0, 3)):
        scene.put(BOAT, WIDTH * scene.between(0.1, 0.9), horizon + 4 + 20 * fraction, scene.between(24, 46))
    scene.scatter(things, min(0.9, fraction + 0.2), scene.some(1, 4))


def _water(scene: Scene, shore: list[Point], sea: Color, ground: Color) -> None:
    """Water from the horizon to a shore, streaked with waves, with foam and wet sand at its edge."""
    top = scene.horizon
    for reach, color in ((16, _mixed(ground, (90, 80, 80), 0.3)), (0, sea)):
        edge = [(x, max(top + 3, y + reach)) for x, y in shore]
        scene.pour([(0, top), *edge, (WIDTH, top)], color, _mixed(color, WHITE, 0.05 if reach else 0.22))
    deepest = max(y for _, y in shore)
    for _ in range(60):
        x, y = WIDTH * scene.between(0, 1), scene.between(top + 3, deepest)
        length = 12 + 0.5 * (y - top)
        if y < shore[int((x + 8) / 4)][1] - 4:
            scene.draw.line([(x - length, y), (x + length, y)], fill=_whole(_mixed(sea, WHITE, 0.5)), width=3)
    for reach, width in ((-14, 3), (0, 6)):
        foam = [(x, max(top + 3, y + reach)) for x, y in shore]
        scene.draw.line(foam, fill=_whole(scene.lit(WHITE)), width=width)


def _desert(scene: Scene, kind: int) -> None:
    """Far mesas or mountains, then flat or rolling sand."""
    far, flat, paint, dunes, things = DESERTS[kind]
    ground, horizon = scene.lit(scene.varied(paint)), scene.horizon
    if far:
        _far_land(scene, _mixed(scene.lit(scene.varied(far)), scene.light.low, 0.3), flat)
    scene.pour([(0, horizon), (WIDTH, horizon), (WIDTH, HEIGHT), (0, HEIGHT)], ground, _mixed(ground, CLAY, 0.15))
    for number in range(dunes):
        _dune(scene, horizon + scene.depth * (0.1 + 0.75 * number / dunes), ground)
    if things == (PALM,):
        _pond(scene)
    for fraction in np.geomspace(0.14, 0.98, 15).tolist():
        ripple = scene.wave(horizon + fraction * scene.depth, 9 * fraction, 170 * fraction + 40)
        scene.draw.line(ripple, fill=_whole(_mixed(ground, SHADE, 0.3)), width=round(1 + 3 * fraction))
    scene.scatter(things, 0.25, scene.some(1, 5))


def _pond(scene: Scene) -> None:
    """Water with a dark rim."""
    x, y, wide = WIDTH * scene.between(0.25, 0.75), scene.horizon + scene.depth * 0.62, scene.between(80, 150)
    for grown, color in ((8, scene.lit(LEAF)), (0, scene.lit(scene.varied(BAY)))):
        box = (x - wide - grown, y - 0.2 * wide - grown / 2, x + wide + grown, y + 0.2 * wide + grown / 2)
        scene.draw.ellipse(box, fill=_whole(color))


def _far_land(scene: Scene, color: Color, flat: bool) -> None:
    """Draw mesas with flat tops, or a chain of mountains, on the horizon."""
    for _ in range(scene.some(2, 5)):
        x, wide = WIDTH * scene.between(0, 1), scene.between(50, 120)
        y, top = scene.horizon, scene.horizon - scene.between(24, 80)
        peak = 0.7 * wide if flat else 0.04 * wide
        front = [(x - wide, y), (x - peak, top), (x + peak, top), (x + wide, y)]
        scene.pour(front, color, _mixed(color, WHITE, 0.12))
        side = [(x + peak / 2, top), (x + peak, top), (x + wide, y), (x + peak, y)]
        scene.draw.polygon(side, fill=_whole(_mixed(color, SHADE, 0.3)))


def _dune(scene: Scene, y: float, ground: Color) -> None:
    """Draw a dune with a sharp crest, one side in the light and one in the shade."""
    crest, height, width = WIDTH * scene.between(0.15, 0.85), scene.between(30, 75), scene.between(120, 220)
    x = np.arange(-8, WIDTH + 9, 4.0)
    ridge = list(zip(x.tolist(), (y - height * np.exp(-((np.abs(x - crest) / width) ** 1.3))).tolist(), strict=True))
    scene.pour([*ridge, (WIDTH + 8, HEIGHT), (-8, HEIGHT)], _mixed(ground, WHITE, 0.18), ground)
    lee = [point for point in ridge if crest <= point[0] <= crest + 1.4 * width]
    sag = 0.75 * height * np.sin(np.pi * np.sqrt(np.linspace(0, 1, len(lee))))
    foot = [(x, y + float(drop)) for (x, y), drop in zip(lee, sag, strict=True)]
    scene.pour([*lee, *foot[::-1]], _mixed(ground, SHADE, 0.42), _mixed(ground, SHADE, 0.15))


def draw_scene(name: str, number: int) -> Image.Image:
    """Draw one scene as RGB of `SIZE`, ready to be saved; class and number decide every pixel of it."""
    random = np.random.default_rng((SEED, CLASSES.index(name), number))
    scene = Scene(LIGHTS[(number // 5 + number) % 5], random)
    _sky(scene)
    (_beach if name == BEACH else _desert)(scene, number % 5)
    small = scene.image.reduce(SCALE).filter(ImageFilter.GaussianBlur(scene.between(0, 0.6)))
    pixels = np.asarray(small) + random.normal(0, scene.between(1, 4), (*small.size[::-1], 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def make_samples(folder: Path) -> None:
    """Draw all scenes into `folder`, one subfolder per class."""
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(PER_CLASS):
            draw_scene(name, number).save(folder / name / f"{name}_{number + 1:02}.jpg", quality=QUALITY)


if __name__ == "__main__":
    make_samples(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "beach_desert")
