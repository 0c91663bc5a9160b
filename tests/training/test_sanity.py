"""Controls that an honest training must pass: labels without meaning, pictures without content, photos by heart."""

import numpy as np
import pytest
from PIL import Image

from tests.networks import use_keras_home
from tlkit.inference.evaluate import evaluate
from tlkit.settings.commands import EvaluateSettings
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune

SETTINGS = FinetuneSettings(backbone="mobilenet_025", freeze="all")


@pytest.fixture
def insects(shared_data, monkeypatch):
    """200 photos, half ants and half bees."""
    use_keras_home(monkeypatch, shared_data / "keras_home")
    root = shared_data / "images/hymenoptera/train"
    return {name: sorted((root / name).glob("*.jpg"))[:100] for name in ("ants", "bees")}


def folder_of(images, root):
    for name, files in images.items():
        (root / name).mkdir(parents=True)
        for file in files:
            (root / name / file.name).symlink_to(file)
    return root


@pytest.mark.slow
@pytest.mark.training
def test_finetune_random_labels_is_at_chance(insects, tmp_path):
    files = [file for class_files in insects.values() for file in class_files]
    order = np.random.default_rng(0).permutation(len(files))
    halves = {"heads": [files[k] for k in order[:100]], "tails": [files[k] for k in order[100:]]}
    result = finetune(folder_of(halves, tmp_path / "images"), tmp_path / "run", SETTINGS)
    low, high = result.metrics.accuracy_ci95
    assert low < 0.5 < high


@pytest.mark.slow
@pytest.mark.training
def test_finetune_twenty_photos_learns_them_by_heart(insects, tmp_path):
    data = folder_of({name: files[:10] for name, files in insects.items()}, tmp_path / "images")
    result = finetune(data, tmp_path / "run", SETTINGS)
    assert evaluate(result.run, settings=EvaluateSettings(split="train")).report.accuracy == 1


@pytest.mark.slow
@pytest.mark.training
def test_finetune_images_without_content_gives_class_frequencies(insects, tmp_path):
    random = np.random.default_rng(1)
    for name, count in {"many": 90, "few": 30}.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(count):
            gray = Image.new("RGB", (64, 64), (int(random.integers(0, 256)),) * 3)
            gray.save(tmp_path / "images" / name / f"{number}.png")
    result = finetune(tmp_path / "images", tmp_path / "run", SETTINGS)
    probabilities = [float(row["p_many"]) for row in result.run.read_rows("predictions_val.csv")]
    assert np.mean(probabilities) == pytest.approx(0.75, abs=0.12)
