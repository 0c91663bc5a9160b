"""Features and heads of freeze all: one choice changed at a time, on the same splits.

    python benchmarks/heads.py DATA [DATA ...] --results FOLDER [--seeds 0 1 2] [--write]

A row is what the head is trained on, or another head. Features of each folder are computed once, of the plain and of
the mirrored image, at three depths, and kept in FOLDER. With --write the table goes between the marker lines of
docs/ablation.md.
"""

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measure import replace_between, say, table
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlkit.data.duplicates import group_images
from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.image import DecodedImage, decode_image
from tlkit.data.split import split_folder
from tlkit.engines.base import EngineSpec, ThreadedRunner
from tlkit.engines.factory import open_engine
from tlkit.engines.keras import to_litert
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune_recipe
from tlkit.training.head.fit import one_hot, plan_first
from tlkit.training.head.learner import HeadLearner
from tlkit.training.loop.batches import Samples
from tlkit.training.loop.fit import fit
from tlkit.training.network import NetworkRecipe
from tlkit.utils.parallel import count_workers, in_chunks, ordered_map, single_threaded_blas
from tlkit.utils.progress import Silent

FILE = Path(__file__).parents[1] / "docs" / "ablation.md"
MEMBERS = 3  # heads of an ensemble
COMPONENTS = 256  # that whitening keeps
Arrays = dict[str, np.ndarray]


def main() -> None:
    """Compute features, train every head on every split, and print the table."""
    parser = argparse.ArgumentParser(description="What each choice of features and of the head is worth.")
    parser.add_argument("data", type=Path, nargs="+", help="folders with one subfolder of images per class")
    parser.add_argument("--results", type=Path, required=True, help="a folder for features and accuracies")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--write", action="store_true", help="write docs/ablation.md")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    found = {data.resolve().name: measure(data, options.results, options.seeds) for data in options.data}
    rows = []
    for name in ARMS:
        cells = [[accuracies[name][str(seed)] for seed in options.seeds] for accuracies in found.values()]
        rows.append([name, *(f"{_each(values)} ({np.mean(values):.3f})" for values in cells)])
    seeds = ", ".join(map(str, options.seeds))
    command = f"python benchmarks/heads.py {' '.join(found)}"
    text = f"`{command}`; validation accuracy with seeds {seeds} (mean).\n\n" + table(["change", *found], rows)
    say(text)
    if options.write:
        FILE.write_text(replace_between(FILE.read_text(), text, "heads"))


def _each(values: list[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def measure(data: Path, results: Path, seeds: list[int]) -> dict[str, dict[str, float]]:
    """Measure the accuracy of every arm with every seed; what was measured before is read again."""
    file = results / f"{data.resolve().name}.json"
    found: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.exists() else {}
    recipe = finetune_recipe(FinetuneSettings(freeze="all"))
    folder, arrays = load_features(data, recipe, results)
    for name, arm in ARMS.items():
        for seed in seeds:
            if str(seed) not in found.setdefault(name, {}):
                settings = recipe.settings
                split = split_folder(folder, settings.validation_split, settings.test_split, seed)
                parts = [_rows(arrays, folder, images) for images in (split.train, split.validation)]
                with single_threaded_blas():
                    probabilities = arm(recipe.changed({"seed": seed}), split, *parts)
                right = probabilities.argmax(axis=1) == split.validation.labels
                found[name][str(seed)] = float(right.mean())
                file.write_text(json.dumps(found))
        say(f"  {data.name}  {name}  {_each(list(found[name].values()))}")
    return found


def _rows(arrays: Arrays, folder: ImageFolder, images: ImageFolder) -> Arrays:
    positions = {path: row for row, path in enumerate(folder.paths)}
    chosen = [positions[path] for path in images.paths]
    return {name: values[chosen] for name, values in arrays.items()}


def load_features(data: Path, recipe: NetworkRecipe, results: Path) -> tuple[ImageFolder, Arrays]:
    """Give the readable images and their features: averages of three depths, of the plain and the mirrored image."""
    folder = read_folder(data).surveyed()
    recipe = recipe.adapted_to(folder)
    file = results / f"{data.resolve().name}.npz"
    with ThreadPoolExecutor(count_workers()) as pool:
        decoded = [
            image
            for images in ordered_map(pool, lambda files: [_decode(path, recipe) for path in files], _chunks(folder))
            for image in images
        ]
    facts = [(image.sha256, image.digest, image.appearance) for image in decoded]
    folder = group_images(folder.with_contents(*zip(*facts, strict=True)))
    if not file.exists():
        with ThreadPoolExecutor(count_workers()) as pool:
            runner = ThreadedRunner(_three_depths(recipe, results))
            views = {}
            for view, step in (("plain", 1), ("mirrored", -1)):
                squares = in_chunks((image.pixels[:, ::step] for image in decoded), 8)
                rows = ordered_map(pool, lambda images: runner(np.stack(images)), squares)
                views[view] = np.concatenate(list(rows))
        np.savez(file, allow_pickle=False, **views)
    with np.load(file) as stored:
        return folder, dict(stored)


def _chunks(folder: ImageFolder) -> Any:
    return in_chunks(folder.files, 8)


def _decode(path: Path, recipe: NetworkRecipe) -> DecodedImage:
    return decode_image(path.read_bytes(), recipe.image, None)


def _three_depths(recipe: NetworkRecipe, results: Path) -> Any:
    """Open the network with the average of a third depth, of twice the resolution, after its features."""
    network = recipe.source.build()
    import keras

    from tlkit.models.cut import cut_points

    finer = [cut.tensor for cut in cut_points(network) if len(cut.shape) == 3 and cut.shape[0] == 28]
    third = keras.layers.GlobalAveragePooling2D()(finer[-1])
    three = keras.Model(network.input, keras.layers.Concatenate()([network.output, third]))
    file = results / "three_depths.tflite"
    file.write_bytes(to_litert(three, pixels=True))
    return open_engine(EngineSpec("litert"), file)


# arms: recipe, split, features of training and of validation images to probabilities


def train_head(recipe: NetworkRecipe, split: Any, train: np.ndarray, validation: np.ndarray) -> np.ndarray:
    """Train the head of `--freeze all`, and give the probabilities of the validation images."""
    seed, num_classes = recipe.settings.seed, split.train.num_classes
    learner = HeadLearner(recipe.head(len(split.train)), train.shape[1], num_classes, seed)
    samples = Samples(train, one_hot(split.train)), Samples(validation, one_hot(split.validation))
    fit(learner, *samples, plan_first(recipe, split, "head"), Silent())
    return learner.predict(validation)


def _plain_width(values: np.ndarray) -> int:
    return 1856 if values.shape[1] > 1856 else values.shape[1]  # MobileNetV2's two depths


def on(change: Callable[[Arrays], np.ndarray]) -> Callable[..., np.ndarray]:
    """Make the arm that trains the head on changed features."""
    return lambda recipe, split, train, validation: train_head(recipe, split, change(train), change(validation))


def two_depths(arrays: Arrays, view: str = "plain") -> np.ndarray:
    """Give the features as they are today."""
    return np.ascontiguousarray(arrays[view][:, : _plain_width(arrays[view])])


def with_mirrored_rows(recipe: NetworkRecipe, split: Any, train: Arrays, validation: Arrays) -> np.ndarray:
    """Train on plain and mirrored images as rows of their own, and average the answers to both views."""

    views = "plain", "mirrored"
    rows = np.concatenate([two_depths(train, view) for view in views])
    num_classes = split.train.num_classes
    learner = HeadLearner(recipe.head(len(split.train)), rows.shape[1], num_classes, recipe.settings.seed)
    samples = Samples(rows, np.tile(one_hot(split.train)[:], (2, 1)))
    held_out = Samples(two_depths(validation), one_hot(split.validation))
    plan = plan_first(recipe, split, "head")
    plan = replace(plan, epochs=max(1, plan.epochs // 2))  # as many steps
    fit(learner, samples, held_out, plan, Silent())
    return np.mean([learner.predict(two_depths(validation, view)) for view in views], axis=0)


def whitened(recipe: NetworkRecipe, split: Any, train: Arrays, validation: Arrays) -> np.ndarray:
    """Train the head on whitened principal components."""
    values = two_depths(train)
    fitted = make_pipeline(StandardScaler(), PCA(min(COMPONENTS, *values.shape), whiten=True, random_state=0)).fit(
        values
    )
    parts = [fitted.transform(two_depths(part)).astype(np.float32) for part in (train, validation)]
    return train_head(recipe, split, *parts)


def logistic(recipe: NetworkRecipe, split: Any, train: Arrays, validation: Arrays) -> np.ndarray:
    """Fit multinomial logistic regression; folds of the training images choose its strength."""
    model = LogisticRegressionCV(Cs=np.logspace(-4, 0, 5), cv=3, max_iter=300, scoring="neg_log_loss", n_jobs=2)
    fitted = make_pipeline(StandardScaler(), model).fit(two_depths(train), split.train.labels)
    probabilities: np.ndarray = fitted.predict_proba(two_depths(validation))
    return probabilities


def ensemble(recipe: NetworkRecipe, split: Any, train: Arrays, validation: Arrays) -> np.ndarray:
    """Average the probabilities of heads with other draws."""
    seeds = [recipe.settings.seed + 1000 * member for member in range(MEMBERS)]
    parts = two_depths(train), two_depths(validation)
    return np.mean([train_head(recipe.changed({"seed": seed}), split, *parts) for seed in seeds], axis=0)


def head_and_logistic(recipe: NetworkRecipe, split: Any, train: Arrays, validation: Arrays) -> np.ndarray:
    """Average the probabilities of the head and of logistic regression."""
    head = train_head(recipe, split, two_depths(train), two_depths(validation))
    return (head + logistic(recipe, split, train, validation)) / 2


ARMS: dict[str, Callable[..., np.ndarray]] = {
    "as by default": on(two_depths),
    "features averaged with those of the mirrored image": on(
        lambda arrays: (two_depths(arrays) + two_depths(arrays, "mirrored")) / 2
    ),
    "mirrored images as rows, answers averaged": with_mirrored_rows,
    "a third depth": on(lambda arrays: arrays["plain"]),
    "square roots": on(lambda arrays: np.sign(two_depths(arrays)) * np.sqrt(np.abs(two_depths(arrays)))),
    "rows of length 1": on(
        lambda arrays: two_depths(arrays) / np.linalg.norm(two_depths(arrays), axis=1, keepdims=True)
    ),
    f"whitened, {COMPONENTS} components": whitened,
    "logistic regression": logistic,
    f"{MEMBERS} heads averaged": ensemble,
    "head and logistic regression averaged": head_and_logistic,
}


if __name__ == "__main__":
    main()
