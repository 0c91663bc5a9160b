"""Grad-CAM without Keras."""

import numpy as np

from tests.explain.reference import keras_grad_cam
from tests.making import noise
from tlkit.explain.explainer import open_explainer
from tlkit.explain.gradcam import PooledGradCam, grad_cam, grad_cam_plus_plus
from tlkit.inference.network import open_network
from tlkit.runs.trust import load_run_network


def test_grad_cam_of_a_linear_head_is_the_class_activation_map():
    draws = np.random.default_rng(0)
    maps, weights = draws.normal(size=(4, 5, 6)).astype(np.float32), draws.normal(size=6).astype(np.float32)
    expected = np.maximum(np.einsum("ijk,k->ij", maps, weights), 0)
    np.testing.assert_allclose(grad_cam(maps, weights), expected, rtol=1e-5)
    everywhere = np.broadcast_to(weights, maps.shape)
    np.testing.assert_allclose(grad_cam(maps, everywhere), expected, rtol=1e-4, atol=1e-5)


def test_grad_cam_plus_plus_is_its_formula():
    draws = np.random.default_rng(0)
    maps, gradient = draws.random((3, 3, 2)), draws.normal(size=(3, 3, 2))
    weights = np.zeros(2)
    for channel in range(2):
        total = maps[..., channel].sum()
        for row, column in np.ndindex(3, 3):
            g = gradient[row, column, channel]
            weights[channel] += g**2 / (2 * g**2 + total * g**3) * max(g, 0)
    expected = np.maximum(maps @ weights, 0)
    np.testing.assert_allclose(grad_cam_plus_plus(maps, gradient), expected, rtol=1e-6)


def test_grad_cam_plus_plus_of_no_gradient_is_zero():
    assert (grad_cam_plus_plus(np.ones((2, 2, 3)), np.zeros((2, 2, 3))) == 0).all()


def test_pooled_grad_cam_is_grad_cam_through_keras(finetuned_run, blocks_run):
    for run in (finetuned_run, blocks_run):
        explainer = open_explainer(run, "gradcam")
        assert isinstance(explainer.method, PooledGradCam) and not explainer.needs_keras
        classifier = load_run_network(run)
        size = run.manifest.image.size
        for seed in range(3):
            pixels = noise(size, size, seed=seed)
            expected = np.stack([keras_grad_cam(classifier, pixels, label) for label in range(3)])
            found = np.stack([explainer.method.heat(pixels, label) for label in range(3)])
            np.testing.assert_allclose(found, expected, atol=1e-4 * max(1e-12, expected.max()))


def test_session_with_maps_gives_the_features_as_averages(finetuned_run, blocks_run):
    for run in (finetuned_run, blocks_run):
        for engine in ("auto", "keras"):
            network = open_network(run, engine)
            pixels = np.stack([noise(run.manifest.image.size, run.manifest.image.size, seed=seed) for seed in range(3)])
            features, maps = network.maps_session()(pixels)
            np.testing.assert_allclose(features, network.extract(pixels), atol=1e-6)
            averages = maps.mean(axis=(1, 2))
            np.testing.assert_allclose(averages, features[:, : maps.shape[-1]], rtol=1e-4, atol=1e-5)
