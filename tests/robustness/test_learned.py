"""Attacks that are learned on some images and measured on others."""

import numpy as np
import pytest

from tests.shared_runs import copy_foreign_run
from tlkit.errors import DataError, OptionError, RunError
from tlkit.robustness.attack import attack


@pytest.mark.slow
@pytest.mark.parametrize(("method", "epsilon"), [("universal", "40"), ("patch", "2")])
def test_what_is_learned_on_training_images_is_measured_on_validation_images(finetuned_run, method, epsilon):
    result = attack(finetuned_run, method=method, epsilon=epsilon, steps=15, patch_size=0.6)
    subsets = {row["path"]: row["split"] for row in finetuned_run.read_rows("split.csv")}
    assert {subsets[image.path] for image in result.images} == {"validation"}
    assert result.num_learned == sum(subset == "train" for subset in subsets.values())
    assert result.adversarial().num_correct <= result.num_control
    if method == "universal":
        changes = [image.adversarial.astype(int) - image.original for image in result.images]
        inside = [np.abs(change) <= np.abs(result.learned) for change in changes]
        assert all(part.all() for part in inside) and np.abs(result.learned).max() == 40


def test_images_that_are_measured_are_not_learned_from(finetuned_run, colors):
    images = [colors / "red" / f"{k}.png" for k in range(3)]
    result = attack(finetuned_run, images, method="universal", steps=1, learn_from=str(colors / "red"))
    assert result.num_learned == 9
    with pytest.raises(DataError, match="no image is left to learn from"):
        attack(finetuned_run, sorted((colors / "red").iterdir()), method="universal", learn_from=str(colors / "red"))


def test_a_strangers_run_needs_trust_and_images(finetuned_run, colors, tmp_path):
    foreign = copy_foreign_run(finetuned_run, tmp_path)
    with pytest.raises(RunError, match="trust"):
        attack(foreign, colors, method="patch")
    with pytest.raises(RunError, match="--learn-from"):
        attack(foreign, colors, method="universal", trust_model=True)
    with pytest.raises(OptionError, match="has no --norm l2"):
        attack(finetuned_run, colors, method="universal", norm="l2")
