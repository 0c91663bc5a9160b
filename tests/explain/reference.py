"""Grad-CAM through Keras and TensorFlow, in the shortest form of the paper, to compare with."""

import numpy as np

from tlkit.models.graph import averaged_map, topological_order
from tlkit.models.head import split_head


def keras_grad_cam(classifier, pixels, label):
    """Grad-CAM of a Keras classifier at the map whose averages are its features: float32 (height, width)."""
    import keras
    import tensorflow as tf

    body, _ = split_head(classifier)
    maps = averaged_map(body)
    (_, (logits,), _) = topological_order(classifier.output)[-1]
    model = keras.Model(classifier.input, [maps, logits])
    inputs = tf.cast(pixels[None], tf.float32)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        values, scores = model(inputs, training=False)
        score = scores[0, label]
    weights = tf.reduce_mean(tape.gradient(score, values), axis=(1, 2))[0]
    return np.maximum((values[0] @ weights[:, None])[..., 0].numpy(), 0)
