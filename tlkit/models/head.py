"""The head on a backbone: one flat model of standard layers, which plain Keras opens."""

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from tlkit.models.graph import averaged_map, topological_order
from tlkit.models.map_grid import find_grid

GRID = "grid"  # the array with start and step of a `MapGrid`
MOMENTUM, EPSILON = 0.9, 1e-3  # of its batch norm
HEAD_PREFIX = "head_"  # of the names of its layers


@dataclass(frozen=True)
class Head:
    """The layers from features to probabilities.

    Attributes:
        dropout: fraction of the features dropped while training
        batch_norm: whether a batch norm standardizes the features first
        hidden: units of the hidden layers, with a linear layer beside them; () for the linear layer alone
        l1, l2: penalties on the weights of its dense layers, not on biases and the batch norm
    """

    dropout: float
    batch_norm: bool
    hidden: tuple[int, ...]
    l1: float = 0.0
    l2: float = 0.0

    def dense(self, units: int, name: str, **options: Any) -> Any:
        """Make one of its dense layers, with the penalties."""
        import keras

        penalty = keras.regularizers.L1L2(self.l1, self.l2) if self.l1 or self.l2 else None
        return keras.layers.Dense(units, kernel_regularizer=penalty, name=name, **options)


def attach_head(body: Any, head: Head, num_classes: int) -> Any:
    """Put a new head on a backbone: one model that shares the backbone's variables.

    Its input is float32 (batch, image_size, image_size, 3), RGB, 0 to 255; its output float32 (batch, num_classes),
    each row sums to 1.

    The logits of a linear layer on the plain features are added to those of the hidden layers on
    standardized features ("wide and deep", Cheng 2016): the first is better with few images, the
    second with many (docs/decisions/004). Both start at zero, so the first loss is ln(num_classes)
    for any features.
    """
    import keras

    features = body.output
    logits = head.dense(num_classes, "head_logits", kernel_initializer="zeros")(_hidden_layers(head, features))
    if head.hidden:
        wide = head.dense(num_classes, "head_linear", kernel_initializer="zeros", use_bias=False)(features)
        logits = keras.layers.Add(name="head_sum")([logits, wide])
    return keras.Model(body.input, keras.layers.Softmax(name="probabilities")(logits), name="classifier")


def has_head(model: Any) -> bool:
    """Tell whether a network ends with a head of `attach_head`."""
    return any(layer.name.startswith(HEAD_PREFIX) for layer in model.layers)


def split_head(model: Any) -> tuple[Any, Any]:
    """Split a classifier at its features, the input of its head: both parts share its variables.

    Args:
        model: pixels, activations or features to probabilities, with a head of `attach_head`

    Returns:
        The body, None where the input is the features already; and the head, from features to probabilities
    """
    import keras

    layers = [(layer, inputs) for layer, inputs, _ in topological_order(model.output)]
    features = next(inputs[0] for layer, inputs in layers if layer.name.startswith(HEAD_PREFIX))
    if features is model.input:
        return None, model
    return keras.Model(model.input, features, name="body"), keras.Model(features, model.output, name="head")


def head_arrays(classifier: Any) -> dict[str, np.ndarray]:
    """Give the weights of a classifier's head, from which its gradient is computed without Keras.

    Args:
        classifier: pixels to probabilities, with a head of `attach_head`

    Returns:
        float32 arrays: `scale` and `offset` (features,) of its batch norm; `kernel_1`, `bias_1`, ... of its hidden
        layers; `kernel` (values, classes) and `bias` (classes,) of its logits; `linear` (features, classes) of the
        linear layer beside hidden ones; `grid` (2,): start and step of the feature map whose averages are the first
        features. What the classifier does not have is left out.
    """
    body, head = split_head(classifier)
    arrays = dict[str, np.ndarray]()
    names = {layer.name: layer for layer in head.layers}
    if norm := names.get("head_batch_norm"):
        gamma, beta, mean, variance = (np.asarray(weight, np.float64) for weight in norm.get_weights())
        scale = gamma / np.sqrt(variance + norm.epsilon)
        arrays |= {"scale": scale, "offset": beta - mean * scale}
    hidden = [layer for name, layer in names.items() if name.startswith("head_hidden")]
    for index, layer in enumerate(hidden, 1):
        arrays[f"kernel_{index}"], arrays[f"bias_{index}"] = layer.get_weights()
    arrays["kernel"], arrays["bias"] = names["head_logits"].get_weights()
    if linear := names.get("head_linear"):
        arrays["linear"] = linear.get_weights()[0]
    if body is not None and (maps := averaged_map(body)) is not None:
        arrays[GRID] = np.array(astuple(find_grid(body, maps)))
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def _hidden_layers(head: Head, values: Any) -> Any:
    """Standardize the features, pass them through the hidden layers and drop some, each where the head has it."""
    import keras

    if head.batch_norm:
        values = keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name="head_batch_norm")(values)
    for index, units in enumerate(head.hidden):
        values = head.dense(units, f"head_hidden_{index + 1}" if index else "head_hidden", activation="relu")(values)
    return keras.layers.Dropout(head.dropout, name="head_dropout")(values) if head.dropout else values
