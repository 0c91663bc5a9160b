"""The pointing game: only a patch in a known place tells the class, so the reasons must be there.

Zhang 2018 (IJCV 126:1084) has the game, Adebayo 2018 (NeurIPS) the check that a network with a scrambled top
must not find the patch.
"""

import numpy as np
import pytest
from PIL import Image, ImageDraw

import tlkit
from tests.making import noise
from tlkit.explain.explainer import open_explainer
from tlkit.explain.keras_gradcam import KerasGradCam
from tlkit.explain.overlay import find_peak, upsample
from tlkit.runs.trust import load_run_network

pytestmark = [pytest.mark.slow, pytest.mark.training]
SIDE, PATCH = 224, 64  # pixels; chance is (64 / 224)² = 8 %
TRAIN, HELD_OUT = 100, 60  # images of each class
CLASSES = ("dots", "squares")


def draw_scene(seed, class_name):
    """A background of colored blobs with a patch in a random place: the image, and the patch's left and top."""
    draws = np.random.default_rng(seed)
    coarse = Image.fromarray(noise(7, 7, seed=seed)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    left, top = (int(value) for value in draws.integers(0, SIDE - PATCH, 2))
    box = (left, top, left + PATCH, top + PATCH)
    drawing = ImageDraw.Draw(coarse)
    drawing.rectangle(box, "white")
    for row, column in np.ndindex(4, 4):
        x, y = left + 16 * column, top + 16 * row
        if class_name == "dots":
            drawing.ellipse((x + 3, y + 3, x + 13, y + 13), "black")
        elif (row + column) % 2:
            drawing.rectangle((x, y, x + 15, y + 15), "black")
    return coarse, (left, top)


@pytest.fixture(scope="module")
def game(shared_data, tmp_path_factory):
    """A run with trained upper blocks, and held-out scenes: file, left and top of the patch."""
    folder, scenes = tmp_path_factory.mktemp("game"), []
    for number, name in enumerate(CLASSES):
        for index in range(TRAIN + HELD_OUT):
            scene, corner = draw_scene(10_000 * number + index, name)
            file = folder / "scenes" / ("train" if index < TRAIN else "val") / name / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            scene.save(file)
            scenes += [(file, *corner)] if index >= TRAIN else []
    settings = tlkit.FinetuneSettings(freeze="lower", image_size=SIDE, upper_epochs=6, golden=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(shared_data / "keras_home"))
        result = tlkit.finetune(folder / "scenes", folder / "run", settings)
    assert result.report.accuracy > 0.95
    return result.run, scenes


def hits(peaks, scenes):
    """The fraction of maxima that lie in the patch."""
    inside = [
        peak is not None and left <= peak[0] < left + PATCH and top <= peak[1] < top + PATCH
        for peak, (_, left, top) in zip(peaks, scenes, strict=True)
    ]
    return np.mean(inside)


@pytest.mark.parametrize(("method", "at_least"), [("gradcam", 0.9), ("gradcam++", 0.8), ("occlusion", 0.8)])
def test_pointing_game_finds_the_patch(game, method, at_least):
    run, scenes = game
    files = [file for file, *_ in scenes]
    peaks = [explanation.peak for explanation in open_explainer(run, method).explain(files)]
    found = hits(peaks, scenes)
    print(f"{method}: {100 * found:.1f} % of {len(scenes)} maxima are inside the patch")
    assert found >= at_least


def test_pointing_game_with_a_scrambled_top_is_chance(game):
    run, scenes = game
    network = load_run_network(run)
    draws, cut = np.random.default_rng(0), run.read_json("model.json")["cut"]
    names = [layer.name for layer in network.layers]
    for layer in network.layers[names.index(cut) + 1 :]:
        if layer.get_weights():
            layer.set_weights(
                [draws.permutation(weight.ravel()).reshape(weight.shape) for weight in layer.get_weights()]
            )
    method, spec = KerasGradCam("gradcam", lambda: network), run.manifest.image
    pixels = [(np.asarray(Image.open(file).convert("RGB")), CLASSES.index(file.parent.name)) for file, *_ in scenes]
    labels = [sorted(CLASSES).index(CLASSES[label]) for _, label in pixels]
    heats = [method.heat(image, label) for (image, _), label in zip(pixels, labels, strict=True)]
    found = hits([find_peak(upsample(heat, SIDE, method.grid), spec, SIDE, SIDE) for heat in heats], scenes)
    print(f"scrambled top: {100 * found:.1f} % of {len(scenes)} maxima are inside the patch")
    assert found <= 0.25
