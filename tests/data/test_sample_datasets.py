import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlkit.data.folder import read_folder
from tlkit.data.sample_datasets import write_digits
from tlkit.errors import OptionError

datasets = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples") / "digits"
    assert write_digits(folder) == 1797
    return folder


def refused(folder):
    with pytest.raises(OptionError) as caught:
        write_digits(folder)
    return str(caught.value)


def test_the_digits_are_a_folder_of_ten_classes(digits):
    folder = read_folder(digits)
    assert folder.class_names == tuple("0123456789")
    assert np.bincount(folder.labels).tolist() == np.bincount(datasets.load_digits().target).tolist()


def test_the_digits_are_named_by_their_number_in_the_source(digits):
    target = datasets.load_digits().target
    names = {f"{label}/digit_{number:04}.png" for number, label in enumerate(target, start=1)}
    assert {str(path.relative_to(digits).as_posix()) for path in digits.rglob("*.png")} == names


def test_a_digit_is_gray_and_black_on_white(digits):
    with Image.open(digits / "0" / "digit_0001.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (32, 32))
        assert image.getpixel((0, 0)) == 255
        assert image.getextrema()[0] < 40


def test_a_digit_reduced_again_is_the_source(digits):
    source = datasets.load_digits()
    with Image.open(digits / str(source.target[99]) / "digit_0100.png") as image:
        again = 16 - np.asarray(image.reduce(4)) * (16 / 255)
    assert np.abs(again - source.images[99]).mean() < 1


def test_only_the_finished_folder_is_left(digits):
    assert list(digits.parent.iterdir()) == [digits]


def test_an_empty_folder_is_refused_even_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "already exists" in refused(Path())
    assert "already exists" in refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_link_is_refused_and_nothing_is_written_through_it(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "already exists" in refused(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_missing_parents_are_made(tmp_path):
    write_digits(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "9").is_dir()


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert refused(tmp_path) == f"'{tmp_path}' already exists; choose a new folder."
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.txt"]


def test_a_file_in_the_way_is_refused_and_left_alone(tmp_path):
    file = tmp_path / "taken"
    file.write_text("mine")
    assert "already exists" in refused(file)
    assert file.read_text() == "mine"


def test_a_folder_below_a_file_is_refused_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(tmp_path / "file" / "digits")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_without_scikit_learn_the_message_names_what_installs_it(tmp_path):
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from pathlib import Path; from tlkit.data.sample_datasets import write_digits\n"
        "from tlkit.errors import ModelError\n"
        "try: write_digits(Path(sys.argv[1]))\n"
        "except ModelError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "digits")], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install 'tlkit[samples]'" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_no_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from PIL import Image\n"
        "from tlkit.data.sample_datasets import write_digits\n"
        "parent, save = Path(sys.argv[1]), Image.Image.save\n"
        "def save_and_interrupt(image, *args, **options):\n"
        "    save(image, *args, **options)\n"
        "    raise KeyboardInterrupt\n"
        "Image.Image.save = save_and_interrupt\n"
        "try: write_digits(parent / 'digits')\n"
        "except KeyboardInterrupt: print('interrupted')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "interrupted"
    assert list(tmp_path.iterdir()) == []
