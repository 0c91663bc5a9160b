"""The exported network: calibrated, of any batch."""

import numpy as np

from tlkit.evaluation.calibration import apply_temperature
from tlkit.export.model import calibrated, export_model
from tlkit.inference.predictor import Predictor


def test_the_model_answers_as_predict(blocks_run):
    model, predictor = export_model(blocks_run), Predictor(blocks_run)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    expected = predictor.classify(predictor.network.extract(pixels))
    assert model.input.shape[0] is None
    assert np.abs(np.asarray(model(pixels.astype(np.float32))) - expected).max() < 1e-5


def test_a_temperature_is_applied_before_the_softmax(blocks_run):
    plain = calibrated(export_model(blocks_run), 1.0)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.float32)
    softened = np.asarray(calibrated(plain, 2.5)(pixels))
    assert np.abs(softened - apply_temperature(np.asarray(plain(pixels)), 2.5)).max() < 1e-6
    assert np.asarray(plain(pixels)).max() > softened.max()
