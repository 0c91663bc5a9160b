"""Settings of the commands that do not train."""

from dataclasses import dataclass
from typing import Literal

from tlkit.settings.base import documented, setting, validate
from tlkit.settings.shared import (
    MAX_SEED,
    AugmentSettings,
    CsvDialect,
    EngineName,
    LayoutSettings,
    PixelSettings,
    Preset,
    Resize,
    RuntimeSettings,
    SplitSettings,
    check_split,
    csv_dialect_option,
    parse_gray_range,
    trust_model_option,
)
from tlkit.settings.training import TrustSettings, VariantSettings
from tlkit.utils.text import parse_duration

TableFormat = Literal["auto", "table", "csv", "json", "jsonl", "xlsx", "parquet", "shards"]


@dataclass(frozen=True, kw_only=True)
class ContactSheetMainSettings:
    """Options of the sheet itself."""

    for_command: Literal["finetune", "train"] = setting(
        "finetune", "Main", "Command whose views to show; by default train does not mirror digits and letters."
    )
    augment: Preset = setting("light", "Main", "Augmentation strength; the single amounts below override it.")
    rows: int = setting(6, "Main", "Number of images, one per row, from all classes.", min=1, max=50)
    views: int = setting(8, "Main", "Number of views per image; the first is unchanged.", min=1, max=50)
    image_size: int = setting(160, "Main", "View height and width in pixels.", min=16, max=1024)
    resize: Resize = setting(
        "auto", "Input", "Method to make an image square: crop, pad or squash; auto pads long images."
    )
    seed: int = setting(0, "Main", "Random seed of the augmentation.", min=0, max=MAX_SEED)


@documented
@dataclass(frozen=True, kw_only=True)
class ContactSheetSettings(AugmentSettings, LayoutSettings, ContactSheetMainSettings):
    """Settings of `tlkit augment`."""

    def __post_init__(self) -> None:
        validate(self)


@documented
@dataclass(frozen=True, kw_only=True)
class CompareSettings(TrustSettings, LayoutSettings, PixelSettings):
    """Settings of `tlkit compare`."""

    only: str = setting(
        "",
        "Main",
        "Comma-separated models to compare, e.g. classic,lenet; any network of `tlkit models` works. "
        "Default: the usual ones.",
    )
    time_limit: str = setting(
        "",
        "Main",
        "Time budget for all models, e.g. 15m (a bare number is seconds); models that do not fit are skipped.",
    )
    validation_split: float = setting(
        0.2, "Main", "Fraction of the images held out for validation, if DATA has no val/.", above=0, below=1
    )
    seed: int = setting(0, "Main", "Random seed of the split, the image order and new weights.", min=0, max=MAX_SEED)
    retrieval: bool = setting(
        False,
        "Main",
        "Column precision@5: of the five validation images nearest by a model's features, those of the same class.",
    )
    adversarial: bool = setting(
        False,
        "Main",
        "Column epsilon: the change of pixels, in gray levels, that makes half of the correct answers wrong (PGD, 50 "
        "images; without a gradient the Square attack, 20 images).",
    )
    report: bool = setting(
        True, "Run", "Page compare.html in the run folder: accuracy, mistakes of each model, where they agree."
    )

    def __post_init__(self) -> None:
        validate(self)
        parse_duration(self.time_limit)
        parse_gray_range(self.gray_range)


@documented
@dataclass(frozen=True, kw_only=True)
class CheckSettings(LayoutSettings, PixelSettings):
    """Settings of `tlkit check`."""

    backbone: str = setting(
        "auto",
        "Main",
        "Pretrained backbone whose features find label errors, outliers and crops; auto takes one whose weights are "
        "cached, none does without.",
    )

    def __post_init__(self) -> None:
        validate(self)
        parse_gray_range(self.gray_range)


@documented
@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(LayoutSettings):
    """Settings of `tlkit evaluate`."""

    split: Literal["auto", "train", "validation", "test", "all"] = setting(
        "auto",
        "Main",
        "Subset to use; auto: the validation images of RUN, or of DATA its test/, else its val/, else all.",
    )
    include_training: bool = setting(
        False, "Main", "All images of DATA count, also those that RUN was trained on or validated with."
    )
    min_accuracy: float = setting(
        0.0, "Gates", "Minimum accuracy; below it the exit code is 5. 0 for no gate.", min=0, max=1
    )
    min_recall: tuple[str, ...] = setting(
        (), "Gates", "Minimum recall of a class, e.g. cat=0.9; below it the exit code is 5. Repeatable."
    )
    max_ece: float | None = setting(
        None,
        "Gates",
        "Maximum calibration error (ECE) on new images; above it the exit code is 5. Default: no gate.",
        min=0,
        max=1,
    )
    junit: str = setting("", "Gates", "New file for the gates as JUnit XML, one test case each; it is for CI.")
    top_k: int = setting(3, "Main", "Number of most probable classes for the top-k accuracy.", min=1)
    unknown_data: str = setting(
        "",
        "Main",
        "Folder of images of no class; measures how well RUN separates them. Default: DATA/_unknown, if any.",
    )
    engine: EngineName = setting("auto", "Speed", "Engine; auto is the one the run was trained with.")
    trust_model: bool = trust_model_option()
    csv_dialect: CsvDialect = csv_dialect_option()
    probs: bool = setting(
        False,
        "Output",
        "Probability of every class in predictions.csv; without it, above 100 classes, of the ten most probable.",
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """Options of the network whose features are written."""

    backbone: str = setting("mobilenet_v2", "Main", "Pretrained network to use; `tlkit models` lists all.")
    run: str = setting("", "Main", "Run folder whose network to use instead; latest for the newest run.")
    trust_model: bool = trust_model_option()
    layer: str = setting(
        "", "Main", "Layer to export; feature maps are averaged over the image. Default: the input of the head."
    )
    weights: str = setting("imagenet", "Input", "Weights of the backbone: imagenet, none (random) or a weights file.")


@dataclass(frozen=True, kw_only=True)
class CompressionSettings:
    """Options of compression, which is fitted on training images alone."""

    pca: int = setting(0, "Compression", "Number of principal components to keep; 0 for no PCA.", min=0)
    pq: int = setting(0, "Compression", "Product quantization: bytes per image, after any PCA; 0 for none.", min=0)


@documented
@dataclass(frozen=True, kw_only=True)
class FeaturesSettings(RuntimeSettings, CompressionSettings, SplitSettings, SourceSettings):
    """Settings of `tlkit features`."""

    csv_dialect: CsvDialect = csv_dialect_option()

    def __post_init__(self) -> None:
        validate(self)
        check_split(self)


@documented
@dataclass(frozen=True, kw_only=True)
class GradcheckSettings:
    """Settings of `tlkit gradcheck`."""

    image_size: int = setting(
        0, "Main", "Image height and width in pixels; 0 for the minimum of the network.", min=0, max=512
    )
    num_classes: int = setting(4, "Main", "Number of classes.", min=2, max=1000)
    width: float = setting(0.1, "Main", "Width multiplier: factor on the number of filters and units.", above=0, max=8)
    per_layer: int = setting(4, "Main", "Number of entries checked per weight tensor.", min=1, max=1000)
    seed: int = setting(0, "Main", "Random seed of weights, images and checked entries.", min=0, max=MAX_SEED)

    def __post_init__(self) -> None:
        validate(self)


@documented
@dataclass(frozen=True, kw_only=True)
class LrFindSettings(VariantSettings):
    """Settings of `tlkit lr-find` beside those of `tlkit finetune`."""

    model: str = setting(
        "", "Main", "Architecture of `tlkit train` to test instead of a backbone; `tlkit models` lists all."
    )

    def __post_init__(self) -> None:
        validate(self)


@documented
@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Settings of `tlkit predict`."""

    format: TableFormat = setting(
        "auto", "Output", "Output format; auto follows the ending of -o, else table on a terminal, csv in a pipe."
    )
    top_k: int = setting(1, "Output", "Number of most probable classes per image.", min=1)
    probs: bool = setting(False, "Output", "Probability of every class.")
    unknown: bool | None = setting(
        None,
        "Output",
        "Answer unknown for images unlike the training images or not sure. Default: if RUN has a threshold.",
    )
    scores: bool = setting(False, "Output", "Distance to the training images as a column, 0 (equal) to 2.")
    min_confidence: float = setting(0.0, "Output", "Minimum confidence; below it the answer is unknown.", min=0, max=1)
    copy: bool = setting(False, "Output", "Copies instead of links, with --sort-into.")
    csv_dialect: CsvDialect = csv_dialect_option()
    skip_unreadable: bool = setting(False, "Output", "Unreadable inputs are left out and do not change the exit code.")
    verify: bool = setting(
        False, "Main", "Replay of the golden samples of RUN first; if an answer differs, the exit code is 4."
    )
    engine: EngineName = setting("auto", "Speed", "Engine; auto is the one the run was trained with.")
    trust_model: bool = trust_model_option()

    def __post_init__(self) -> None:
        validate(self)


@documented
@dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """Settings of `tlkit explain`."""

    class_name: str = setting("", "Main", "Class whose reasons to show. Default: the most probable one of each image.")
    method: Literal["auto", "gradcam", "gradcam++", "occlusion"] = setting(
        "auto", "Main", "How reasons are found; auto is gradcam for a network, and for others what serves them."
    )
    trust_model: bool = trust_model_option()

    def __post_init__(self) -> None:
        validate(self)


@documented
@dataclass(frozen=True, kw_only=True)
class RunsSettings:
    """Settings of `tlkit runs`."""

    sort: Literal["when", "accuracy", "size", "name"] = setting(
        "when", "Main", "Order: when (newest first), accuracy (highest first), size (largest first) or name."
    )
    format: Literal["auto", "table", "csv", "json"] = setting(
        "auto", "Output", "Output format; auto is table on a terminal, csv in a pipe."
    )

    def __post_init__(self) -> None:
        validate(self)


@documented
@dataclass(frozen=True, kw_only=True)
class SummarySettings:
    """Settings of `tlkit summary`."""

    image_size: int = setting(
        0, "Main", "Image height and width in pixels; 0 for the network's default.", min=0, max=2048
    )
    num_classes: int = setting(1000, "Main", "Number of classes.", min=1, max=100_000)
    width: float = setting(1.0, "Main", "Width multiplier: factor on the number of filters and units.", above=0, max=8)
    gray: bool = setting(False, "Main", "Grayscale input.")
    trust_model: bool = trust_model_option()

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class VisualizeMainSettings:
    """Options of what to show; without any of them, the filters of the first layer."""

    image: str = setting("", "Main", "Image file to show layer by layer, as feature maps.")
    layer: str = setting(
        "", "Main", "Layer whose units to maximize, or with --image to show too; `tlkit summary` lists the layers."
    )
    unit: int | None = setting(
        None, "Main", "Channel or unit of --layer to show, from 0. Default: several, spread over the layer.", min=0
    )
    class_name: str = setting("", "Main", "Class of the run to maximize, before the softmax.")
    map: Literal["pca", "tsne", "umap"] | None = setting(
        None, "Main", "Map of the run's validation images: pca, tsne or umap (an extra)."
    )


@documented
@dataclass(frozen=True, kw_only=True)
class VisualizeSettings(VisualizeMainSettings):
    """Settings of `tlkit visualize`."""

    steps: int = setting(64, "Main", "Number of steps of gradient ascent.", min=1, max=10_000)
    seed: int = setting(0, "Main", "Random seed: noise that the ascent starts from, t-SNE, UMAP.", min=0, max=MAX_SEED)
    weights: str = setting("imagenet", "Input", "Weights of a backbone: imagenet, none (random) or a weights file.")
    image_size: int = setting(
        0, "Input", "Image height and width in pixels; 0 for the network's default.", min=0, max=2048
    )
    trust_model: bool = trust_model_option()

    def __post_init__(self) -> None:
        validate(self)
