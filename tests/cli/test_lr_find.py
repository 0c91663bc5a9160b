"""`tlkit lr-find`: a rate, and a drawing."""

from tests.cli.commands import refused, tlkit


def test_lr_find_suggests_a_rate_and_draws_the_losses(colors, weights_file, tmp_path):
    drawing = tmp_path / "rates.png"
    small = ["--backbone", "mobilenet_025", "--weights", weights_file, "--image-size", "32", "--freeze", "all"]
    done = tlkit("lr-find", colors, *small, "-o", drawing)
    assert done.exit_code == 0, done.output
    assert "suggested for: head" in done.stdout
    assert done.stdout.splitlines()[-1] == f"plot        {drawing}"
    assert drawing.read_bytes().startswith(b"\x89PNG")


def test_lr_find_tests_a_network_from_scratch_by_its_name(colors, tmp_path):
    done = tlkit("lr-find", colors, "--model", "lenet", "--image-size", "16", "-o", tmp_path / "rates.png")
    assert done.exit_code == 0, done.output
    assert "suggested for: whole" in done.stdout


def test_lr_find_refuses_options_of_the_other_training(colors, tmp_path):
    for typed, named in (
        ("--model lenet --cut 0.5", "--cut has no effect with --model lenet"),
        ("--model lenet --activation elu --freeze all", "--freeze has no effect with --model lenet"),
        ("--width 0.5", "--width has no effect without --model"),
    ):
        words = refused(2, "lr-find", colors, "-o", tmp_path / "rates.png", *typed.split())
        assert words.startswith(named), typed
