"""Backbone and head as one flat model of standard layers, which plain Keras opens."""

from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Head:
    """What stands on top of the features.

    dropout     share of the features dropped while training
    batch_norm  whether features are standardized by a batch norm first
    hidden      units of one hidden layer, 0 for none
    """

    dropout: float
    batch_norm: bool
    hidden: int


def attach_head(body: keras.Model, head: Head, num_classes: int) -> keras.Model:
    """The body and a new head as one model that shares the body's variables.

    in:  float32 (batch, image_size, image_size, 3), RGB, 0 to 255
    out: float32 (batch, num_classes), each row sums to 1

    The last layer starts at zero, so the first loss is ln(num_classes) whatever the features.
    """
    values = body.output
    for layer in _layers(head, num_classes):
        values = layer(values)
    return keras.Model(body.input, values, name="classifier")


def _layers(head: Head, num_classes: int) -> list[Any]:
    layers: list[Any] = []
    if head.batch_norm:
        layers.append(keras.layers.BatchNormalization(momentum=0.9, name="head_batch_norm"))
    if head.hidden:
        layers.append(keras.layers.Dense(head.hidden, activation="relu", name="head_hidden"))
    if head.dropout:
        layers.append(keras.layers.Dropout(head.dropout, name="head_dropout"))
    last = keras.layers.Dense(num_classes, kernel_initializer="zeros", activation="softmax", name="probabilities")
    return [*layers, last]
