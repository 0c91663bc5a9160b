"""Counts of predictions: what is named after the last row, and sums over shards."""

import json

import numpy as np

from tlkit.inference.counts import Counts
from tlkit.inference.predictor import Prediction


def prediction(*probabilities):
    probabilities = np.array(probabilities, np.float32)
    label = "abcdef"[probabilities.argmax()]
    return Prediction("a.jpg", "ok", label, float(probabilities.max()), probabilities=probabilities)


def test_counts_name_the_commonest_classes_and_the_first_failure():
    counts = Counts()
    for index in range(6):
        probabilities = [0.1] * 6
        probabilities[index] = 0.5
        for _ in range(7 - index):
            counts.add(prediction(*probabilities))
    counts.add(prediction(0.5, 0.4, 0.1))
    assert counts.summary() == "28 images: 8 a, 6 b, 5 c, 4 d, 3 e, 2 of 1 other classes; 1 unsure (?)"
    counts.add(Prediction("x.txt", "error", error="is empty (0 bytes)"))
    assert counts.failures() == "28 classified, 1 skipped (x.txt is empty (0 bytes))."
    counts.add(Prediction("y.txt", "error", error="does not exist"))
    assert counts.failures() == "28 classified, 2 skipped (x.txt is empty (0 bytes); 1 more)."
    assert counts.num_rows == 30


def test_counts_that_travelled_as_json_add_up():
    rows = [
        prediction(0.9, 0.1),
        prediction(0.2, 0.8),
        prediction(0.5, 0.4),
        Prediction("u.png", "unknown", "b"),
        Prediction("caf\udce9.txt", "error", error="is empty (0 bytes)"),
        Prediction("y.txt", "error", error="does not exist"),
    ]
    whole, merged = Counts(), Counts()
    for row in rows:
        whole.add(row)
    for row in rows:
        part = Counts()
        part.add(row)
        merged.merge(json.loads(json.dumps(part.as_json())))
    assert merged.as_json() == whole.as_json()
    assert merged.as_json()["first_error"] == ["caf\udce9.txt", "is empty (0 bytes)"]
    assert merged.summary() == whole.summary()
