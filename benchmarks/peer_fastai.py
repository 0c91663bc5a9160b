"""fastai as a peer: `vision_learner(...).fine_tune(epochs)` with Keras's weights, as its guide does.

    python benchmarks/peer_fastai.py TRAIN TEST --weights FILE.npz [--epochs 1]

Needs `pip install fastai timm` and what peer_weights.py writes. `fine_tune` trains the head for an epoch, then all
layers for the given epochs; a schedule has one end, so each number of epochs is a process of its own.
"""

from points import Points, images_of, peer_options

POINTS = Points()

from fastai.vision.all import (  # noqa: E402
    ImageDataLoaders,
    Normalize,
    Resize,
    aug_transforms,
    set_seed,
    vision_learner,
)
from peer_weights import TIMM, load_into  # noqa: E402


def main() -> None:
    """Train, and write the point."""
    parser = peer_options("fastai's transfer learning on TRAIN, scored on TEST.")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--epochs", type=int, default=1, help="of fine_tune")
    options = parser.parse_args()
    set_seed(options.seed, reproducible=True)
    half = [0.5] * 3
    loaders = ImageDataLoaders.from_folder(
        options.train,
        valid_pct=0.01,  # nothing is chosen on them
        seed=options.seed,
        bs=32,
        num_workers=2,
        item_tfms=Resize(256),
        batch_tfms=[*aug_transforms(size=224), Normalize.from_stats(half, half, cuda=False)],
    )
    learner = vision_learner(loaders, "mobilenetv2_100", pretrained=False, normalize=False, **TIMM)
    body = learner.model[0].model
    load_into(body, options.weights, lambda images: body.forward_features(images).mean((2, 3)))
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(options.epochs)

    def classify() -> dict[str, str]:
        paths = images_of(options.test)
        batches = loaders.test_dl([options.test / path for path in paths])
        with learner.no_bar():
            found = learner.get_preds(dl=batches)[0].argmax(1).tolist()
        return {path: loaders.vocab[index] for path, index in zip(paths, found, strict=True)}

    POINTS.add(f"1 frozen + {options.epochs} whole", classify)


if __name__ == "__main__":
    main()
