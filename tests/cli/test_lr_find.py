"""`tlkit lr-find`: a rate, and a drawing."""

from tests.cli.commands import tlkit


def test_lr_find_suggests_a_rate_and_draws_the_losses(colors, weights_file, tmp_path):
    drawing = tmp_path / "rates.png"
    small = ["--backbone", "mobilenet_025", "--weights", weights_file, "--image-size", "32", "--freeze", "all"]
    done = tlkit("lr-find", colors, *small, "-o", drawing)
    assert done.exit_code == 0, done.output
    assert "suggested for: head" in done.stdout
    assert done.stdout.splitlines()[-1] == f"plot        {drawing}"
    assert drawing.read_bytes().startswith(b"\x89PNG")
