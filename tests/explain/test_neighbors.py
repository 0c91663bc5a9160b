"""The nearest training images."""

import numpy as np

from tlkit.data.image import decode_square
from tlkit.data.sources.files import read_file
from tlkit.explain.neighbors import TrainingNeighbors
from tlkit.inference.predictor import Predictor


def test_nearest_of_a_training_image_is_itself(finetuned_run, blocks_run, scratch_run, classic_run):
    for run in (finetuned_run, blocks_run, scratch_run, classic_run):
        predictor = Predictor(run)
        neighbors = TrainingNeighbors(run, predictor.detector)
        rows = [row for row in run.read_rows("split.csv") if row["split"] == "train"]
        for row in rows[:: len(rows) // 5]:
            pixels = decode_square(read_file(neighbors.root / row["path"]), run.manifest.image)
            nearest = neighbors.nearest(predictor.network.extract(pixels[None]), 4)
            assert len(nearest) == 4
            assert nearest[0].distance < 5e-3
            equal = [near.path for near in nearest if near.distance < 5e-3]
            assert row["path"] in equal or len(equal) == 4, run.path
            assert nearest[0].label in run.manifest.class_names
            assert list(np.sort([near.distance for near in nearest])) == [near.distance for near in nearest]
