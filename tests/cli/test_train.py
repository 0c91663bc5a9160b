"""`tlkit train`: which options go together."""

from tests.cli.commands import misused, refused


def test_train_without_data_is_misused():
    assert "DATA" in misused("train")


def test_train_refuses_options_of_another_kind_of_training(colors, tmp_path):
    for typed, option, meant in (
        ("--classifier knn", "--classifier", "--descriptor"),
        ("--pca 3", "--pca", "--features"),
        ("--descriptor hog --epochs 3", "--epochs", "--descriptor"),
        ("--descriptor hog --weights none", "--weights", "--descriptor"),
        ("--descriptor hog --engine keras", "--engine", "--descriptor"),
        ("--features mobilenet_v2 --pyramid 2", "--pyramid", "--features"),
        ("--features mobilenet_v2 --model lenet5", "--model", "--features"),
    ):
        words = refused(2, "train", colors, "-o", tmp_path / "run", *typed.split())
        assert words.startswith(option), typed
        assert meant in words, typed
    assert list(tmp_path.iterdir()) == []


def test_train_with_both_descriptor_and_features_is_refused(colors, tmp_path):
    words = refused(2, "train", colors, "-o", tmp_path / "run", "--descriptor", "hog", "--features", "mobilenet_v2")
    assert "--features" in words
    assert list(tmp_path.iterdir()) == []
