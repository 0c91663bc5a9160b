"""Where a network can be cut, which cut an option means, and what is trained above it."""

import numpy as np
import pytest

from tests.networks import build_backbone, keras, lazy_functions, random_pixels, run_network, shared_body
from tlkit.errors import OptionError
from tlkit.models.backbones import BACKBONES

batch_norm_names, choose_cut, cut_points, freeze, multiply_adds_above, split_at, trainable_fraction = lazy_functions(
    *(
        "tlkit.models.cut",
        "batch_norm_names",
        "choose_cut",
        "cut_points",
        "freeze",
        "multiply_adds_above",
        "split_at",
        "trainable_fraction",
    )
)
Head, attach_head = lazy_functions("tlkit.models.head", "Head", "attach_head")
FAMILIES = (
    *("convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_b0", "inception_v3", "inception_resnet_v2"),
    *("nasnet_mobile", "resnet50", "resnet50_v2", "vgg16", "xception"),
)


def names(model):
    return [cut.name for cut in cut_points(model)]


def residual():
    """in - stem - (a - b | skip) - add - out."""
    source = keras.Input((8, 8, 3), name="in")
    stem = keras.layers.Conv2D(4, 3, padding="same", name="stem")(source)
    inner = keras.layers.ReLU(name="b")(keras.layers.Conv2D(4, 3, padding="same", name="a")(stem))
    joined = keras.layers.Add(name="add")([inner, stem])
    return keras.Model(source, keras.layers.GlobalAveragePooling2D(name="out")(joined))


def test_cut_points_residual_are_around_branch():
    cuts = cut_points(residual())
    assert [(cut.index, cut.name, cut.shape) for cut in cuts] == [
        (0, "in", (8, 8, 3)),
        (1, "stem", (8, 8, 4)),
        (2, "add", (8, 8, 4)),
        (3, "out", (4,)),
    ]


def test_cut_points_chain_are_all_layers():
    source = keras.Input((4,), name="in")
    last = keras.layers.Dense(2, name="third")(
        keras.layers.Dense(3, name="second")(keras.layers.Dense(3, name="first")(source))
    )
    assert names(keras.Model(source, last)) == ["in", "first", "second", "third"]


def test_cut_points_open_branches_leave_input_and_output():
    source = keras.Input((8, 8, 3), name="in")
    left, right = (keras.layers.Conv2D(4, 3, padding="same", name=name)(source) for name in ("left", "right"))
    deeper = keras.layers.ReLU(name="deeper")(left)
    joined = keras.layers.Concatenate(name="join")([deeper, right])
    assert names(keras.Model(source, joined)) == ["in", "join"]


def test_cut_points_input_used_late_leaves_none_between():
    source = keras.Input((4,), name="in")
    middle = keras.layers.Dense(4, name="b")(keras.layers.Dense(4, name="a")(source))
    assert names(keras.Model(source, keras.layers.Add(name="sum")([middle, source]))) == ["in", "sum"]


def test_cut_points_shared_layer_counts_twice():
    source = keras.Input((4,), name="in")
    dense = keras.layers.Dense(4, name="shared")
    assert names(keras.Model(source, dense(dense(source)))) == ["in", "shared", "shared"]


def test_cut_points_tensor_added_to_itself_is_one():
    source = keras.Input((4,), name="in")
    middle = keras.layers.Dense(4, name="a")(source)
    assert names(keras.Model(source, keras.layers.Add(name="twice")([middle, middle]))) == ["in", "a", "twice"]


def test_cut_points_are_same_in_every_build():
    cuts = [cut_points(build_backbone(BACKBONES["mobilenet_025"], "none", 32)) for _ in range(2)]
    assert [(cut.index, cut.shape) for cut in cuts[0]] == [(cut.index, cut.shape) for cut in cuts[1]]


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v2_035",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("mobilenet_025", "mobilenet_v3_small_075", *FAMILIES)
        ),
    ],
)
def test_split_at_middle_joined_again_is_whole(name):
    spec = BACKBONES[name]
    body = build_backbone(spec, "none", spec.min_size)
    cuts = cut_points(body)
    assert len(cuts) > 3
    assert (cuts[0].tensor is body.input, cuts[-1].tensor is body.output) == (True, True)
    pixels = random_pixels(2, spec.min_size, kind=np.float32)
    extractor, top = split_at(body, cuts[len(cuts) // 2].tensor)
    joined = run_network(top, run_network(extractor, pixels))
    np.testing.assert_array_equal(joined, run_network(body, pixels))


def test_split_at_top_of_extractor_is_whole_bit_for_bit():
    body, pixels = shared_body(), random_pixels(8, 64, kind=np.float32)
    expected = run_network(body, pixels)
    cuts = {cut.name: cut for cut in cut_points(body)}
    for name in ("conv1_relu", "conv_pw_6_relu", "conv_pw_11_relu"):
        extractor, top = split_at(body, cuts[name].tensor)
        at_cut = run_network(extractor, pixels)
        assert at_cut.shape[1:] == cuts[name].shape
        np.testing.assert_array_equal(run_network(top, at_cut), expected)


def test_split_at_parts_share_variables_of_whole():
    body = build_backbone(BACKBONES["mobilenet_025"], "none", 32)
    cut = next(cut for cut in cut_points(body) if cut.name == "conv_pw_6_relu")
    extractor, top = split_at(body, cut.tensor)
    whole = {id(variable) for variable in body.variables}
    of_extractor, of_top = ({id(variable) for variable in part.variables} for part in (extractor, top))
    assert of_extractor | of_top == whole
    assert not of_extractor & of_top


# freezing


@pytest.fixture(scope="module")
def classifier():
    body = build_backbone(BACKBONES["mobilenet_025"], "none", 32)
    return body, attach_head(body, Head(0.5, True, (8,)), 3)


def trainable_layers(model):
    return {variable.path.split("/")[-2] for variable in model.trainable_variables}


def with_weights(model):
    return {layer.name for layer in model.layers if layer.weights}


def test_freeze_trains_exactly_layers_of_top(classifier):
    body, whole = classifier
    for name in ("conv_pw_6_relu", "conv1", "features", "conv_pw_11_bn"):
        cut = next(cut for cut in cut_points(body) if cut.name == name)
        extractor, top = split_at(whole, cut.tensor)
        freeze(whole, extractor.layers)
        assert trainable_layers(whole) == with_weights(top) == trainable_layers(top)


def test_freeze_keeps_batch_norms_of_backbone_only(classifier):
    body, whole = classifier
    cut = next(cut for cut in cut_points(body) if cut.name == "conv_pw_6_relu")
    extractor, top = split_at(whole, cut.tensor)
    freeze(whole, extractor.layers, batch_norm_names(body))
    assert trainable_layers(whole) == with_weights(top) - batch_norm_names(body)
    assert "head_batch_norm" in trainable_layers(whole)
    assert len(batch_norm_names(body)) == 27


def test_freeze_again_leaves_nothing_behind(classifier):
    body, whole = classifier
    freeze(whole, body.layers)
    assert trainable_layers(whole) == {"head_batch_norm", "head_hidden", "head_linear", "head_logits"}
    freeze(whole, [])
    assert trainable_layers(whole) == with_weights(whole)
    freeze(whole, body.layers)
    assert trainable_layers(whole) == {"head_batch_norm", "head_hidden", "head_linear", "head_logits"}


@pytest.mark.slow
def test_freeze_never_trains_caffe_preprocessing():
    body = build_backbone(BACKBONES["vgg16"], "none", 32)
    freeze(body, [])
    assert "preprocessing" not in trainable_layers(body)
    assert trainable_layers(body) == with_weights(body) - {"preprocessing"}


# which cut an option means


def chosen(wanted, body=None):
    body = body or shared_body()
    return choose_cut(body, cut_points(body), wanted)


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("mobilenet_v2", 96, "block_6_project_BN"),
        ("vgg16", 64, "block5_conv1"),
        pytest.param("mobilenet_v2", 224, "block_6_project_BN", marks=pytest.mark.slow),
        pytest.param("resnet50", 64, "conv4_block6_out", marks=pytest.mark.slow),
        pytest.param("densenet121", 64, "pool3_pool", marks=pytest.mark.slow),
    ],
)
def test_choose_cut_auto_is_before_last_stage(name, size, expected):
    body = build_backbone(BACKBONES[name], "none", size)
    cut = chosen("auto", body)
    assert cut.name == expected
    assert 0.25 <= trainable_fraction(body, cut) < 1


def test_multiply_adds_above_leave_out_what_is_below():
    source = keras.Input((8, 8, 3))
    low = keras.layers.Conv2D(4, 3, padding="same", name="low")(source)
    middle = keras.layers.SeparableConv2D(5, 3, strides=2, padding="same", name="middle")(low)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(middle)
    body = keras.Model(source, keras.layers.Dense(7, name="high")(pooled))
    cuts = {cut.name: cut for cut in cut_points(body)}
    work = multiply_adds_above(body, [cuts[name] for name in ("low", "middle", "pooled", "high")])
    assert work == [16 * (9 * 4 + 4 * 5) + 5 * 7, 5 * 7, 5 * 7, 0]


def test_choose_cut_takes_name():
    assert chosen("conv_pw_5_relu").name == "conv_pw_5_relu"


def test_choose_cut_fraction_is_nearest():
    names_in_order = [layer.name for layer in shared_body().layers]
    for fraction in (0.2, 0.5, 0.8):
        position = names_in_order.index(chosen(str(fraction)).name) / len(names_in_order)
        assert abs(position - fraction) < 0.03


def test_choose_cut_unknown_is_refused_with_command_that_lists_them():
    for wanted in ("conv_pw_5_rel", "0", "1", "1.5", "-0.5", "nan", "", "features"):
        with pytest.raises(OptionError, match=r"tlkit models mobilenet_025 --cuts"):
            chosen(wanted)


def test_choose_cut_auto_without_inner_cuts_is_refused():
    source = keras.Input((8, 8, 3))
    left, right = (keras.layers.Conv2D(4, 3, strides=2)(source) for _ in range(2))
    joined = keras.layers.GlobalAveragePooling2D(name="pooled")(keras.layers.Add()([left, right]))
    with pytest.raises(OptionError, match="use --freeze all or none"):
        chosen("auto", keras.Model(source, joined))


@pytest.mark.slow
def test_choose_cut_auto_nasnet_is_refused():
    body = build_backbone(BACKBONES["nasnet_mobile"], "none", 32)
    with pytest.raises(OptionError, match="use --freeze all or none"):
        chosen("auto", body)
