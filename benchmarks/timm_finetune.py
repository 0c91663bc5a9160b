"""The same job with timm on PyTorch, as a second reference for timing.

    python benchmarks/timm_finetune.py DATA [--epochs N] [--above BLOCK] [--pretrained]

timm's own loader, its light augmentation, `mobilenetv2_100`, AdamW; frozen, or with the blocks after BLOCK trained,
too. It knows nothing of tlkit and needs `pip install timm torchvision`. Without --pretrained the weights are random:
the seconds are the same, the accuracy is worth nothing.
The last line is JSON: seconds from the start of the script to the end of the last epoch, and validation accuracy.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()

import timm  # noqa: E402
import torch  # noqa: E402
from timm.data import create_dataset, create_loader  # noqa: E402

SIZE, BATCH = (3, 224, 224), 32


def load(data: Path) -> tuple[Any, Any, int]:
    """Training and validation batches, and the number of classes."""
    whole = create_dataset("", root=str(data))
    held_out = len(whole) // 5
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0)).tolist()
    names = whole.reader.class_to_idx
    loaders = []
    for rows, is_training in ((order[held_out:], True), (order[:held_out], False)):
        part = create_dataset("", root=str(data))
        part.reader.samples = [part.reader.samples[row] for row in rows]
        options = {"scale": (0.4, 1.0), "hflip": 0.5, "color_jitter": 0.0} if is_training else {}
        loader = create_loader(
            part, SIZE, BATCH, is_training=is_training, use_prefetcher=False, num_workers=2, **options
        )
        loaders.append(loader)
    return loaders[0], loaders[1], len(names)


def build(num_classes: int, above: int | None, pretrained: bool) -> Any:
    """Build the network with a new last layer, frozen but for the blocks after `above`."""
    network = timm.create_model("mobilenetv2_100", pretrained=pretrained, num_classes=num_classes)
    for name, weight in network.named_parameters():
        parts = name.split(".")
        is_upper = parts[0] in {"conv_head", "bn2"} or (parts[0] == "blocks" and int(parts[1]) > (above or 0))
        weight.requires_grad = parts[0] == "classifier" or (above is not None and is_upper)
    return network


def accuracy(network: Any, batches: Any) -> float:
    """Measure the fraction that is classified correctly."""
    network.eval()
    right = count = 0
    with torch.inference_mode():
        for images, labels in batches:
            right += int((network(images).argmax(1) == labels).sum())
            count += len(labels)
    return right / count


def main() -> None:
    """Train, then say how long it took and how well it did."""
    parser = argparse.ArgumentParser(description="timm's transfer learning on DATA.")
    parser.add_argument("data", type=Path, help="a folder with one subfolder of images per class")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--above", type=int, help="train the blocks after this one, too, counted from 0")
    parser.add_argument("--pretrained", action="store_true", help="ImageNet weights; timm downloads them")
    options = parser.parse_args()
    torch.manual_seed(0)
    train, validation, num_classes = load(options.data)
    network = build(num_classes, options.above, options.pretrained)
    optimizer = torch.optim.AdamW([weight for weight in network.parameters() if weight.requires_grad], lr=1e-3)
    found = 0.0
    for _ in range(options.epochs):
        network.train()
        for images, labels in train:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
        found = accuracy(network, validation)
    print(json.dumps({"seconds": time.perf_counter() - STARTED, "accuracy": found}))


if __name__ == "__main__":
    main()
