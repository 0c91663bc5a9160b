"""Defaults that depend on the number of images, and plans that say what options say."""

from pathlib import Path

import pytest

from tlkit.errors import OptionError
from tlkit.settings.training import FinetuneSettings, TrainSettings
from tlkit.training.hyperparameters import (
    OPTIMIZER_DEFAULTS,
    choose_block_epochs,
    choose_epochs,
    choose_hidden,
    choose_precision,
    choose_scratch_batch,
    choose_scratch_epochs,
    default_blocks_lr,
    finetune_head,
    fit_to_disk,
    plan_blocks,
    plan_head,
    plan_scratch,
    scratch_head,
)
from tlkit.training.loop.history import LOSS, MACRO_F1
from tlkit.utils.processor import read_gpu

COUNTS = (1, 20, 100, 299, 300, 999, 1000, 5000, 100_000)


def test_more_images_take_fewer_epochs_and_larger_batches():
    assert [choose_epochs(count, 128) for count in COUNTS] == sorted(choose_epochs(n, 128) for n in COUNTS)[::-1]
    assert [choose_scratch_batch(count) for count in COUNTS] == sorted(map(choose_scratch_batch, COUNTS))
    assert [choose_hidden(count) for count in COUNTS] == sorted(map(choose_hidden, COUNTS))
    for choose, least, most in (
        (choose_epochs, 20, 100),
        (choose_scratch_epochs, 15, 100),
        (choose_block_epochs, 5, 30),
    ):
        epochs = [choose(count, 32) for count in COUNTS]
        assert epochs == sorted(epochs, reverse=True)
        assert (epochs[-1], epochs[0]) == (least, most)


def test_a_head_takes_at_least_twenty_passes_until_there_are_very_many_images():
    """The choices for small folders, as they were before steps were capped."""
    chosen = {1: 100, 128: 100, 129: 75, 300: 50, 700: 25, 900: 20, 2_021: 20, 50_000: 20, 200_000: 20, 640_000: 20}
    assert {count: choose_epochs(count, 128) for count in chosen} == chosen
    chosen = {640_001: 19, 1_281_167: 9, 5_000_000: 3, 100_000_000: 3}
    assert {count: choose_epochs(count, 128) for count in chosen} == chosen
    assert choose_epochs(5_000_000, 1024) == 20  # steps count, not images


def test_many_views_take_two_epochs_each():
    by_views = [choose_block_epochs(2022, 32, views) for views in range(1, 101)]
    assert by_views[:3] == [5] * 3
    assert by_views[3:15] == [2 * views for views in range(4, 16)]
    assert set(by_views[15:]) == {30}
    assert choose_block_epochs(245, 32, 10) == choose_block_epochs(245, 32)  # they have more already
    assert plan_blocks(FinetuneSettings(views=6), 2022, {}).epochs == 12
    assert plan_blocks(FinetuneSettings(views=6, upper_epochs=4), 2022, {}).epochs == 4


def test_plans_choose_where_nothing_is_asked_for():
    head, blocks = plan_head(FinetuneSettings(), 300, LOSS), plan_blocks(FinetuneSettings(), 300, {"a": 0.5})
    scratch = plan_scratch(TrainSettings(), 300, MACRO_F1)
    row = OPTIMIZER_DEFAULTS["adamw"]
    rates = [plan.optimizer.learning_rate for plan in (head, blocks, scratch)]
    assert rates == [row.head_lr, row.blocks_lr, row.scratch_lr]
    assert [plan.optimizer.warm_up for plan in (head, blocks, scratch)] == [0, 0.1, 0.1]
    assert [plan.optimizer.weight_decay for plan in (head, blocks, scratch)] == [row.weight_decay] * 3
    assert (head.epochs, head.batch_size) == (choose_epochs(300, 128), 128)
    assert (blocks.epochs, blocks.batch_size) == (choose_block_epochs(300, 32), 32)
    assert (scratch.epochs, scratch.batch_size) == (choose_scratch_epochs(300, 32), 32)
    assert [plan.phase for plan in (head, blocks, scratch)] == ["head", "blocks", "whole"]
    assert [plan.keep_initial_weights for plan in (head, blocks, scratch)] == [False, True, False]
    assert [plan.criterion for plan in (head, blocks, scratch)] == [LOSS, LOSS, MACRO_F1]
    assert blocks.optimizer.lr_multipliers == {"a": 0.5}


def test_plans_take_what_is_asked_for():
    asked = {
        "epochs": 3, "batch_size": 5, "learning_rate": 0.3, "optimizer": "sgd", "schedule": "step", "warm_up": 0.2,
        "weight_decay": 0.01, "momentum": 0.5, "nesterov": True, "clip_norm": 2.0, "ema": 0.9, "patience": 4, "seed": 7,
        "loss": "focal", "label_smoothing": 0.2, "mixup": 0.1, "cutmix": 0.6,
    }  # fmt: skip
    for plan in (plan_head(FinetuneSettings(**asked), 300, LOSS), plan_scratch(TrainSettings(**asked), 300, LOSS)):
        config, mixing = plan.optimizer, plan.mixing
        assert (plan.epochs, plan.batch_size, plan.patience, plan.seed) == (3, 5, 4, 7)
        assert (plan.loss, plan.label_smoothing, mixing.mixup, mixing.cutmix) == ("focal", 0.2, 0.1, 0.6)
        assert (config.name, config.learning_rate, config.schedule, config.warm_up) == ("sgd", 0.3, "step", 0.2)
        assert (config.weight_decay, config.momentum, config.nesterov, config.clip_norm, config.ema) == (
            0.01, 0.5, True, 2.0, 0.9
        )  # fmt: skip
        assert plan.lr_option == "--learning-rate"
    upper = {"upper_epochs": 2, "upper_batch_size": 6, "upper_learning_rate": 0.4, "batch_norms": "shift"}
    blocks = plan_blocks(FinetuneSettings(**asked | upper), 300, {}, MACRO_F1)
    assert (blocks.epochs, blocks.batch_size, blocks.optimizer.learning_rate) == (2, 6, 0.4)
    assert (blocks.lr_option, blocks.train_bn_offsets, blocks.criterion) == ("--upper-learning-rate", True, MACRO_F1)


def test_default_blocks_lr_is_lower_for_networks_without_batch_norms():
    assert default_blocks_lr(FinetuneSettings(backbone="vgg16")) == OPTIMIZER_DEFAULTS["adamw"].blocks_lr / 16
    assert default_blocks_lr(FinetuneSettings(backbone="resnet50")) == OPTIMIZER_DEFAULTS["adamw"].blocks_lr


def test_products_are_bfloat16_where_the_processor_is_fast_at_it():
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    is_fast = any(flag in text.split() for flag in ("avx512_bf16", "amx_bf16")) and not read_gpu()
    assert choose_precision("auto") == ("bfloat16" if is_fast else "float32")
    for precision in ("float32", "bfloat16"):
        assert choose_precision(precision) == precision
        assert plan_blocks(FinetuneSettings(upper_precision=precision), 300, {}).product_dtype == precision
    assert plan_head(FinetuneSettings(upper_precision="bfloat16"), 300, LOSS).product_dtype == "float32"


def test_heads_are_built_as_options_say():
    assert finetune_head(FinetuneSettings(), 245).hidden == (128,)
    assert finetune_head(FinetuneSettings(hidden="20,10"), 245).hidden == (20, 10)
    assert finetune_head(FinetuneSettings(hidden="0"), 245).hidden == ()
    linear = scratch_head(TrainSettings(l2=0.1), 245)
    assert (linear.hidden, linear.dropout, linear.batch_norm, linear.l2) == ((), 0, False, 0.1)


@pytest.mark.parametrize("limit", [0, 1e3])
def test_fit_to_disk_too_small_for_any_activation_is_refused(limit):
    with pytest.raises(OptionError, match="--cache-limit"):
        fit_to_disk([100], (10, 5), 5, limit)
