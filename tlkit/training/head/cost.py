"""The cost of training a head, measured on its own steps, without Keras."""

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from tlkit.models.head import Head
from tlkit.training.hardening import Hardening
from tlkit.training.head.learner import HeadLearner
from tlkit.training.loop.cost import END_SECONDS, CostEstimate, measure_slowness
from tlkit.training.loop.history import LOSS
from tlkit.training.loop.plan import FitPlan, OptimizerConfig
from tlkit.training.recipe import NetworkDataset, NetworkTraining
from tlkit.utils.parallel import single_threaded_blas

MEASURED_STEPS = 5


def head_step_seconds(head: Head, num_features: int, num_classes: int, batch_size: int) -> float:
    """Measure a training step of a head on a whole batch."""
    learner = HeadLearner(head, num_features, num_classes, seed=0)
    learner.prepare(FitPlan("head", 1, batch_size, OptimizerConfig(1e-3), patience=1, seed=0), MEASURED_STEPS + 1, 1.0)
    learner.start_epoch(0, 1, 1.0)
    features = np.random.default_rng(0).random((batch_size, num_features), np.float32)
    targets = np.eye(num_classes, dtype=np.float32)[np.arange(batch_size) % num_classes]
    batch = features, targets, np.ones(batch_size, np.float32)
    with single_threaded_blas():
        learner.step(batch)
        started = time.perf_counter()
        for _ in range(MEASURED_STEPS):
            learner.step(batch)
    return (time.perf_counter() - started) / MEASURED_STEPS


def forecast_head(
    training: NetworkTraining, hardening: Hardening, dataset: NetworkDataset, passed: float
) -> dict[str, Any]:
    """Forecast a run whose images are read and that trains a new head alone: the entry of metrics.json.

    Args:
        passed: seconds since the start of the command
    """
    train, held_out = dataset.split.train, len(dataset.split.validation) + len(dataset.split.test)
    num_features = math.prod(dataset.features.load(train.subset([0])).shape[1:])
    plan = hardening.plan(training.plan(len(train), LOSS), training.settings.epochs)
    step = head_step_seconds(training.head(len(train)), num_features, train.num_classes, plan.batch_size)
    cost = CostEstimate().then(0.0, step, (len(train), held_out), plan)
    cost = replace(cost, end_seconds=END_SECONDS * measure_slowness())
    return {"seconds": round(passed + cost.seconds, 1), "disk_bytes": 4 * num_features * (len(train) + held_out)}
