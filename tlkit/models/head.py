"""The head on a backbone: both as one flat model of standard layers, which plain Keras opens."""

from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Head:
    """What stands on top of the features.

    dropout     share of the features dropped while training
    batch_norm  whether features are standardized by a batch norm first
    hidden      units of the hidden layers, with a linear layer beside them; () for the linear layer alone
    l1, l2      penalties on the weights of its layers, biases and batch norm spared
    """

    dropout: float
    batch_norm: bool
    hidden: tuple[int, ...]
    l1: float = 0.0
    l2: float = 0.0

    def dense(self, units: int, name: str, **options: Any) -> keras.layers.Layer:
        """One of its layers, with its penalties."""
        penalty = keras.regularizers.L1L2(self.l1, self.l2) if self.l1 or self.l2 else None
        return keras.layers.Dense(units, kernel_regularizer=penalty, name=name, **options)


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
    logits = head.dense(num_classes, "head_logits", kernel_initializer="zeros")(_deep(head, features))
    if head.hidden:
        wide = head.dense(num_classes, "head_linear", kernel_initializer="zeros", use_bias=False)(features)
        logits = keras.layers.Add(name="head_sum")([logits, wide])
    return keras.Model(body.input, keras.layers.Softmax(name="probabilities")(logits), name="classifier")


def _deep(head: Head, values: Any) -> Any:
    """What the last layer sees: features standardized, hidden and dropped out as the head says."""
    if head.batch_norm:
        values = keras.layers.BatchNormalization(momentum=0.9, name="head_batch_norm")(values)
    for place, units in enumerate(head.hidden):
        values = head.dense(units, f"head_hidden_{place + 1}" if place else "head_hidden", activation="relu")(values)
    return keras.layers.Dropout(head.dropout, name="head_dropout")(values) if head.dropout else values
