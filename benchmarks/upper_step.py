"""A training step of the upper blocks, against its arithmetic at the rate of this machine's matrix products.

    python benchmarks/upper_step.py [--backbone mobilenet_v2] [--cut auto] [--batch-size 32] [--rounds 20]

The arithmetic: products of matrices, and convolutions, of every layer above the cut: its output, the gradient of its
weights, and of its input unless that is the cut itself. The rate: TensorFlow's products of the very same shapes, in
float32, which take turns with the steps: one whose products are float32, one with bfloat16. Each figure is the least
of all rounds, in wall time and in processor time; beside other work only ratios of processor times mean something.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tlkit.models.keras_setup import start_keras
from tlkit.settings.training import FinetuneSettings

CLASSES, IMAGES, MIN_SIDE = 6, 2022, 32


@dataclass(frozen=True)
class Product:
    """One product of matrices, (rows, inner) with (inner, columns)."""

    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        """Count multiplications and additions."""
        return 2 * self.rows * self.inner * self.columns


def products_of(network: Any, batch_size: int) -> tuple[list[Product], int]:
    """List the products of a step, and count the operations of its depthwise convolutions.

    A layer with `rows` positions and a kernel of (inner, columns) has three: its output, and the gradients of its
    kernel and of its input.
    """
    import keras

    products, depthwise = list[Product](), 0
    for layer in network.layers:
        if not hasattr(layer, "kernel"):
            continue
        passes = 2 if layer.input is network.input else 3
        rows = batch_size * math.prod(layer.output.shape[1:-1])
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            depthwise += passes * 2 * rows * math.prod(layer.kernel.shape)
            continue
        inner, columns = math.prod(layer.kernel.shape[:-1]), layer.kernel.shape[-1]
        products += [Product(rows, inner, columns), Product(inner, rows, columns), Product(rows, columns, inner)][
            :passes
        ]
    return products, depthwise


def make_step(options: argparse.Namespace, precision: str) -> tuple[Callable[[], Any], Any]:
    """Build what `--freeze lower` trains; give a step on random numbers, and the network."""
    import numpy as np

    from tlkit.models.cut import batch_norm_names, choose_cut, cut_points
    from tlkit.models.fold_batch_norm import fold_batch_norms
    from tlkit.models.head import attach_head
    from tlkit.training.blocks_phase import layer_lr_multipliers
    from tlkit.training.finetune import finetune_recipe
    from tlkit.training.hyperparameters import plan_blocks
    from tlkit.training.loop.keras_losses import LOSSES
    from tlkit.training.loop.optimizers import compile_model
    from tlkit.training.phases import trainable_top

    settings = FinetuneSettings(
        backbone=options.backbone, cut=options.cut, upper_batch_size=options.batch_size, upper_precision=precision
    )
    recipe = finetune_recipe(settings)
    body = recipe.source.build()
    cut = choose_cut(body, cut_points(body), settings.cut)
    top = trainable_top(attach_head(body, recipe.head(IMAGES), CLASSES), cut.tensor, batch_norm_names(body))
    plan = plan_blocks(settings, IMAGES, layer_lr_multipliers(top, body, settings.layer_decay))
    network = fold_batch_norms(top, product_dtype=plan.product_dtype).network
    compile_model(network, plan.optimizer, LOSSES[plan.loss](), 1000)
    random = np.random.default_rng(0)
    values = random.random((options.batch_size, *cut.shape), dtype=np.float32)
    targets = np.eye(CLASSES, dtype=np.float32)[random.integers(CLASSES, size=options.batch_size)]
    batch = values, targets, np.ones(options.batch_size, np.float32)
    network.train_on_batch(*batch, return_dict=True)
    return lambda: float(network.train_function(iter((batch,)))["loss"]), network


def make_products(products: Sequence[Product]) -> Callable[[], Any]:
    """Compute all products with TensorFlow, one after the other, each on all threads."""
    import tensorflow as tf

    large = [one for one in products if min(one.rows, one.inner, one.columns) >= MIN_SIDE]
    pairs = [(tf.random.normal((one.rows, one.inner)), tf.random.normal((one.inner, one.columns))) for one in large]

    def multiply() -> Any:
        """Wait for the last one."""
        return [tf.matmul(left, right) for left, right in pairs][-1].numpy()

    return multiply


def least(arms: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """Run the arms in turn; the least wall time and the least processor time of each, in seconds."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for _ in range(rounds + 2):
        for name, arm in arms.items():
            wall, processor = time.perf_counter(), time.process_time()
            arm()
            found[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {name: tuple(map(min, zip(*times[2:], strict=True))) for name, times in found.items()}  # type: ignore[misc]


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description="A step of the upper blocks against its arithmetic.")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--cut", default="auto")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    start_keras()
    step, network = make_step(options, "float32")
    rounded, _ = make_step(options, "bfloat16")
    products, depthwise = products_of(network, options.batch_size)
    arms = {"float32": step, "bfloat16": rounded, "products": make_products(products)}
    times = least(arms, options.rounds)
    flops = sum(product.flops for product in products)
    measured = sum(one.flops for one in products if min(one.rows, one.inner, one.columns) >= MIN_SIDE)
    facts: dict[str, Any] = {"GFLOP": round((flops + depthwise) / 1e9, 2), "depthwise GFLOP": round(depthwise / 1e9, 2)}
    for position, clock in enumerate(("wall", "processor")):
        rate = measured / times["products"][position]
        arithmetic = (flops + depthwise) / rate
        facts[clock] = {"GFLOP/s": round(rate / 1e9, 1), "arithmetic ms": round(arithmetic * 1e3, 1)}
        for name in ("float32", "bfloat16"):
            seconds = times[name][position]
            facts[clock] |= {f"{name} ms": round(seconds * 1e3, 1), f"{name} ratio": round(seconds / arithmetic, 2)}
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
