"""timm on PyTorch as a peer: a frozen MobileNetV2, then the whole, with Keras's weights.

    python benchmarks/peer_timm.py TRAIN TEST --weights FILE.npz --frozen 1 2 5 [--whole 1 2]

Needs `pip install timm torchvision` and what peer_weights.py writes. timm's own loader, its light augmentation and
AdamW, at 1e-3 for the new layer and 1e-4 for the whole network.
"""

from pathlib import Path
from typing import Any

from points import Points, add_epochs, peer_options

POINTS = Points()

import timm  # noqa: E402
import torch  # noqa: E402
from peer_weights import TIMM, load_into  # noqa: E402
from timm.data import create_dataset, create_loader  # noqa: E402

SIZE, BATCH = (3, 224, 224), 32
HALF = (0.5, 0.5, 0.5)  # mean and deviation: Keras's weights expect values from -1 to 1
RATES = {"frozen": 1e-3, "whole": 1e-4}


def loader(folder: Path, is_training: bool) -> Any:
    """Make timm's loader of a folder of classes."""
    options = {"scale": (0.4, 1.0), "hflip": 0.5, "color_jitter": 0.0} if is_training else {"crop_pct": 1.0}
    dataset = create_dataset("", root=str(folder))
    options |= {"use_prefetcher": False, "num_workers": 2, "mean": HALF, "std": HALF}
    return create_loader(dataset, SIZE, BATCH, is_training=is_training, **options)


def main() -> None:
    """Train, and write the points."""
    parser = peer_options("timm's transfer learning on TRAIN, scored on TEST.")
    parser.add_argument("--weights", required=True)
    add_epochs(parser)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    train, test = loader(options.train, True), loader(options.test, False)
    names = sorted(train.dataset.reader.class_to_idx)
    network = timm.create_model("mobilenetv2_100", num_classes=len(names), **TIMM)
    load_into(network, options.weights, lambda images: network.forward_head(network.forward_features(images), True))
    for name, epochs in (("frozen", options.frozen), ("whole", options.whole)):
        network.requires_grad_(name == "whole")
        network.classifier.requires_grad_(True)
        optimizer = torch.optim.AdamW([w for w in network.parameters() if w.requires_grad], lr=RATES[name])
        for epoch in range(1, max(epochs, default=0) + 1):
            train_epoch(network, train, optimizer, name == "whole")
            if epoch in epochs:
                earlier = f"{max(options.frozen)} frozen + " if name == "whole" else ""
                POINTS.add(f"{earlier}{epoch} {name}", lambda: predictions(network, test, options.test, names))


def train_epoch(network: Any, train: Any, optimizer: Any, is_whole: bool) -> None:
    """Train an epoch; the statistics of a frozen network stay as they are."""
    network.train(is_whole)
    for images, labels in train:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()


def predictions(network: Any, test: Any, folder: Path, names: list[str]) -> dict[str, str]:
    """Classify the test images."""
    network.eval()
    with torch.inference_mode():
        found = torch.cat([network(images).argmax(1) for images, _ in test]).tolist()
    paths = [Path(path).relative_to(folder).as_posix() for path, _ in test.dataset.reader.samples]
    return {path: names[index] for path, index in zip(paths, found, strict=True)}


if __name__ == "__main__":
    main()
