"""Every option is either refused by name or changes what is computed, in every strategy.

What is computed is looked at, not the table: sources, images and engines of the recipe; then for each phase the
compiled optimizer, the layers, what is trained, and a batch as training sees it.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import get_args, get_type_hints

import numpy as np
import pytest

from tests.networks import keras
from tlkit.data.folder import read_folder
from tlkit.errors import OptionError
from tlkit.settings.base import unwrap_optional
from tlkit.settings.shared import LayoutSettings
from tlkit.settings.training import ClassicSettings, FinetuneSettings, TrainSettings
from tlkit.training.classic import classic_recipe
from tlkit.training.finetune import finetune_recipe
from tlkit.training.from_scratch import scratch_recipe
from tlkit.training.option_effects import WITH_MOMENTUM, changed_options
from tlkit.utils.progress import Silent

OTHERS = {
    "log_to": ("tensorboard",),  # another value of an option, which no strategy has and no preset means
    "activation": "elu",
    "backbone": "mobilenet_050",
    "cache_limit": 2e-5,
    "cut": "0.3",
    "descriptor": "lbp",
    "engine": "keras",
    "features": "mobilenet_050",
    "gray_range": "0,4095",
    "hidden": "7",
    "max_megapixels": 32.0,
    "model": "linear",
    "pca": 2,
    "resize": "squash",
    "seeds": "5",
    "time_limit": "30m",
    "upper_precision": "bfloat16",
    "weights": "weights.h5",
}
SMALL = {"image_size": 32, "batch_size": 4, "hidden": "3"}
BLOCKS = SMALL | {"cut": "0.5", "upper_precision": "float32"}
FINETUNE = {
    "all": FinetuneSettings(freeze="all", **SMALL),
    "lower": FinetuneSettings(freeze="lower", **BLOCKS),
    "none": FinetuneSettings(freeze="none", **SMALL),
    "auto": FinetuneSettings(**BLOCKS),
    "random weights": FinetuneSettings(weights="none", **SMALL),
    "blocks alone": FinetuneSettings(
        freeze="lower", head_first=False, cut="0.5", upper_precision="float32", image_size=32, hidden="3"
    ),
    "one view": FinetuneSettings(freeze="lower", views=1, **BLOCKS),
    "no augmentation": FinetuneSettings(freeze="lower", augment="none", **BLOCKS),
    "noise": FinetuneSettings(freeze="all", harden="noise", **SMALL),
    "attacks": FinetuneSettings(freeze="lower", harden="adversarial", **BLOCKS),
    "attacks on everything": FinetuneSettings(freeze="none", harden="both", **SMALL),
    "sgd": FinetuneSettings(freeze="all", optimizer="sgd", **SMALL),
    "one-cycle": FinetuneSettings(freeze="all", schedule="one-cycle", **SMALL),
    "hinge": FinetuneSettings(freeze="all", loss="hinge", **SMALL),
}
TRAIN = {
    "lenet5": TrainSettings(model="lenet5", image_size=32),
    "lenet5_relu": TrainSettings(model="lenet5_relu", image_size=16),
    "mlp": TrainSettings(model="mlp", image_size=8),
    "linear": TrainSettings(model="linear", image_size=8),
    "resnet20": TrainSettings(model="resnet20", image_size=8),
    "a backbone": TrainSettings(model="mobilenet_025", image_size=32),
    "plateau": TrainSettings(model="mlp", image_size=8, schedule="plateau", optimizer="sgd"),
}
CLASSIC = {
    "hog": ClassicSettings(descriptor="hog", image_size=48, classifier="naive-bayes"),
    "bow": ClassicSettings(descriptor="bow", image_size=32, classifier="naive-bayes"),
    "features": ClassicSettings(features="mobilenet_025", weights="none", image_size=32, classifier="naive-bayes"),
}
OF_THE_SESSION = (
    *("validation_split", "test_split", "seed", "folds", "seeds", "time_limit", "log_to"),
    *("coverage", "golden", "report", "plots"),
)
OF_THE_READER = {item.name for item in fields(LayoutSettings)}  # tests/data/test_reader.py


def other_value(settings, name):
    """A value of an option that is neither its default nor what these settings have."""
    if name in OTHERS:
        return "mlp" if getattr(settings, name) == OTHERS[name] == "linear" else OTHERS[name]
    hint, _ = unwrap_optional(get_type_hints(type(settings))[name])
    field = type(settings).__dataclass_fields__[name]
    had = {field.default, getattr(settings, name)}
    if hint is bool and field.default is None and name == "batch_norm":
        return True  # most papers have none
    if name == "hflip":
        return settings.augment == "none"  # every other preset mirrors
    if hint is bool:
        return getattr(settings, name) is False
    if choices := get_args(hint):
        return next(choice for choice in choices if choice not in had and choice != "auto")
    limits = field.metadata["limits"]
    candidates = (64, 5, 2) if hint is int else (0.3, 0.05, 1.0)
    return next(
        value for value in candidates if value not in had and limits.get("min", -1) <= value <= limits.get("max", 64)
    )


@dataclass(frozen=True)
class TinySource:
    """Two convolutions in place of a pretrained network, so that a phase takes moments."""

    image_size: int
    name = "tiny"
    is_pretrained = True
    has_head = False

    def build(self):
        keras.utils.set_random_seed(1)
        values = pixels = keras.Input((self.image_size, self.image_size, 3), name="pixels")
        for number, filters in enumerate((4, 6, 8)):
            values = keras.layers.Conv2D(
                filters, 3, strides=2, padding="same", use_bias=False, name=f"block_{number}_conv"
            )(values)
            values = keras.layers.BatchNormalization(name=f"block_{number}_norm")(values)
            values = keras.layers.ReLU(name=f"block_{number}_relu")(values)
        return keras.Model(pixels, keras.layers.GlobalAveragePooling2D(name="pooled")(values), name="tiny")

    def identity(self, cut=""):
        return ("tiny", self.image_size, cut)

    def transfer_head(self, classifier, class_names):
        pass

    def prepare_top(self, top):
        return top

    def subsets(self):
        return {}

    def notes(self, class_names):
        return []


class Computed:
    """What recipes compute on a folder of images; datasets are shared where images and strategy are alike."""

    def __init__(self, folder):
        self.folder = folder
        self.datasets = {}

    def surface(self, recipe):
        """What is there before any phase: network, images, engine, the steps of the session."""
        source = built = recipe.source
        if hasattr(source, "changes"):
            keras.backend.clear_session()  # numbers in names of layers begin anew
            built = source.build().to_json()
        steps = {name: getattr(recipe.settings, name) for name in OF_THE_SESSION}
        pixels = recipe.settings.gray_range, recipe.settings.max_megapixels, recipe.settings.resize
        return built, recipe.image, recipe.engine, steps, pixels  # colors are small and have 8 bits

    def phases(self, recipe):
        """What each phase trains, how, and on what."""
        if recipe.freeze == "auto":
            return [self.phases(recipe.changed({"freeze": freeze})) for freeze in ("all", "lower")]
        tiny = replace(recipe, source=TinySource(recipe.image.size), settings=replace(recipe.settings, engine="keras"))
        key = tiny.image, tiny.freeze == "none"
        if key not in self.datasets:
            self.datasets[key] = tiny.load(self.folder, Silent())
        dataset = self.datasets[key]
        from tlkit.training.phases import new_classifier

        classifier = new_classifier(tiny, dataset.network, len(dataset.split.train), dataset.split.train.num_classes)
        return [self.phase(phase.name, phase.prepare(tiny, classifier, dataset, Silent())) for phase in tiny.phases()]

    def phase(self, name, inputs):
        from tlkit.models.fold_batch_norm import fold_batch_norms
        from tlkit.training.loop.batches import mix
        from tlkit.training.loop.keras_losses import LOSSES
        from tlkit.training.loop.losses import smooth_labels
        from tlkit.training.loop.optimizers import compile_model

        plan, train, validation = inputs.plan, inputs.train, inputs.validation
        network = fold_batch_norms(inputs.model, plan.train_bn_offsets).network
        loss = LOSSES[plan.loss]()
        compile_model(network, plan.optimizer, loss, 100)
        rates = [plan.optimizer.lr_multipliers.get(variable.path, 1) for variable in network.trainable_variables]
        targets = smooth_labels(train.targets[:], plan.label_smoothing)
        images = train.in_epoch(1)[np.arange(8)]
        if train.adversary:
            train.adversary.aim_at(network)
            images = train.adversary.attack(images, np.arange(8), 1)
        batch = mix((images, targets[:8], train.weights[:8]), plan.mixing, np.random.default_rng(1))
        return {
            "name": name,
            "epochs": (plan.epochs, plan.batch_size, plan.patience, plan.seed),
            "optimizer": str(network.optimizer.get_config() | {"name": ""}),
            "products": plan.product_dtype,
            "loss": str(loss.get_config() | {"name": type(loss).__name__}),
            "layers": [str(layer.get_config()) for layer in inputs.model.layers],
            "trained": ([variable.path for variable in network.trainable_variables], rates),
            "batch": [part.tobytes() for part in batch],
            "validation": np.asarray(validation.features[np.arange(4)]).tobytes(),
        }

    def differ(self, recipe, other):
        return self.surface(recipe) != self.surface(other) or self.phases(recipe) != self.phases(other)


def slow_but(strategies, fast):
    """The names of strategies, all but one of them marked as slow."""
    return [name if name == fast else pytest.param(name, marks=pytest.mark.slow) for name in strategies]


def imbalanced(colors):
    """The colors with fewer images of the first class, so that class weights have an effect."""
    folder = read_folder(colors)
    return folder.subset(list(range(5, len(folder))))


@pytest.fixture(scope="module")
def computed(colors):
    return Computed(imbalanced(colors))


def offenders(settings, make_recipe, unchecked, differ):
    """Options that are neither refused nor change anything, or are refused and change something.

    unchecked: makes the recipe although options may have no effect
    """
    wrong, base = [], make_recipe(settings)
    for item in fields(settings):
        if item.name in OF_THE_READER:
            continue
        if item.name == "from_run" or (item.name in ("descriptor", "features") and not getattr(settings, item.name)):
            continue
        changed = replace(settings, **{item.name: other_value(settings, item.name)})
        try:
            make_recipe(changed)
            refusal = ""
        except OptionError as error:
            refusal = str(error)
        named = refusal.split()[0].removeprefix("--no-").removeprefix("--").replace("-", "_") if refusal else ""
        if named != item.name and named in changed_options(settings, {}):
            continue  # one that the strategy itself has
        if refusal and not (named == item.name and "has no effect" in refusal):
            wrong.append(f"{item.name}: {refusal}")
        elif bool(refusal) == differ(base, unchecked(changed)):
            wrong.append(f"{item.name}: {refusal or 'is taken and changes nothing'}")
    return wrong


@pytest.fixture
def unchecked(monkeypatch):
    """Makers of recipes that refuse nothing."""

    def unchecked(make_recipe, table):
        def make(settings):
            with monkeypatch.context() as patch:
                patch.setattr(f"{make_recipe.__module__}.{table}", ())
                return make_recipe(settings)

        return make

    return unchecked


@pytest.mark.parametrize("strategy", slow_but(FINETUNE, "all"))
def test_finetune_option_is_refused_or_changes_what_is_computed(strategy, computed, unchecked):
    settings = FINETUNE[strategy]
    assert offenders(settings, finetune_recipe, unchecked(finetune_recipe, "FINETUNE"), computed.differ) == []


@pytest.mark.parametrize("strategy", slow_but(TRAIN, ""))
def test_train_option_is_refused_or_changes_what_is_computed(strategy, computed, unchecked):
    settings = TRAIN[strategy]
    assert offenders(settings, scratch_recipe, unchecked(scratch_recipe, "TRAIN"), computed.differ) == []


@pytest.mark.parametrize("strategy", slow_but(CLASSIC, "features"))
def test_classic_option_is_refused_or_changes_what_is_computed(strategy, colors, unchecked):
    folder = read_folder(colors)

    def result(recipe):
        dataset = recipe.load(folder, Silent())
        model = recipe.fit(dataset, None, Silent(), None)
        engine = getattr(model.vectors, "engine", None)
        return (
            model.vectors.load(dataset.split.train, Silent()).tobytes(),
            model.classifier.predict_proba(model.vectors.load(dataset.split.train, Silent())).tobytes(),
            model.vectors.load(dataset.split.train, Silent()).tobytes(),
            engine,
            dataset.split.train.paths,
            asdict(model.classifier)["classifier"],
            (recipe.settings.coverage, recipe.settings.golden, recipe.settings.report, recipe.settings.plots),
            (recipe.settings.gray_range, recipe.settings.max_megapixels, recipe.settings.resize),  # of other images
        )

    def network(recipe):
        return recipe.settings.features and (recipe.settings.features, recipe.settings.weights)

    def differ(recipe, other):
        return network(recipe) != network(other) or result(recipe) != result(other)

    assert offenders(CLASSIC[strategy], classic_recipe, unchecked(classic_recipe, "CLASSIC"), differ) == []


# what the grid does not reach


def test_an_option_at_its_default_is_never_refused():
    assert finetune_recipe(FinetuneSettings(freeze="all", augment="light", views=3, cut="auto")).freeze == "all"


def test_the_refusal_names_option_case_and_remedy():
    for options, words in (
        ({"freeze": "all", "rotation": 90.0}, "--rotation has no effect with --freeze all; leave it out, or use "),
        ({"freeze": "none", "head_first": False}, "--no-head-first has no effect with --freeze none; leave it out, or"),
        ({"optimizer": "sgd", "momentum": 0.0, "nesterov": True}, "--nesterov has no effect with --momentum 0; leave"),
        ({"momentum": 0.5}, "--momentum has no effect with --optimizer adamw; leave it out, or use --optimizer sgd."),
    ):
        with pytest.raises(OptionError, match=words):
            finetune_recipe(FinetuneSettings(**options))


def test_resolved_settings_are_taken_again_with_what_a_run_inherits(scratch_run):
    """As `--resume` and `--config` do."""
    asked = FinetuneSettings(from_run=str(scratch_run.path), freeze="all")
    recipe = finetune_recipe(asked)
    assert finetune_recipe(recipe.settings).settings == recipe.settings
    with pytest.raises(OptionError, match="--weights has no effect with --from; leave it out"):
        finetune_recipe(replace(asked, weights="none"))


def test_resolved_settings_of_other_trainings_are_taken_again():
    for make, asked in (
        (scratch_recipe, TrainSettings(model="lenet")),
        (classic_recipe, ClassicSettings(descriptor="hog+bow", pyramid=2)),
        (classic_recipe, ClassicSettings(descriptor="auto", pyramid=2)),
    ):
        recipe = make(asked)
        assert make(recipe.settings).settings == recipe.settings


def test_lr_find_refuses_what_it_does_not_compute():
    from tlkit.training.lr_finder import find_learning_rate

    for options, named in (
        ({"folds": 3}, "--folds"),
        ({"learning_rate": 0.1}, "--learning-rate"),
        ({"views": 5}, "--views"),  # auto tries the head
        ({"freeze": "lower", "cutmix": 1.0}, "--cutmix"),
    ):
        with pytest.raises(OptionError, match=f"{named} has no effect"):
            find_learning_rate("nowhere", FinetuneSettings(**options))


def test_the_optimizers_with_momentum_are_those_of_the_training_loop():
    from tlkit.training.loop.optimizers import OPTIMIZERS

    assert set(WITH_MOMENTUM) == {name for name, spec in OPTIMIZERS.items() if spec.uses_momentum}
