"""Keras to LiteRT: trace with a batch of one, freeze the variables, convert."""

from typing import Any

from tlkit.models.backend import silenced_stderr


def to_litert(network: Any, pixels: bool) -> bytes:
    """A Keras model as the bytes of a `.tflite` file with a batch of one, in float32.

    pixels: the input is uint8, as decoded; else float32, as features are
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shape = (1, *network.input.shape[1:])
    source = tf.TensorSpec(shape, tf.uint8 if pixels else tf.float32)
    with silenced_stderr():
        traced = tf.function(lambda rows: network(tf.cast(rows, tf.float32), training=False))
        frozen = convert_variables_to_constants_v2(traced.get_concrete_function(source))
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())
