"""Settings of the commands of `tlkit search`."""

from dataclasses import dataclass
from typing import Literal

from tlkit.errors import OptionError
from tlkit.settings.base import documented, setting, validate
from tlkit.settings.commands import SourceSettings
from tlkit.settings.shared import RuntimeSettings, SplitSettings, check_split, trust_model_option

IndexKind = Literal["auto", "flat", "ivf", "hnsw", "pq", "opq-ivf-pq"]


@dataclass(frozen=True, kw_only=True)
class IndexMainSettings(SourceSettings):
    """Options of the index itself."""

    descriptor: str = setting(
        "",
        "Main",
        "Handcrafted descriptor instead of a network: pixels, colors, histogram, lbp, hog or haralick.",
    )
    index: IndexKind = setting(
        "auto", "Main", "Kind of index; auto chooses by the memory that the features need (docs/search.md)."
    )
    metric: Literal["cosine", "euclidean"] = setting("cosine", "Main", "Distance between features.")
    labels: bool = setting(True, "Main", "Classes from DATA; without them every image below DATA is taken.")
    pca: int = setting(0, "Compression", "Number of principal components to keep; 0 for no PCA.", min=0)
    code_bytes: int = setting(32, "Compression", "Bytes per image of pq and opq-ivf-pq.", min=1, max=256)


@documented
@dataclass(frozen=True, kw_only=True)
class IndexSettings(RuntimeSettings, SplitSettings, IndexMainSettings):
    """Settings of `tlkit search index`."""

    def __post_init__(self) -> None:
        validate(self)
        check_split(self)
        if self.descriptor and self.run:
            raise OptionError("--descriptor and --run are both given; give one of them.")


@documented
@dataclass(frozen=True, kw_only=True)
class QuerySettings:
    """Settings of `tlkit search query`."""

    k: int = setting(10, "Main", "Number of nearest images for each query.", min=1, max=10_000)
    rerank: int = setting(
        500,
        "Speed",
        "Candidates of an index of codes whose exact distances are computed; 0 for the distances of codes.",
        min=0,
        max=100_000,
    )
    format: Literal["auto", "table", "csv", "json"] = setting(
        "auto", "Output", "Output format; auto follows the ending of -o, else table on a terminal, csv in a pipe."
    )
    run: str = setting("", "Run", "Run folder whose features the index has, if it moved.")
    trust_model: bool = trust_model_option()

    def __post_init__(self) -> None:
        validate(self)


@documented
@dataclass(frozen=True, kw_only=True)
class SearchEvaluateSettings:
    """Settings of `tlkit search evaluate`."""

    queries: str = setting("", "Main", "Folder or table of labeled images to use as queries.")
    subset: Literal["all", "validation", "test"] = setting(
        "all", "Main", "Images of the index to use as queries; validation and test are looked for among train images."
    )
    precision_k: int = setting(5, "Main", "Number of nearest images whose precision is measured.", min=1, max=1000)
    recall_k: int = setting(10, "Main", "Number of nearest images whose recall is measured.", min=1, max=1000)
    max_queries: int = setting(2000, "Main", "Maximum number of queries; of more, this number is drawn.", min=1)
    run: str = setting("", "Run", "Run folder whose features the index has, if it moved.")
    trust_model: bool = trust_model_option()

    def __post_init__(self) -> None:
        validate(self)
        if self.queries and self.subset != "all":
            raise OptionError("--queries and --subset are both given; give one of them.")
