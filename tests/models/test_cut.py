import numpy as np
import pytest

from tests.networks import keras, random_pixels, shared_body
from tlkit.errors import OptionError
from tlkit.models.backbones import BACKBONES
from tlkit.models.build import build_backbone
from tlkit.models.cut import batch_norm_names, choose_cut, cut_points, freeze, share_above, split_at
from tlkit.models.head import Head, attach_head

layers = keras.layers


def names(model):
    return [cut.name for cut in cut_points(model)]


def residual():
    """in - stem - (a - b | skip) - add - out."""
    source = keras.Input((8, 8, 3), name="in")
    stem = layers.Conv2D(4, 3, padding="same", name="stem")(source)
    inner = layers.ReLU(name="b")(layers.Conv2D(4, 3, padding="same", name="a")(stem))
    joined = layers.Add(name="add")([inner, stem])
    return keras.Model(source, layers.GlobalAveragePooling2D(name="out")(joined))


def test_the_cuts_of_a_residual_graph_are_exactly_those_around_the_branch():
    cuts = cut_points(residual())
    assert [(cut.index, cut.name, cut.shape) for cut in cuts] == [
        (0, "in", (8, 8, 3)),
        (1, "stem", (8, 8, 4)),
        (2, "add", (8, 8, 4)),
        (3, "out", (4,)),
    ]


def test_a_chain_can_be_cut_after_every_layer():
    source = keras.Input((4,), name="in")
    last = layers.Dense(2, name="third")(layers.Dense(3, name="second")(layers.Dense(3, name="first")(source)))
    assert names(keras.Model(source, last)) == ["in", "first", "second", "third"]


def test_branches_that_stay_open_to_the_end_leave_only_input_and_output():
    source = keras.Input((8, 8, 3), name="in")
    left, right = (layers.Conv2D(4, 3, padding="same", name=name)(source) for name in ("left", "right"))
    deeper = layers.ReLU(name="deeper")(left)
    joined = layers.Concatenate(name="join")([deeper, right])
    assert names(keras.Model(source, joined)) == ["in", "join"]


def test_the_input_used_again_late_forbids_every_cut_between():
    source = keras.Input((4,), name="in")
    middle = layers.Dense(4, name="b")(layers.Dense(4, name="a")(source))
    assert names(keras.Model(source, layers.Add(name="sum")([middle, source]))) == ["in", "sum"]


def test_one_layer_used_twice_counts_at_each_place():
    source = keras.Input((4,), name="in")
    dense = layers.Dense(4, name="shared")
    assert names(keras.Model(source, dense(dense(source)))) == ["in", "shared", "shared"]


def test_a_tensor_added_to_itself_is_a_cut():
    source = keras.Input((4,), name="in")
    middle = layers.Dense(4, name="a")(source)
    assert names(keras.Model(source, layers.Add(name="twice")([middle, middle]))) == ["in", "a", "twice"]


def test_cut_points_have_the_same_ranks_in_every_build():
    cuts = [cut_points(build_backbone(BACKBONES["mobilenet_v3_small_075"], "none", 32)) for _ in range(2)]
    assert [(cut.index, cut.shape) for cut in cuts[0]] == [(cut.index, cut.shape) for cut in cuts[1]]


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_025",
        "mobilenet_v2_035",
        "mobilenet_v3_small_075",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                "convnext_tiny",
                "densenet121",
                "efficientnet_b0",
                "efficientnet_v2_b0",
                "inception_v3",
                "inception_resnet_v2",
                "nasnet_mobile",
                "resnet50",
                "resnet50_v2",
                "vgg16",
                "xception",
            )
        ),
    ],
)
def test_every_family_can_be_cut_and_joined_again(name):
    row = BACKBONES[name]
    body = build_backbone(row, "none", row.least_size)
    cuts = cut_points(body)
    assert len(cuts) > 3
    assert (cuts[0].tensor is body.input, cuts[-1].tensor is body.output) == (True, True)
    pixels = random_pixels(2, row.least_size, kind=np.float32)
    lower, upper = split_at(body, cuts[len(cuts) // 2].tensor)
    joined = upper.predict_on_batch(lower.predict_on_batch(pixels))
    np.testing.assert_array_equal(joined, body.predict_on_batch(pixels))


@pytest.mark.parametrize("name", ["conv1_relu", "conv_pw_6_relu", "conv_pw_11_relu"])
def test_upper_of_lower_is_the_whole_bit_for_bit(name):
    body = shared_body()
    pixels = random_pixels(8, 64, kind=np.float32)
    cut = next(cut for cut in cut_points(body) if cut.name == name)
    lower, upper = split_at(body, cut.tensor)
    at_cut = lower.predict_on_batch(pixels)
    assert at_cut.shape[1:] == cut.shape
    np.testing.assert_array_equal(upper.predict_on_batch(at_cut), body.predict_on_batch(pixels))


def test_the_parts_share_the_variables_of_the_whole():
    body = build_backbone(BACKBONES["mobilenet_025"], "none", 32)
    cut = next(cut for cut in cut_points(body) if cut.name == "conv_pw_6_relu")
    lower, upper = split_at(body, cut.tensor)
    whole = {id(variable) for variable in body.variables}
    below, above = ({id(variable) for variable in part.variables} for part in (lower, upper))
    assert below | above == whole
    assert not below & above


# freezing


@pytest.fixture(scope="module")
def classifier():
    body = build_backbone(BACKBONES["mobilenet_025"], "none", 32)
    return body, attach_head(body, Head(0.5, True, (8,)), 3)


def trainable_layers(model):
    return {variable.path.split("/")[-2] for variable in model.trainable_variables}


def with_weights(model):
    return {layer.name for layer in model.layers if layer.weights}


def test_exactly_the_layers_above_the_cut_become_trainable(classifier):
    body, whole = classifier
    for name in ("conv_pw_6_relu", "conv1", "features", "conv_pw_11_bn"):
        cut = next(cut for cut in cut_points(body) if cut.name == name)
        lower, upper = split_at(whole, cut.tensor)
        freeze(whole, lower.layers)
        assert trainable_layers(whole) == with_weights(upper) == trainable_layers(upper)


def test_kept_batch_norms_stay_frozen_and_the_heads_own_does_not(classifier):
    body, whole = classifier
    cut = next(cut for cut in cut_points(body) if cut.name == "conv_pw_6_relu")
    lower, upper = split_at(whole, cut.tensor)
    freeze(whole, lower.layers, batch_norm_names(body))
    assert trainable_layers(whole) == with_weights(upper) - batch_norm_names(body)
    assert "head_batch_norm" in trainable_layers(whole)
    assert len(batch_norm_names(body)) == 27


def test_freezing_and_unfreezing_leaves_nothing_behind(classifier):
    body, whole = classifier
    freeze(whole, body.layers)
    assert trainable_layers(whole) == {"head_batch_norm", "head_hidden", "head_linear", "head_logits"}
    freeze(whole, [])
    assert trainable_layers(whole) == with_weights(whole)
    freeze(whole, body.layers)
    assert trainable_layers(whole) == {"head_batch_norm", "head_hidden", "head_linear", "head_logits"}


@pytest.mark.slow
def test_the_preprocessing_of_caffe_networks_never_becomes_trainable():
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
        ("mobilenet_v2", 224, "block_9_add"),
        ("mobilenet_v2", 96, "block_9_add"),
        ("resnet50", 64, "conv4_block6_out"),
        ("vgg16", 64, "block5_conv1"),
        ("densenet121", 64, "conv4_block3_concat"),
    ],
)
def test_auto_cuts_before_the_last_stage(name, size, expected):
    body = build_backbone(BACKBONES[name], "none", size)
    cut = chosen("auto", body)
    assert cut.name == expected
    assert 0.25 <= share_above(body, cut) < 1


def test_a_cut_can_be_named():
    assert chosen("conv_pw_5_relu").name == "conv_pw_5_relu"


def test_a_share_of_the_layers_is_the_nearest_cut():
    places = [layer.name for layer in shared_body().layers]
    for share in (0.2, 0.5, 0.8):
        place = places.index(chosen(str(share)).name) / len(places)
        assert abs(place - share) < 0.03


@pytest.mark.parametrize("wanted", ["conv_pw_5_rel", "0", "1", "1.5", "-0.5", "nan", "", "features"])
def test_a_cut_that_is_none_is_refused_with_the_way_to_the_list(wanted):
    with pytest.raises(OptionError, match=r"tlkit models mobilenet_025 --cuts"):
        chosen(wanted)


def test_a_network_without_inner_cuts_says_what_is_left():
    body = build_backbone(BACKBONES["nasnet_mobile"], "none", 32)
    with pytest.raises(OptionError, match="choose --freeze all or none"):
        chosen("auto", body)
