"""Which output of which network `tlkit features` exports."""

import difflib
from dataclasses import dataclass, fields, replace
from typing import Any

from tlkit.engines.base import choose_engine
from tlkit.engines.cache import CONVERSION_VERSION, conversion_key
from tlkit.errors import OptionError
from tlkit.models.backbones import check_size, find_backbone
from tlkit.runs.run import MODEL, load_run, read_manifest
from tlkit.settings.base import option_name
from tlkit.settings.commands import FeaturesSettings
from tlkit.utils.files import sha256_text

OF_THE_NETWORK = ("backbone", "weights", "image_size", "resize")  # a run has its own
OF_THE_SPLIT = ("seed", "validation_split", "test_split")  # as the run's unless they are given
LOGITS = "head_logits"  # the last dense layer of every network of a run


@dataclass(frozen=True)
class LayerOutput:
    """An output of a network, as a network of its own.

    cut     its name in cache keys, with the network's, for layers without weights are told apart by nothing else
    source  what it is made from, as a hash; None where its weights are still to be downloaded
    """

    settings: FeaturesSettings
    cut: str
    source: str | None

    def build(self) -> Any:
        """A Keras model from pixels to rows: (batch, values).

        raises: OptionError where there is no such layer, ModelError
        """
        from tlkit.models.keras_setup import start_keras

        keras = start_keras()
        network = _network(self.settings)
        output = _output(network, self.settings)
        if len(output.shape) == 4:
            output = keras.layers.GlobalAveragePooling2D(name="averaged")(output)
        elif len(output.shape) != 2:
            output = keras.layers.Flatten(name="flat")(output)
        return keras.Model(network.input, output, name="lower")


def find_layer_output(settings: FeaturesSettings) -> LayerOutput:
    """What `--backbone` or `--run` and `--layer` mean.

    settings: resolved
    """
    if settings.run:
        weights = read_manifest(load_run(settings.run)).sha256[MODEL]
        cut = f"layer {settings.layer or 'of the head'} of {weights}"
        return LayerOutput(settings, cut, sha256_text(CONVERSION_VERSION, "run", weights, cut))
    row = find_backbone(settings.backbone)
    cut = f"layer {settings.layer} of {row.name}" if settings.layer else ""  # then it is what a head is trained on
    return LayerOutput(settings, cut, conversion_key(row, settings.weights, settings.image_size, settings.seed, cut))


def resolve_features(settings: FeaturesSettings) -> FeaturesSettings:
    """The same settings with every "choose for me" replaced by what it means here.

    raises: OptionError, ModelError, RunError
    """
    engine: Any = choose_engine(settings.engine, settings.precision)
    if settings.run:
        return replace(_of_run(settings), engine=engine)
    row = find_backbone(settings.backbone)
    size = settings.image_size or row.image_size
    check_size(row, size)
    return replace(settings, engine=engine, backbone=row.name, image_size=size)


def _of_run(settings: FeaturesSettings) -> FeaturesSettings:
    """The same with what is the run's own taken from it; OptionError where something else was asked for."""
    run = load_run(settings.run)
    run.network_file()
    facts = read_manifest(run)
    defaults = {item.name: item.default for item in fields(FeaturesSettings)}
    theirs = run.read_json("settings.json")
    for name in OF_THE_NETWORK:
        if (asked := getattr(settings, name)) not in (defaults[name], theirs.get(name)):
            raise OptionError(
                f"{option_name(name)} is {asked}, but '{settings.run}' has {theirs.get(name, 'none')}; leave it out."
            )
    resize: Any = facts.resize
    split = {
        name: theirs[name] for name in OF_THE_SPLIT if getattr(settings, name) == defaults[name] and name in theirs
    }
    return replace(settings, image_size=facts.image_size, resize=resize, **split)


def _network(settings: FeaturesSettings) -> Any:
    if settings.run:
        from tlkit.engines.keras import load_network

        return load_network(load_run(settings.run).network_file())
    from tlkit.models.build import build_backbone

    return build_backbone(find_backbone(settings.backbone), settings.weights, settings.image_size, settings.seed)


def _output(network: Any, settings: FeaturesSettings) -> Any:
    """raises: OptionError with the nearest names"""
    from tlkit.models.cut import topological_order

    if not settings.layer and not settings.run:
        return network.output
    steps = topological_order(network.output)  # a layer may stand in other networks, too, with outputs of theirs
    if not settings.layer:
        return next(inputs[0] for layer, inputs, _ in steps if layer.name == LOGITS)
    outputs = {layer.name: output for layer, _, output in steps}
    if settings.layer in outputs:
        return outputs[settings.layer]
    names, name = list(outputs), settings.layer
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"its last ones are {', '.join(names[-3:])}."
    raise OptionError(f"there is no layer '{name}' in {_named(settings)}; {hint}")


def _named(settings: FeaturesSettings) -> str:
    return settings.run or settings.backbone
