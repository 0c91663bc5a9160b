"""Versions and the processor: pixels, hashes and features depend on them, not on their input alone."""

import importlib.metadata
import platform
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

PACKAGES = ("tlkit", "pillow", "numpy", "ai-edge-litert", "openvino", "scikit-image", "pillow-heif", "pydicom")
CODECS = ("libjpeg_turbo", "jpg", "zlib", "webp", "avif", "libtiff")  # that Pillow was built with
FLAGS = {  # of processors, by which engines choose how they add up; the names of Linux, on x86 and on ARM
    *("fma", "avx", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_bf16", "amx_int8", "amx_tile", "avx_vnni", "asimd", "asimdhp", "asimddp", "sve", "sve2", "i8mm", "bf16"),
}


@dataclass(frozen=True)
class Software:
    """Versions and processor of one process.

    Attributes:
        python: major and minor version
        packages: installed versions by name, as `name version, …`
        codecs: versions of the libraries that Pillow decodes with
        processor: architecture, and those of `FLAGS` it has
    """

    python: str
    packages: str
    codecs: str
    processor: str


def this_software() -> Software:
    """Describe this process."""
    return Software(
        python=".".join(platform.python_version_tuple()[:2]),
        packages=", ".join(f"{name} {version}" for name in PACKAGES if (version := _installed(name))),
        codecs=", ".join(f"{name} {version}" for name, version in _codecs()),
        processor=" ".join([platform.machine(), *sorted(FLAGS & _processor_flags())]),
    )


def software_difference(theirs: Software, ours: Software) -> str:
    """Say what differs, in a few words; "" where nothing does.

    >>> ours = Software("3.12", "tlkit 1, pillow 13", "zlib 1.3", "x86_64 avx2")
    >>> software_difference(Software("3.12", "tlkit 1, pillow 12", "zlib 1.3", "x86_64"), ours)
    "its packages are 'pillow 12' instead of 'pillow 13'; its processor lacks avx2"
    """
    parts = []
    for name, ours_text in asdict(ours).items():
        theirs_text = getattr(theirs, name)
        if theirs_text == ours_text:
            continue
        separator = " " if name == "processor" else ", "
        mine, others = ours_text.split(separator), theirs_text.split(separator)
        missing = [word for word in mine if word not in others]
        added = [word for word in others if word not in mine]
        if name == "processor" and platform_of(theirs_text) == platform_of(ours_text):
            words = [f"lacks {' '.join(missing)}"] * bool(missing) + [f"has {' '.join(added)}"] * bool(added)
            parts.append(f"its processor {' and '.join(words)}")
        else:
            shown = [", ".join(words) or "none" for words in (added, missing)]
            verb = "is" if name in ("python", "processor") else "are"
            parts.append(f"its {name} {verb} '{shown[0]}' instead of '{shown[1]}'")
    return "; ".join(parts)


def platform_of(processor: str) -> str:
    """Give the architecture in `Software.processor`."""
    return processor.partition(" ")[0]


def node_name() -> str:
    """Name this machine, for people."""
    return socket.gethostname()


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _codecs() -> list[tuple[str, str]]:
    from PIL import features

    found = []
    for name in CODECS:
        with suppress(ValueError):  # this Pillow does not know it
            version = features.version(name)
            found.append((name, str(version) if version else ""))
    return [(name, version) for name, version in found if version]


def _processor_flags() -> set[str]:
    """Read what the processor can do; nothing where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return set(value.split())
    return set()
