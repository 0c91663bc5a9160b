"""Checks of the installation: versions, packages, engines. Nothing here imports TensorFlow."""

import importlib.metadata
import platform
from importlib import import_module
from importlib.util import find_spec

from packaging.requirements import Requirement

from tlkit.doctor.base import Observation
from tlkit.engines.base import PACKAGES, RECORDED_PACKAGES, choose_engine, installed_version, is_installed

NOT_OFFERED = ("all", "dev", "docs", "release", "web")  # extras that are sums of others, or that users do not need
IMPORTED = {"litert": "ai_edge_litert.interpreter", "openvino": "openvino"}  # what loads an engine's own library


def check_software() -> list[Observation]:
    """Look at versions, required and optional packages, and engines."""
    version = importlib.metadata.version("tlkit")
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return [
        Observation("tlkit", f"{version} on Python {platform.python_version()}, {system}"),
        _check_packages(),
        *_check_extras(),
        *_check_engines(),
    ]


def requirements(extra: str = "") -> list[Requirement]:
    """List the packages that tlkit needs here, or those that an extra adds."""
    found = [Requirement(line) for line in importlib.metadata.requires("tlkit") or []]
    always = [item for item in found if item.marker is None or item.marker.evaluate({"extra": ""})]
    if not extra:
        return always
    return [item for item in found if item not in always and item.marker and item.marker.evaluate({"extra": extra})]


def extras() -> dict[str, list[Requirement]]:
    """List the packages of each extra that users may want."""
    names = importlib.metadata.metadata("tlkit").get_all("Provides-Extra") or []
    return {
        name: [item for item in requirements(name) if item.name != "tlkit"] for name in names if name not in NOT_OFFERED
    }


def _check_packages() -> Observation:
    """Compare the required packages, and optional ones that are installed, with the versions that tlkit needs."""
    optional = [item for items in extras().values() for item in items if installed_version(item.name)]
    wrong = [item for item in dict.fromkeys([*requirements(), *optional]) if not _is_met(item)]
    if wrong:
        found = [
            f"{item.name} {installed_version(item.name) or 'is missing'}, needed {item.specifier}" for item in wrong
        ]
        command = " ".join(f"'{item.name}{item.specifier}'" for item in wrong)
        return Observation("packages", "; ".join(found), "problem", f"pip install {command}", 4)
    found = [f"{name} {version}" for name in RECORDED_PACKAGES if (version := installed_version(name))]
    return Observation("packages", ", ".join(found))


def _is_met(item: Requirement) -> bool:
    version = installed_version(item.name)
    return bool(version) and item.specifier.contains(version, prereleases=True)


def _check_extras() -> list[Observation]:
    """List the optional packages that are missing, with the command that installs all of them."""
    absent = {
        extra: [item.name for item in items if not installed_version(item.name)] for extra, items in extras().items()
    }
    missing = {extra: names for extra, names in absent.items() if names}
    if not missing:
        return [Observation("optional", "every optional package is installed")]
    listed = ", ".join(f"{' and '.join(names)} ({extra})" for extra, names in missing.items())
    return [Observation("optional", f"not installed: {listed}", remedy=f"pip install 'tlkit[{','.join(missing)}]'")]


def _check_engines() -> list[Observation]:
    """Load the library of every engine but Keras, whose import takes seconds."""
    has_default = is_installed("litert") or is_installed("keras")
    default = choose_engine("auto", "float32") if has_default else ""
    works, findings = [], []
    for name in ("litert", "openvino", "keras"):
        if not is_installed(name):
            continue
        if problem := import_problem(IMPORTED.get(name, "")):
            text = f"{name} is installed but cannot be loaded ({problem})"
            remedy = f"pip install --force-reinstall {PACKAGES[name]}"
            findings.append(Observation("engines", text, "problem", remedy, 4))
        else:
            works.append(f"{name} {installed_version(PACKAGES[name])}" + " (default)" * (name == default))
    if not has_default:
        text = "neither litert nor keras is installed: predict cannot run a network"
        findings.append(Observation("engines", text, "problem", "pip install 'tlkit[train]'", 4))
    elif not is_installed("litert"):
        text = "litert is not installed: predict uses Keras, which is slower and takes seconds to start"
        findings.append(Observation("engines", text, "remark", f"pip install {PACKAGES['litert']}"))
    return [Observation("engines", ", ".join(works)), *findings] if works else findings


def import_problem(module: str) -> str:
    """Import a module, and give the first line of the error; "" where there is none."""
    try:
        if module and find_spec(module.partition(".")[0]):
            import_module(module)
    except Exception as error:  # a library that is damaged can raise anything
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ""
