"""The registry of export formats: the files of each, what it can quantize, and the packages that it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tlkit.errors import ModelError, OptionError, require
from tlkit.export.base import Exporter


@dataclass(frozen=True)
class ExportFormat:
    """A row of the registry.

    Attributes:
        title: for people
        files: that it writes, folders with a slash at the end
        quantize: values of --quantize that it takes
        load: imports its library, and gives what writes and opens its files
        packages: that it needs, each with the extra that installs it; those of int8 under that name
        takes_classic: whether it can hold a classic pipeline
        in_all: whether --format all writes it
        can_resize: whether its file can make an image square, for --with-resize
    """

    title: str
    files: tuple[str, ...]
    quantize: tuple[str, ...]
    load: Callable[[], Exporter]
    packages: dict[str, tuple[tuple[str, str], ...]]
    takes_classic: bool = False
    in_all: bool = True
    can_resize: bool = False


def _load_litert() -> Exporter:
    from tlkit.export.litert import LiteRTExporter

    return LiteRTExporter()


def _load_saved_model() -> Exporter:
    from tlkit.export.saved_model import SavedModelExporter

    return SavedModelExporter()


def _load_onnx() -> Exporter:
    from tlkit.export.onnx.exporter import OnnxExporter

    return OnnxExporter()


def _load_hub() -> Exporter:
    from tlkit.export.hub import HubExporter

    return HubExporter()


def _load_openvino() -> Exporter:
    from tlkit.export.openvino import OpenVINOExporter

    return OpenVINOExporter()


FORMATS = {
    "litert": ExportFormat(
        title="LiteRT",
        files=("model.tflite",),
        quantize=("none", "float16", "dynamic", "int8"),
        load=_load_litert,
        packages={"": (("tensorflow", "train"), ("ai-edge-litert", "train"))},
    ),
    "saved_model": ExportFormat(
        title="SavedModel",
        files=("saved_model/",),
        quantize=("none",),
        load=_load_saved_model,
        can_resize=True,
        packages={"": (("tensorflow", "train"),)},
    ),
    "onnx": ExportFormat(
        title="ONNX",
        files=("model.onnx",),
        quantize=("none", "float16", "int8"),
        load=_load_onnx,
        packages={"": (("onnx", "onnx"), ("onnxruntime", "onnx"))},
        takes_classic=True,
        can_resize=True,
    ),
    "openvino": ExportFormat(
        title="OpenVINO",
        files=("model.xml", "model.bin"),
        quantize=("none", "float16", "int8"),
        load=_load_openvino,
        packages={"": (("tensorflow", "train"), ("openvino", "openvino")), "int8": (("nncf", "nncf"),)},
    ),
    "hub": ExportFormat(
        title="Hub",
        files=("model.keras", "README.md", "config.json"),
        quantize=("none",),
        load=_load_hub,
        packages={"": (("tensorflow", "train"),)},
        in_all=False,
    ),
}


def choose_formats(
    name: str, quantize: str, with_resize: bool = False, classic: bool = False
) -> dict[str, ExportFormat]:
    """Choose the formats that an export writes, and check that they can be written.

    Args:
        name: of a format, or "all" for those that take these options
        with_resize: whether the files make images square
        classic: whether the classifier is classic

    Raises:
        OptionError: if the format does not take them
        ModelError: if the format cannot hold a classic classifier, or a package is not installed
    """
    if with_resize and quantize != "none":
        raise OptionError(f"--with-resize takes --quantize none, not {quantize}; omit one of them.")
    if classic and quantize != "none":
        raise OptionError(
            f"--quantize {quantize} is for networks, and the run contains a classic classifier; omit --quantize."
        )
    if name != "all":
        _check_format(name, quantize, with_resize, classic)
    chosen = {
        key: row
        for key, row in FORMATS.items()
        if key == name
        or (
            (name == "all" and row.in_all)
            and quantize in row.quantize
            and row.can_resize >= with_resize
            and row.takes_classic >= classic
        )
    }
    for key, row in chosen.items():
        for package, extra in (*row.packages.get("", ()), *row.packages.get(quantize, ())):
            require(package, extra, f"--format {key}" + f" --quantize {quantize}" * (quantize in row.packages))
    return chosen


def _check_format(name: str, quantize: str, with_resize: bool, classic: bool) -> None:
    """Check that a format takes the options of `choose_formats`; ModelError or OptionError if not"""
    row = FORMATS[name]
    if classic and not row.takes_classic:
        others = " or ".join(other for other, found in FORMATS.items() if found.takes_classic)
        raise ModelError(
            f"the run contains a classic classifier, which --format {name} cannot hold; use --format {others}."
        )
    if quantize not in row.quantize:
        others = ", ".join(other for other, found in FORMATS.items() if quantize in found.quantize)
        raise OptionError(
            f"--format {name} takes --quantize {' or '.join(row.quantize)}, not {quantize}; "
            f"formats that take {quantize}: {others}."
        )
    if with_resize and not row.can_resize:
        others = " or ".join(other for other, found in FORMATS.items() if found.can_resize)
        raise OptionError(f"--with-resize takes --format {others}, not {name}: its file takes square images.")


def describe_left_out(chosen: Mapping[str, ExportFormat], quantize: str, with_resize: bool, classic: bool) -> str:
    """Say which formats `--format all` leaves out, and why; "" if there are none."""
    titles = [row.title for key, row in FORMATS.items() if row.in_all and key not in chosen]
    reason = "a classic classifier" if classic else "--with-resize" if with_resize else f"--quantize {quantize}"
    return f"formats that do not take {reason} are left out: {', '.join(titles)}." if titles else ""
