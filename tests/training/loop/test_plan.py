"""Plans name only optimizers, losses and schedules that there are."""

from dataclasses import fields
from typing import get_args, get_type_hints

from tests.networks import keras
from tests.training.loop.toys import PLAN, plan
from tlkit.settings.shared import LossSettings, OptimizerSettings
from tlkit.settings.training import FinetuneSettings
from tlkit.training.hyperparameters import OPTIMIZER_DEFAULTS
from tlkit.training.loop.plan import FitPlan, OptimizerConfig


def choices(settings_class, name):
    return list(get_args(get_type_hints(settings_class)[name]))


def test_registries_are_choices_of_settings_in_order():
    from tlkit.training.loop.keras_losses import LOSSES
    from tlkit.training.loop.losses import WEIGHTS
    from tlkit.training.loop.optimizers import OPTIMIZERS, SCHEDULES

    assert sorted(OPTIMIZERS) == sorted(OPTIMIZER_DEFAULTS) == sorted(choices(OptimizerSettings, "optimizer"))
    assert sorted(SCHEDULES) == sorted(choices(OptimizerSettings, "schedule"))
    assert sorted(LOSSES) == sorted(choices(LossSettings, "loss"))
    assert sorted(WEIGHTS) == sorted(choices(LossSettings, "class_weight"))


def test_help_states_the_default_learning_rates_of_the_default_optimizer():
    defaults = OPTIMIZER_DEFAULTS["adamw"]
    rates = {"learning_rate": defaults.head_lr, "upper_learning_rate": defaults.blocks_lr}
    texts = {item.name: item.metadata["help"] for item in fields(FinetuneSettings)}
    assert [name for name, rate in rates.items() if f"(adamw: {rate:g})" not in texts[name]] == []
    assert f"Default: {defaults.weight_decay:g} with adamw" in texts["weight_decay"]


def test_optimizers_are_those_of_keras_and_rates_fall_with_how_much_is_pretrained():
    from tlkit.training.loop.optimizers import OPTIMIZERS

    assert [spec.constructor for spec in OPTIMIZERS.values() if not hasattr(keras.optimizers, spec.constructor)] == []
    assert [name for name, spec in OPTIMIZER_DEFAULTS.items() if not 0 < spec.blocks_lr < spec.head_lr] == []


def test_defaults_change_nothing_but_what_is_asked_for():
    """No smoothing, mixing, averages, clipping, warm-up or layer-wise rates unless a phase asks for them."""
    config = OptimizerConfig(0.1)
    assert (config.warm_up, config.weight_decay, config.clip_norm, config.ema, config.lr_multipliers) == (
        0,
        0,
        0,
        0,
        {},
    )
    bare = FitPlan("head", 1, 1, config, 1, 0)
    assert (bare.label_smoothing, bare.mixing.mixup, bare.mixing.cutmix) == (0, 0, 0)
    assert not (bare.keep_initial_weights or bare.train_bn_offsets)
    assert bare.criterion == "loss"
    assert plan() == PLAN
    assert {item.name for item in fields(FitPlan)} >= {"phase", "optimizer", "lr_option"}
