"""Attacks on runs, judged by predict."""

import numpy as np
import pytest

from tests.shared_runs import copy_foreign_run
from tlkit.data.image import decode_square
from tlkit.errors import DataError, OptionError, RunError
from tlkit.inference.predictor import Predictor
from tlkit.robustness.attack import adversarial_name, attack
from tlkit.runs.trust import load_run_network


def test_files_of_the_attack_fool_predict(finetuned_run, colors, tmp_path):
    def save(path, content):
        file = tmp_path / adversarial_name(path.replace("/", "-"))
        file.write_bytes(content)
        return file

    result = attack(finetuned_run, colors, epsilon="30", save=save)
    assert result.method == "pgd" and result.steps == 20 and result.counted == "validation"
    assert result.clean.accuracy > 0.8 and result.adversarial().accuracy < 0.5
    predictor = Predictor(finetuned_run)
    for image in result.images:
        (said,) = predictor.predict(tmp_path / adversarial_name(image.path.replace("/", "-")))
        assert (said.label, said.status) == (image.after.label, image.after.status)
        assert said.confidence == pytest.approx(image.after.confidence, abs=1e-6)
    for image in result.images[:8]:
        content = (tmp_path / adversarial_name(image.path.replace("/", "-"))).read_bytes()
        decoded = decode_square(content, finetuned_run.manifest.image)
        np.testing.assert_array_equal(decoded, image.adversarial)
        assert np.abs(decoded.astype(int) - image.original).max() <= 30


@pytest.mark.slow
def test_epsilon_zero_is_no_attack(finetuned_run):
    for method in ("fgsm", "pgd", "square"):
        result = attack(finetuned_run, epsilon="0", method=method, steps=1, max_images=2)
        assert result.adversarial().accuracy == result.clean.accuracy
        assert all(np.array_equal(image.original, image.adversarial) for image in result.images[:8])


@pytest.mark.slow
def test_a_larger_epsilon_is_a_stronger_attack(finetuned_run, colors):
    result = attack(finetuned_run, colors, epsilon="40,0,10", steps=5)
    accuracies = [result.adversarial(epsilon).accuracy for epsilon in result.by_epsilon]
    assert list(result.by_epsilon) == [0, 10, 40] and result.epsilon == 40
    assert accuracies[0] > max(accuracies[1:])


def test_a_target_leaves_out_its_own_images(finetuned_run, colors):
    result = attack(finetuned_run, colors, epsilon="60", target="red")
    assert len(result.images) and all(image.path.split("/")[0] != "red" for image in result.images)
    assert result.num_reached >= 0.5 * len(result.images)
    with pytest.raises(DataError, match="already"):
        attack(finetuned_run, colors, target="blue", max_images=1)
    with pytest.raises(OptionError, match="no class 'cat'"):
        attack(finetuned_run, colors, target="cat")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "epsilon", "below"), [("linf", "2", lambda e: e - 1), ("l2", "20", lambda e: 0.9 * e)]
)
def test_one_image_has_the_epsilon_of_its_first_change(finetuned_run, colors, norm, epsilon, below):
    file = colors / "red" / "0.png"
    result = attack(finetuned_run, file, norm=norm, epsilon=epsilon, steps=2)
    assert result.first_change is not None and not result.is_labeled
    for value, changes in ((result.first_change, True), (below(result.first_change), False)):
        (image,) = attack(finetuned_run, file, norm=norm, epsilon=f"{value!r}", steps=2).images
        assert (image.after.label != image.before.label) is changes


def test_square_needs_no_gradient_and_no_trust(classic_run, finetuned_run, colors, tmp_path):
    result = attack(classic_run, colors, epsilon="150", steps=60)
    assert result.method == "square" and result.adversarial().accuracy < result.clean.accuracy
    foreign = copy_foreign_run(finetuned_run, tmp_path)
    assert len(attack(foreign, colors, method="square", steps=2, max_images=3).images) == 3
    with pytest.raises(RunError, match="trust"):
        attack(foreign, colors, method="pgd")
    with pytest.raises(OptionError, match="use --method square"):
        attack(classic_run, colors, method="fgsm")
    with pytest.raises(OptionError, match="linf only"):
        attack(classic_run, colors, norm="l2")


@pytest.mark.slow
def test_the_whole_network_is_differentiated(blocks_run, scratch_run, colors):
    for run in (blocks_run, scratch_run):
        result = attack(run, colors, epsilon="40", max_images=2, steps=10)
        network = load_run_network(run)
        image = result.images[0]
        before, after = (
            np.asarray(network(pixels[None].astype(np.float32), training=False))[0, image.label]
            for pixels in (image.original, image.adversarial)
        )
        assert after < before


def test_what_cannot_be_attacked_is_named(finetuned_run, colors, tmp_path):
    (tmp_path / "no.png").write_text("text")
    with pytest.raises(DataError, match="text, not an image"):
        attack(finetuned_run, [colors / "red" / "0.png", tmp_path / "no.png"])
    with pytest.raises(DataError, match="for single images, name them"):
        attack(finetuned_run, tmp_path)
