"""Backbone and head as one flat model of standard layers, which plain Keras opens."""

from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Head:
    """What stands on top of the features.

    dropout     share of the features dropped while training
    batch_norm  whether features are standardized by a batch norm first
    hidden      units of one hidden layer, with a linear layer beside it; 0 for the linear layer alone
    """

    dropout: float
    batch_norm: bool
    hidden: int


def attach_head(body: keras.Model, head: Head, num_classes: int) -> keras.Model:
    """The body and a new head as one model that shares the body's variables.

    in:  float32 (batch, image_size, image_size, 3), RGB, 0 to 255
    out: float32 (batch, num_classes), each row sums to 1

    A linear layer on the features as they are stands beside the hidden one on standardized
    features, and their logits are added ("wide and deep", Cheng 2016): few images are learnt best
    by the first, many by the second (docs/decisions/004). Both start at zero, so the first loss
    is ln(num_classes) whatever the features.
    """
    features = body.output
    logits = _last(num_classes, "head_logits")(_deep(head, features))
    if head.hidden:
        wide = _last(num_classes, "head_linear", use_bias=False)(features)
        logits = keras.layers.Add(name="head_sum")([logits, wide])
    return keras.Model(body.input, keras.layers.Softmax(name="probabilities")(logits), name="classifier")


def _deep(head: Head, values: Any) -> Any:
    """What the last layer sees: features standardized, hidden and dropped out as the head says."""
    if head.batch_norm:
        values = keras.layers.BatchNormalization(momentum=0.9, name="head_batch_norm")(values)
    if head.hidden:
        values = keras.layers.Dense(head.hidden, activation="relu", name="head_hidden")(values)
    return keras.layers.Dropout(head.dropout, name="head_dropout")(values) if head.dropout else values


def _last(num_classes: int, name: str, use_bias: bool = True) -> keras.layers.Layer:
    return keras.layers.Dense(num_classes, use_bias=use_bias, kernel_initializer="zeros", name=name)
