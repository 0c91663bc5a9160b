"""Grad-CAM and Grad-CAM++ where the features are averages of a feature map, without Keras.

The network gives its last feature map together with the features. The first features are the averages of the map's
channels, so the gradient of a logit by the map is that of the head by these features, divided by the number of
positions. For a linear head this is the class activation map (Zhou 2016).
"""

from collections.abc import Callable

import numpy as np

from tlkit.inference.network import RunNetwork
from tlkit.models.map_grid import MapGrid

GradientOf = Callable[[np.ndarray, int], np.ndarray]  # features (images, values) and a class to (images, values)


def grad_cam(maps: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Weigh each channel by its mean gradient, and keep what speaks for the class (Selvaraju 2017).

    Args:
        maps: float32 (height, width, channels)
        gradient: of the class's logit by the map, of the same shape, or (channels,) where it is equal everywhere

    Returns:
        float32 (height, width), at least 0
    """
    return np.asarray(np.maximum(maps @ gradient.reshape(-1, maps.shape[-1]).mean(axis=0), 0))


def grad_cam_plus_plus(maps: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Weigh each position by higher derivatives, which finds several objects of a class (Chattopadhay 2018).

    Args, Returns: as `grad_cam`
    """
    gradient = np.broadcast_to(gradient, maps.shape)
    below = 2 * gradient**2 + maps.sum(axis=(0, 1)) * gradient**3
    factors = np.divide(gradient**2, below, out=np.zeros_like(maps), where=np.abs(below) > 1e-30)
    return np.asarray(np.maximum(maps @ (factors * np.maximum(gradient, 0)).sum(axis=(0, 1)), 0))


WEIGHINGS = {"gradcam": grad_cam, "gradcam++": grad_cam_plus_plus}


class PooledGradCam:
    """Grad-CAM of a network that ends with averages of a feature map.

    Attributes:
        name, grid: see `HeatMethod`
    """

    def __init__(self, name: str, network: RunNetwork, gradient_of: GradientOf, grid: MapGrid | None) -> None:
        """Open the network.

        Args:
            name: a key of `WEIGHINGS`
            gradient_of: computes the gradient of a class's logit by the features
            grid: of the feature map
        """
        self.grid = grid
        self.name, self._weigh = name, WEIGHINGS[name]
        self._run, self._gradient_of = network.maps_session(), gradient_of

    def heat(self, pixels: np.ndarray, label: int) -> np.ndarray:
        """Compute the heat map: float32 (height, width) of the feature map."""
        features, maps = self._run(pixels[None])
        height, width, channels = maps.shape[1:]
        gradient = self._gradient_of(features, label)[0, :channels] / (height * width)
        return self._weigh(maps[0], gradient)
