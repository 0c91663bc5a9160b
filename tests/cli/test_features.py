"""`tlkit features`: what it says, and what it refuses before anything is computed."""

import pytest

from tests.cli.commands import refused, tlkit


@pytest.fixture(scope="module")
def options(weights_file):
    return ("--backbone", "mobilenet_025", "--weights", weights_file, "--image-size", "32")


def test_features_says_what_it_wrote_and_writes_no_more(options, colors, tmp_path):
    out = tlkit("features", colors, *options, "-o", tmp_path / "f.csv").stdout
    assert out.startswith("36 images  ")
    assert "(30 train, 6 validation)" in out
    assert f"file        {tmp_path / 'f.csv'}" in out
    before = (tmp_path / "f.csv").read_bytes()
    assert "already exists" in refused(2, "features", colors, *options, "-o", tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["f.csv"]


def test_features_where_no_table_can_be_written_is_refused(options, colors, tmp_path):
    for path, words in (
        (colors / "f.npz", "is inside the image folder"),
        (tmp_path / "f.txt", ".npz"),
        (tmp_path / "no" / "f.csv", "is not a folder"),
    ):
        assert words in refused(2, "features", colors, *options, "-o", path)
        assert not path.exists()


def test_features_of_an_unknown_layer_names_the_nearest(options, colors, tmp_path):
    words = refused(2, "features", colors, *options, "--layer", "conv_pw_3_rel", "-o", tmp_path / "g.csv")
    assert "conv_pw_3_relu" in words
    assert list(tmp_path.iterdir()) == []


def test_features_of_a_run_refuses_what_is_the_runs_own(finetuned_run, colors, tmp_path):
    for mine in (("--image-size", "64"), ("--backbone", "resnet50"), ("--resize", "pad")):
        words = refused(2, "features", colors, "--run", finetuned_run.path, *mine, "-o", tmp_path / "g.csv")
        assert f"{mine[0]} is {mine[1]}" in words
    assert list(tmp_path.iterdir()) == []
