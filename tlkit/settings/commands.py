"""Settings of the commands that do not train."""

from dataclasses import dataclass
from typing import Literal

from tlkit.settings.base import setting, validate
from tlkit.settings.shared import (
    MAX_SEED,
    AugmentSettings,
    EngineName,
    Preset,
    Resize,
    RuntimeSettings,
    SplitSettings,
    check_split,
)
from tlkit.utils.text import parse_duration

TableFormat = Literal["auto", "table", "csv", "json", "jsonl"]


@dataclass(frozen=True, kw_only=True)
class ContactSheetMainSettings:
    """Options of the sheet itself."""

    augment: Preset = setting("light", "Main", "How far pictures are varied; single amounts below win.")
    images: int = setting(6, "Main", "Pictures, one per line, spread over the classes.", min=1, max=50)
    views: int = setting(8, "Main", "Views of each; the first is plain.", min=1, max=50)
    image_size: int = setting(160, "Main", "Height and width of a view, in pixels.", min=16, max=1024)
    resize: Resize = setting(
        "crop", "Main", "How a picture becomes square: its central square, gray bars added, or squashed."
    )
    seed: int = setting(0, "Main", "Decides every draw.", min=0, max=MAX_SEED)


@dataclass(frozen=True, kw_only=True)
class ContactSheetSettings(AugmentSettings, ContactSheetMainSettings):
    """Settings of `tlkit augment`."""

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """Settings of `tlkit compare`."""

    only: str = setting("", "Main", "Rungs to try, with commas between, such as classic,lenet; not given, all.")
    time_limit: str = setting("", "Main", "When all should be done, such as 15m; what does not fit is left out.")
    validation_split: float = setting(
        0.2, "Main", "Share of the images kept for validation where DATA has no val/.", above=0, below=1
    )
    seed: int = setting(0, "Main", "Decides the split, the order of images and random weights.", min=0, max=MAX_SEED)
    resize: Resize = setting("crop", "Start", "How a picture becomes square.")

    def __post_init__(self) -> None:
        validate(self)
        parse_duration(self.time_limit)


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """Settings of `tlkit evaluate`."""

    split: Literal["auto", "train", "validation", "test", "all"] = setting(
        "auto", "Main", "Images to use; auto is validation, or for DATA its test/, else val/, else all."
    )
    include_training: bool = setting(False, "Main", "Count images of DATA that the run was trained on, too.")
    min_accuracy: float = setting(0.0, "Main", "Fail with exit code 5 below this accuracy.", min=0, max=1)
    top_k: int = setting(3, "Main", "Also tell how often the class is among this many likeliest.", min=1)
    engine: EngineName = setting("auto", "Speed", "What computes; auto is the engine the run was made with.")

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """Options of the network whose features are written."""

    backbone: str = setting("mobilenet_v2", "Main", "Pretrained network to take them from; `tlkit models` lists them.")
    run: str = setting("", "Main", "Take them from the network of a finished run instead: its folder.")
    layer: str = setting(
        "", "Main", "Layer to take, averaged over the picture where it is a map; not given, what is classified on."
    )
    weights: str = setting("imagenet", "Start", "The backbone's: imagenet, none (random) or a weights file.")


@dataclass(frozen=True, kw_only=True)
class CompressionSettings:
    """Options of compression, which is fitted on training images alone."""

    pca: int = setting(0, "Compression", "Principal components to reduce each row to; 0 for none.", min=0)
    pq: int = setting(
        0, "Compression", "Bytes to compress each row to by product quantization, after any PCA; 0 for none.", min=0
    )


@dataclass(frozen=True, kw_only=True)
class FeaturesSettings(RuntimeSettings, CompressionSettings, SplitSettings, SourceSettings):
    """Settings of `tlkit features`."""

    def __post_init__(self) -> None:
        validate(self)
        check_split(self)


@dataclass(frozen=True, kw_only=True)
class GradcheckSettings:
    """Settings of `tlkit gradcheck`."""

    image_size: int = setting(0, "Main", "Height and width in pixels; 0 for the least there can be.", min=0, max=512)
    num_classes: int = setting(4, "Main", "Classes it tells apart.", min=2, max=1000)
    width: float = setting(0.1, "Main", "Factor of the number of filters and units.", above=0, max=8)
    per_layer: int = setting(4, "Main", "Entries of each weight that are tried.", min=1, max=1000)
    seed: int = setting(0, "Main", "Decides weights, pictures and which entries.", min=0, max=MAX_SEED)

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Settings of `tlkit predict`."""

    format: TableFormat = setting(
        "auto", "Output", "Of the rows; auto is a table on a terminal, the ending of -o, else csv."
    )
    top_k: int = setting(1, "Output", "Likeliest classes shown per image.", min=1)
    probs: bool = setting(False, "Output", "Add the probability of every class.")
    skip_unreadable: bool = setting(False, "Output", "Leave out inputs that are no readable image, and do not fail.")
    engine: EngineName = setting("auto", "Speed", "What computes; auto is the engine the run was made with.")

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class SummarySettings:
    """Settings of `tlkit summary`."""

    image_size: int = setting(0, "Main", "Height and width in pixels; 0 for the network's own.", min=0, max=2048)
    num_classes: int = setting(1000, "Main", "Classes it tells apart.", min=1, max=100_000)
    width: float = setting(1.0, "Main", "Factor of the number of filters and units.", above=0, max=8)
    gray: bool = setting(False, "Main", "Let it see brightness only.")

    def __post_init__(self) -> None:
        validate(self)
