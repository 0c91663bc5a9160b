"""`tlkit lr-find`: a rate, and a drawing."""

import re

from tests.cli.commands import refused, tlkit


def test_lr_find_suggests_a_rate_and_draws_the_losses(colors, weights_file, tmp_path):
    drawing = tmp_path / "rates.png"
    small = ["--backbone", "mobilenet_025", "--weights", weights_file, "--image-size", "32", "--freeze", "all"]
    done = tlkit("lr-find", colors, *small, "-o", drawing)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    rate = re.fullmatch(r"  --learning-rate ([\d.e-]+)  suggested for the head", lines[0])[1]
    assert lines[1].startswith("  Steepest descent: the loss falls fastest at this learning rate. It is lowest at ")
    command = " ".join(done.stdout.split(f"plot        {drawing}\nnext")[1].replace("\\\n", " ").split())
    assert command.startswith(f"tlkit finetune {colors} --backbone mobilenet_025 --freeze all")
    assert command.endswith(f"--learning-rate {rate}")
    assert drawing.read_bytes().startswith(b"\x89PNG")


def test_lr_find_tests_a_network_from_scratch_by_its_name(colors, tmp_path):
    done = tlkit("lr-find", colors, "--model", "lenet", "--image-size", "16", "-o", tmp_path / "rates.png")
    assert done.exit_code == 0, done.output
    assert "suggested for all layers" in done.stdout
    assert "--model lenet" in " ".join(done.stdout.split("next        tlkit train")[1].replace("\\\n", " ").split())


def test_lr_find_refuses_options_of_the_other_training(colors, tmp_path):
    for typed, named in (
        ("--model lenet --cut 0.5", "--cut has no effect with --model lenet"),
        ("--model lenet --activation elu --freeze all", "--freeze has no effect with --model lenet"),
        ("--width 0.5", "--width has no effect without --model"),
    ):
        words = refused(2, "lr-find", colors, "-o", tmp_path / "rates.png", *typed.split())
        assert words.startswith(named), typed
