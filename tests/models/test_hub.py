"""Backbones of KerasHub, from a preset that the test saves."""

import numpy as np
import pytest

import tlkit
from tests.cli.commands import refused
from tests.shared_runs import make_once
from tlkit.models.hub import HubBackbone, hub_backbone


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    """A small ResNet with random weights, saved by KerasHub."""
    pytest.importorskip("keras_hub")

    def save(folder):
        import keras
        import keras_hub

        keras.utils.set_random_seed(0)
        options = {"input_conv_filters": [64], "input_conv_kernel_sizes": [3], "stackwise_num_filters": [64, 64]}
        stacks = {"stackwise_num_blocks": [1, 1], "stackwise_num_strides": [1, 2], "block_type": "basic_block"}
        network = keras_hub.models.ResNetBackbone(**options, **stacks, image_shape=(32, 32, 3))
        network.save_to_preset(str(folder / "preset"))
        return folder / "preset"

    return make_once(tmp_path_factory, "hub", save)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_preset_is_a_frozen_backbone(preset, colors, tmp_path):
    result = tlkit.finetune(colors, tmp_path / "run", backbone=f"hub:{preset}", image_size=32, hidden="0", epochs=3)
    content = result.run.read_json("model.json")
    assert (content["backbone"], content["freeze"]) == (f"hub:{preset}", "all")
    model = tlkit.keras_model(result.run)
    assert all(type(layer).__module__.startswith("keras.src.") for layer in model.layers)  # plain Keras opens it
    dataset = result.run.to_dataset("validation")
    answers = tlkit.predict(result.run, [colors / path for path in dataset.paths])
    expected = np.stack([row.probabilities for row in answers])
    assert np.allclose(model.predict(dataset, verbose=0), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_network_gives_the_average_of_the_presets_map(preset):
    import keras_hub

    network = HubBackbone(str(preset), 32).build()
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    body = keras_hub.models.Backbone.from_preset(str(preset), image_shape=(32, 32, 3))
    expected = np.asarray(body(pixels)).mean(axis=(1, 2))
    assert np.allclose(network(pixels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_preset_that_is_not_there_is_one_sentence(preset, colors, tmp_path):
    words = refused(4, "finetune", colors, "-o", tmp_path / "run", "--backbone", "hub:resnet_18_imagenet")
    assert "the preset 'resnet_18_imagenet' of KerasHub cannot be loaded" in words
    assert not (tmp_path / "run").exists()


def test_what_a_hub_backbone_cannot_do_is_refused(monkeypatch):
    with pytest.raises(tlkit.OptionError, match="--freeze is lower, but a backbone of KerasHub stays frozen"):
        hub_backbone("hub:x", 0, "lower")
    assert hub_backbone("mobilenet_v2", 0, "lower") is None
    monkeypatch.setattr("tlkit.errors.find_spec", lambda name: None)
    with pytest.raises(tlkit.ModelError, match=r"pip install 'tlkit\[hub\]'"):
        hub_backbone("hub:x", 0, "all")
