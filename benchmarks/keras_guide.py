"""The recipe of Keras's transfer-learning guide, written again for any folder of images, as a reference for timing.

    python benchmarks/keras_guide.py DATA [--epochs N] [--above LAYER]

Loader, augmentation by layers, a frozen MobileNetV2 with ImageNet weights, `model.fit`. It knows nothing of tlkit.
With --above the layers after the named one are trained too, at the guide's rate for fine-tuning, 1e-5.
The recipe: https://keras.io/guides/transfer_learning/. One favour is done to it: the augmentation runs in parallel.
The last line is JSON: seconds from the start of the script to the end of the last epoch, and validation accuracy.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

SIZE = (224, 224)
BATCH = 32


def load(data: Path) -> tuple[Any, Any, int]:
    """Training and validation batches, and the number of classes."""
    train, validation = keras.utils.image_dataset_from_directory(
        data, image_size=SIZE, batch_size=BATCH, validation_split=0.2, subset="both", seed=0
    )
    return augmented(train), validation, len(train.class_names)


def load_all(data: Path) -> tuple[Any, list[str]]:
    """Batches of all images, and the names of the classes."""
    train = keras.utils.image_dataset_from_directory(data, image_size=SIZE, batch_size=BATCH, seed=0, verbose=0)
    return augmented(train), train.class_names


def augmented(train: Any) -> Any:
    """Turn and mirror the images of each batch."""
    layers = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)]

    def augment(images: Any, labels: Any) -> tuple[Any, Any]:
        for layer in layers:
            images = layer(images, training=True)
        return images, labels

    return train.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def build(num_classes: int, above: str | None) -> keras.Model:
    """Build the network with a new last layer, frozen but for the layers after `above`, ready to fit."""
    base = keras.applications.MobileNetV2(include_top=False, weights="imagenet", input_shape=(*SIZE, 3))
    names = [layer.name for layer in base.layers]
    for place, layer in enumerate(base.layers):
        layer.trainable = above is not None and place > names.index(above)
    inputs = keras.Input((*SIZE, 3))
    values = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    values = base(values, training=False)
    values = keras.layers.GlobalAveragePooling2D()(values)
    values = keras.layers.Dropout(0.2)(values)
    model = keras.Model(inputs, keras.layers.Dense(num_classes)(values))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-5 if above else 1e-3), loss=loss, metrics=["accuracy"])
    return model


def main() -> None:
    """Train, then say how long it took and how well it did."""
    parser = argparse.ArgumentParser(description="The Keras guide's transfer learning on DATA.")
    parser.add_argument("data", type=Path, help="a folder with one subfolder of images per class")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--above", help="train the layers after this one, too")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    train, validation, num_classes = load(options.data)
    history = (
        build(num_classes, options.above)
        .fit(train, validation_data=validation, epochs=options.epochs, verbose=2)
        .history
    )
    seconds = time.perf_counter() - STARTED
    print(json.dumps({"seconds": seconds, "accuracy": history["val_accuracy"][-1]}))


if __name__ == "__main__":
    main()
