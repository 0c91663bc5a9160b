"""Classic pipelines as ONNX: descriptors or a network's features, their scaling, and the classifier."""

from collections.abc import Callable

import numpy as np

from tlkit.classic.base import Arrays
from tlkit.classic.distances import TIE
from tlkit.classic.pipeline import ScaledClassifier
from tlkit.errors import ModelError
from tlkit.export.onnx.graph import OnnxGraph

MIN_PROBABILITY = 1e-38  # whose logarithm is taken, as in `evaluation.calibration`


def write_classifier(graph: OnnxGraph, features: str, fitted: ScaledClassifier) -> str:
    """Add scaling and classifier, and give the name of float32 or double probabilities (batch, classes).

    Args:
        features: float32 (batch, values)
    """
    op, scaler = graph.op, fitted.scaler
    graph.scope = "scaler"
    scaled = op("Mul", op("Sub", features, scaler.mean), scaler.factor)
    if scaler.components is not None:
        scaled = op("MatMul", scaled, scaler.components.T)
    graph.scope = fitted.classifier
    scores = WRITERS[fitted.classifier](graph, scaled, fitted.arrays)
    if fitted.classifier in SCORES:
        scores = op("Softmax", op("Mul", graph.double(scores), graph.double(fitted.temperature)), axis=-1)
    return scores


def count_classes(fitted: ScaledClassifier) -> int:
    """Count the classes of a classifier, by classifying one vector of zeros."""
    return int(fitted.predict_proba(np.zeros((1, len(fitted.scaler.mean)), np.float32)).shape[1])


def write_temperature(graph: OnnxGraph, probabilities: str, temperature: float) -> str:
    """Add the temperature of a run, which divides the logarithms of probabilities; float32 (batch, classes)."""
    graph.scope = "calibration"
    if temperature == 1:
        return graph.single(probabilities)
    doubles = graph.double(graph.single(probabilities))
    logits = graph.op("Log", graph.op("Max", doubles, graph.double(MIN_PROBABILITY)))
    return graph.single(graph.op("Softmax", graph.op("Div", logits, graph.double(temperature)), axis=-1))


def _linear(graph: OnnxGraph, values: str, arrays: Arrays) -> str:
    return graph.op("Gemm", values, arrays["weights"].T, arrays["bias"])


def _logistic(graph: OnnxGraph, values: str, arrays: Arrays) -> str:
    return graph.op("Softmax", _linear(graph, values, arrays), axis=-1)


def _squared_distances(graph: OnnxGraph, values: str, others: str, lengths: np.ndarray) -> tuple[str, str]:
    """Compute squared distances of rows to others, and the squared lengths of rows, in double."""
    op, doubles = graph.op, graph.double(values)
    own = op("ReduceSum", op("Mul", doubles, doubles), graph.integers([-1]))
    products = op("MatMul", doubles, op("Transpose", others, perm=(1, 0)))
    sums = op("Add", own, graph.double(lengths.astype(np.float64)))
    distances = op("Sub", sums, op("Mul", products, graph.double(2.0)))
    return op("Max", distances, graph.double(0.0)), own


def _rbf_svm(graph: OnnxGraph, values: str, arrays: Arrays) -> str:
    op = graph.op
    distances, _ = _squared_distances(graph, values, graph.double(arrays["vectors"]), arrays["lengths"])
    kernel = op("Exp", op("Mul", distances, graph.double(-float(arrays["gamma"]))))
    first, second = np.triu_indices(len(arrays["per_class"]), 1)
    weights = pair_weights(arrays)
    pairs = op("Add", op("MatMul", kernel, graph.double(weights)), graph.double(arrays["bias"].astype(np.float64)))
    classes = np.arange(len(arrays["per_class"]))
    is_first, is_second = (np.equal.outer(side, classes).astype(np.float64) for side in (first, second))
    margins = op("MatMul", pairs, graph.double(is_first - is_second))
    if len(classes) == 2:
        return op("Mul", margins, graph.double(-0.5))  # scikit-learn turns the sign for two classes
    wins = graph.double(op("GreaterOrEqual", pairs, graph.double(0.0)))  # the first of an undecided pair wins
    losses = op("Sub", graph.double(1.0), wins)
    votes = op("Add", op("MatMul", wins, graph.double(is_first)), op("MatMul", losses, graph.double(is_second)))
    bound = op("Mul", op("Add", op("Abs", margins), graph.double(1.0)), graph.double(3.0))
    return op("Add", votes, op("Div", margins, bound))


def pair_weights(arrays: Arrays) -> np.ndarray:
    """Give the weight of each support vector in each pair of classes: float64 (vectors, pairs)."""
    first, second = np.triu_indices(len(arrays["per_class"]), 1)
    owner = np.repeat(np.arange(len(arrays["per_class"])), arrays["per_class"])
    columns = [
        np.where(owner == one, arrays["weights"][other - 1], np.where(owner == other, arrays["weights"][one], 0.0))
        for one, other in zip(first, second, strict=True)
    ]
    return np.stack(columns, axis=1)


def _knn(graph: OnnxGraph, values: str, arrays: Arrays) -> str:
    op, count = graph.op, min(int(arrays["neighbors"]), len(arrays["rows"]))
    distances, own = _squared_distances(graph, values, graph.double(arrays["rows"]), arrays["lengths"])
    nearest, _ = graph.add("TopK", [op("Neg", distances), graph.integers([count])], outputs=2, axis=-1)
    farthest = op("Neg", op("ReduceMin", nearest, axes=[-1]))
    slack = op("Mul", op("Add", own, graph.double(float(arrays["lengths"].mean()))), graph.double(TIE))
    is_near = op("LessOrEqual", distances, op("Add", farthest, slack))
    votes = np.eye(int(arrays["labels"].max()) + 1, dtype=np.float32)[arrays["labels"]]
    counts = op("MatMul", graph.single(is_near), votes)
    return op("Div", counts, op("ReduceSum", counts, graph.integers([-1])))


def _forest(graph: OnnxGraph, values: str, arrays: Arrays) -> str:
    """Add all trees as one node; a float32 is at most a threshold if it is at most the float32 below it."""
    number, sizes = len(arrays["roots"]), np.diff([*arrays["roots"], len(arrays["feature"])])
    if arrays["roots"][0] != 0 or sizes.min() < 1:
        raise ModelError("the forest cannot be written as ONNX: its trees are not one after the other.")
    tree = np.repeat(np.arange(number), sizes)
    node = np.arange(len(tree)) - arrays["roots"][tree]
    is_leaf = arrays["feature"] < 0
    single = arrays["threshold"].astype(np.float32)
    single = np.where(single > arrays["threshold"], np.nextafter(single, np.float32(-np.inf)), single)
    leaves, classes = np.flatnonzero(is_leaf), arrays["probabilities"].shape[1]
    children = {side: np.where(is_leaf, 0, arrays[side] - arrays["roots"][tree]).tolist() for side in ("left", "right")}
    return graph.op(
        "TreeEnsembleRegressor",
        values,
        aggregate_function="SUM",
        n_targets=classes,
        nodes_treeids=tree.tolist(),
        nodes_nodeids=node.tolist(),
        nodes_featureids=np.maximum(arrays["feature"], 0).tolist(),
        nodes_modes=["LEAF" if leaf else "BRANCH_LEQ" for leaf in is_leaf],
        nodes_values=np.where(is_leaf, 0, single).tolist(),
        nodes_truenodeids=children["left"],
        nodes_falsenodeids=children["right"],
        target_treeids=np.repeat(tree[leaves], classes).tolist(),
        target_nodeids=np.repeat(node[leaves], classes).tolist(),
        target_ids=np.tile(np.arange(classes), len(leaves)).tolist(),
        target_weights=(arrays["probabilities"][leaves] / number).ravel().tolist(),
    )


def _naive_bayes(graph: OnnxGraph, values: str, arrays: Arrays) -> str:
    op = graph.op
    means, variances, priors = (arrays[name].astype(np.float64) for name in ("means", "variances", "priors"))
    differences = op("Sub", op("Unsqueeze", graph.double(values), graph.integers([1])), graph.double(means))
    squared = op("Div", op("Mul", differences, differences), graph.double(variances))
    constants = np.log(priors) - 0.5 * np.log(2 * np.pi * variances).sum(axis=1)
    sums = op("Squeeze", op("ReduceSum", squared, graph.integers([-1])), graph.integers([-1]))
    return op("Softmax", op("Sub", graph.double(constants), op("Mul", sums, graph.double(0.5))), axis=-1)


SCORES = ("perceptron", "linear-svm", "rbf-svm")  # whose scores are no probabilities
WRITERS: dict[str, Callable[[OnnxGraph, str, Arrays], str]] = {
    "perceptron": _linear,
    "logistic": _logistic,
    "linear-svm": _linear,
    "rbf-svm": _rbf_svm,
    "knn": _knn,
    "random-forest": _forest,
    "naive-bayes": _naive_bayes,
}
