"""Vectors of classic classifiers: handcrafted or deep, read once, cached."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

from tests.networks import run_network
from tlkit.classic.descriptors import DESCRIPTORS
from tlkit.data.folder import read_folder
from tlkit.data.image import ImageSpec, decode_square
from tlkit.engines.base import EngineSpec
from tlkit.errors import OptionError
from tlkit.features import vectors
from tlkit.features.vectors import DEEP_GROUP, compute_deep, compute_handcrafted
from tlkit.models.backbones import BACKBONES
from tlkit.models.sources import PretrainedBackbone
from tlkit.runs.run import Run
from tlkit.utils.progress import Silent

pytestmark = pytest.mark.usefixtures("cache")

SIZE = 32


@pytest.fixture(scope="module")
def folder(colors):
    """The colored squares with their hashes, as every pass over a folder leaves them."""
    return handcrafted(read_folder(colors), ("colors",)).features.folder


class Counted(Silent):
    """Counts the images that descriptors are computed of."""

    def __init__(self):
        self.passes = []

    def stage(self, name, total, unit):
        self.passes.append(name)
        return super().stage(name, total, unit)


def handcrafted(folder, names, levels=1, progress=None):
    descriptors = [(DESCRIPTORS[name], SIZE) for name in names]
    return compute_handcrafted(folder, descriptors, levels, ImageSpec(SIZE), progress or Silent())


def test_compute_handcrafted_gives_each_descriptor_side_by_side(folder):
    names = ("colors", "histogram")
    both = handcrafted(folder, names).load(folder, Silent())
    alone = [handcrafted(folder, (name,)).load(folder, Silent()) for name in names]
    assert both.dtype == np.float32
    np.testing.assert_array_equal(both, np.concatenate(alone, axis=1))
    pixels = decode_square((folder.root / folder.paths[5]).read_bytes(), ImageSpec(SIZE))
    pipeline = handcrafted(folder, names).descriptors()
    assert pipeline.descriptors == names
    np.testing.assert_allclose(
        both[5], np.concatenate([DESCRIPTORS[name].compute(pixels) for name in names]), rtol=1e-5
    )


def test_compute_handcrafted_reads_once_what_differs_only_in_its_encoding(folder):
    progress = Counted()
    both = handcrafted(folder, ("bow", "fisher"), progress=progress)
    assert len(progress.passes) == 1
    assert both.by_descriptor[0] is both.by_descriptor[1]
    assert handcrafted(folder, ("bow",)).features.num_cached == len(folder)


def test_features_of_handcrafted_is_that_of_which_most_was_cached(folder):
    handcrafted(folder, ("histogram",))
    both = handcrafted(folder, ("colors", "histogram"))
    assert [features.num_cached for features in both.by_descriptor] == [0, len(folder)]
    assert both.features.num_cached == len(folder)


def test_load_of_local_descriptors_needs_vocabularies_and_does_not_depend_on_neighbors(folder):
    fitted = handcrafted(folder, ("bow",), levels=2).fit_vocabularies(folder, 0, Silent())
    together = fitted.load(folder, Silent())
    assert together.shape == (len(folder), fitted.column_groups(folder)[0].columns.stop)
    np.testing.assert_array_equal(fitted.load(folder.subset([7]), Silent())[0], together[7])
    assert fitted.load(folder.subset([]), Silent()).shape[0] == 0
    again = handcrafted(folder, ("bow",), levels=2).fit_vocabularies(folder, 0, Silent())
    np.testing.assert_array_equal(again.load(folder, Silent()), together)


def test_load_of_more_than_memory_holds_is_refused(folder, monkeypatch):
    fitted = handcrafted(folder, ("bow",)).fit_vocabularies(folder, 0, Silent())
    monkeypatch.setattr(vectors, "MAX_VECTOR_BYTES", 1000)
    with pytest.raises(OptionError) as caught:
        fitted.load(folder, Silent())
    assert all(word in str(caught.value) for word in (" 36 ", "--pyramid", "bow"))


def test_column_groups_are_one_per_descriptor(folder):
    both = handcrafted(folder, ("colors", "histogram"))
    groups = both.column_groups(folder)
    assert [group.name for group in groups] == ["colors", "histogram"]
    assert groups[0].columns.stop == groups[1].columns.start
    assert groups[1].columns.stop == both.load(folder.subset([0]), Silent()).shape[1]


def test_select_keeps_some_of_the_descriptors(folder):
    both = handcrafted(folder, ("colors", "histogram"))
    one = both.select(["histogram"])
    assert one.descriptors().descriptors == ("histogram",)
    np.testing.assert_array_equal(
        one.load(folder, Silent()), handcrafted(folder, ("histogram",)).load(folder, Silent())
    )


def test_save_of_handcrafted_writes_nothing(folder, tmp_path):
    (tmp_path / "run").mkdir()
    assert handcrafted(folder, ("colors",)).save(Run(tmp_path / "run")) == ()
    assert list((tmp_path / "run").iterdir()) == []


def test_compute_deep_gives_what_the_network_gives_and_saves_it(folder, weights_file, tmp_path):
    source = PretrainedBackbone(BACKBONES["mobilenet_025"], str(weights_file), SIZE)
    deep = compute_deep(folder, source, ImageSpec(SIZE), EngineSpec("litert"), Silent())
    first = folder.subset(range(4))
    values = deep.load(first, Silent())
    pixels = np.stack([decode_square(file.read_bytes(), ImageSpec(SIZE)) for file in first.files]).astype(np.float32)
    np.testing.assert_allclose(values, run_network(source.build(), pixels), atol=1e-3)
    (group,) = deep.column_groups(folder)
    assert (group.name, group.columns, deep.descriptors()) == (DEEP_GROUP, slice(0, values.shape[1]), None)
    assert deep.fit_vocabularies(folder, 0, Silent()) is deep.select([DEEP_GROUP]) is deep
    (stage,) = deep.save(Run(tmp_path))
    assert (stage.file, stage.engine, stage.precision) == ("engine/lower.tflite", "litert", "float32")
    assert (tmp_path / stage.file).read_bytes() == deep.extractor.file.read_bytes()
