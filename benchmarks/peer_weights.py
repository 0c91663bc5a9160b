"""The ImageNet weights of Keras's MobileNetV2 for PyTorch.

    python benchmarks/peer_weights.py FILE.npz     (with Keras: writes the file)

`load_into` puts them into timm's `mobilenetv2_100` with TensorFlow's padding and epsilon, and checks the output: both
networks have the same layers in the same order.
"""

import sys
from typing import Any

import numpy as np

TIMM = {"pad_type": "same", "bn_eps": 1e-3}  # as in Keras
TOLERANCE = 1e-3  # of features, which are from 0 to 6


def write(file: str) -> None:
    """Write the weights in the order of layers, and the features of one image of noise."""
    import keras

    network = keras.applications.MobileNetV2(include_top=False, weights="imagenet", pooling="avg")
    image = np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32)
    arrays = {f"{number:03d}": value for number, value in enumerate(_torch_arrays(network))}
    np.savez(file, image=image.transpose(0, 3, 1, 2), features=network.predict(image, verbose=0), **arrays)


def _torch_arrays(network: Any) -> list[np.ndarray]:
    """Give the arrays of all layers, kernels in PyTorch's order of axes."""
    orders = {True: (2, 3, 0, 1), False: (3, 2, 0, 1)}
    return [
        value.transpose(orders["depthwise" in layer.name]) if value.ndim == 4 else value
        for layer in network.layers
        for value in layer.get_weights()
    ]


def load_into(body: Any, file: str, features: Any) -> None:
    """Put the weights into a network of timm.

    body       the network, perhaps with a classifier, which is left as it is
    features   gives the pooled features of a batch, to compare them with Keras's

    raises: SystemExit where they differ
    """
    import torch

    saved = np.load(file)
    numbers = iter(sorted(name for name in saved.files if name.isdigit()))
    with torch.no_grad():
        for layer in body.modules():
            if isinstance(layer, torch.nn.Conv2d):
                targets = [layer.weight]
            elif isinstance(layer, torch.nn.BatchNorm2d):
                targets = [layer.weight, layer.bias, layer.running_mean, layer.running_var]
            else:
                continue
            for target in targets:
                target.copy_(torch.from_numpy(saved[next(numbers)]))
    body.eval()
    with torch.inference_mode():
        found = features(torch.from_numpy(saved["image"])).numpy()
    if (left := list(numbers)) or not np.allclose(found, saved["features"], atol=TOLERANCE):
        raise SystemExit(f"the weights do not fit: {len(left)} left, {np.abs(found - saved['features']).max():.2g} off")


if __name__ == "__main__":
    write(sys.argv[1])
