"""What a candidate and a comparison depend on."""

import shutil

import pytest

from tests.comparison.recipes import ColorSettings
from tlkit.comparison.cache import fingerprint, has_speed, read_request, run_key
from tlkit.comparison.compare import start_comparison
from tlkit.data.folder import read_folder
from tlkit.errors import RunError
from tlkit.models.backbones import cached_backbones, find_backbone, imagenet_file
from tlkit.settings.commands import CompareSettings
from tlkit.settings.training import ClassicSettings, FinetuneSettings, TrainSettings
from tlkit.utils.progress import Silent


@pytest.fixture
def put_weights(tmp_path, monkeypatch):
    """A function that puts official weights of a backbone into an empty Keras cache."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))

    def put(name, content):
        file = imagenet_file(find_backbone(name), 224)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    return put


def test_run_key_depends_on_images_command_and_settings(colors, tmp_path):
    copied = shutil.copytree(colors, tmp_path / "copy")
    hog, images = ClassicSettings(descriptor="hog"), fingerprint(read_folder(copied), Silent())
    others = (ClassicSettings(descriptor="hog", seed=1), TrainSettings(), FinetuneSettings(), CompareSettings())
    keys = {run_key(images, "train", settings) for settings in (hog, *others)}
    assert run_key(fingerprint(read_folder(copied), Silent()), "train", hog) in keys
    keys.add(run_key(images, "finetune", hog))
    (copied / "red" / "0.png").write_bytes((copied / "red" / "1.png").read_bytes())
    keys.add(run_key(fingerprint(read_folder(copied), Silent()), "train", hog))
    assert len(keys) == 7


def test_run_key_depends_on_the_weights_it_starts_from(put_weights):
    key = lambda: run_key("images", "finetune", ColorSettings(), ["mobilenet_v2"])  # noqa: E731
    keys = {key()}
    for content in (b"some", b"others"):
        put_weights("mobilenet_v2", content)
        keys.add(key())
    put_weights("mobilenet_025", b"of another")
    keys.add(key())
    assert len(keys) == 3


def test_run_key_of_a_comparison_depends_on_all_cached_weights(put_weights):
    key = lambda: run_key("images", "compare", CompareSettings(), cached_backbones())  # noqa: E731
    keys = {key()}
    for name, content in (("mobilenet_v2", b"some"), ("mobilenet_v2", b"others"), ("mobilenet_025", b"some")):
        put_weights(name, content)
        keys.add(key())
    assert len(keys) == 4


def test_fingerprint_shows_its_progress(colors):
    stages = []

    class Watching(Silent):
        def stage(self, *given):
            stages.append(given)
            return super().stage(*given)

    fingerprint(read_folder(colors), Watching())
    assert stages == [("hashing", 36, "images")]


def test_read_request_of_another_version_is_refused(colors, tmp_path):
    run = start_comparison(colors, tmp_path / "run", CompareSettings())
    content = run.read_json("settings.json")
    for odd in (content | {"models": 3}, {name: content[name] for name in content if name != "seed"}):
        run.write_json("settings.json", odd)
        with pytest.raises(RunError, match="was started by another version of tlkit"):
            read_request(run)
    run.write_json("settings.json", content | {"seed": "a"})
    with pytest.raises(RunError, match=r"is damaged \(--seed is 'a'"):
        read_request(run)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"images_per_second": 9, "training_seconds": null, "reading_seconds": 1, "features_reused": 0}', True),
        *[(content, False) for content in (None, "", "3", "{}", '{"images_per_second": 9.5}')],
    ],
)
def test_has_speed_only_of_a_file_that_says_all(content, expected, tmp_path):
    if content is not None:
        (tmp_path / "speed.json").write_text(content)
    assert has_speed(tmp_path) == expected
