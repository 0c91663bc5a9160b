"""Checks of the installation: versions, packages, engines. Nothing here imports TensorFlow."""

import importlib.metadata
import platform
from importlib import import_module
from importlib.util import find_spec

from packaging.requirements import Requirement

from tlkit.doctor.base import Observation
from tlkit.engines.base import PACKAGES, choose_engine, installed_version, is_installed

DEVELOPMENT = "dev"  # the extra that users do not need
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


def _check_packages() -> Observation:
    """Compare the required packages with the versions that tlkit needs."""
    names = ("keras", "tensorflow", "numpy", "pillow")
    wrong = [item for item in requirements() if not _is_met(item)]
    if wrong:
        found = [
            f"{item.name} {installed_version(item.name) or 'is missing'}, needed {item.specifier}" for item in wrong
        ]
        command = " ".join(f"'{item.name}{item.specifier}'" for item in wrong)
        return Observation("packages", "; ".join(found), "problem", f"pip install {command}", 4)
    return Observation("packages", ", ".join(f"{name} {installed_version(name)}" for name in names))


def _is_met(item: Requirement) -> bool:
    version = installed_version(item.name)
    return bool(version) and item.specifier.contains(version, prereleases=True)


def _check_extras() -> list[Observation]:
    """List the optional packages that are missing, with the command that installs all of them."""
    extras = importlib.metadata.metadata("tlkit").get_all("Provides-Extra") or []
    missing = dict[str, list[str]]()
    for extra in extras:
        names = [item.name for item in requirements(extra) if item.name != "tlkit" and not _is_met(item)]
        if names and extra != DEVELOPMENT:
            missing[extra] = names
    if not missing:
        return [Observation("optional", "every optional package is installed")]
    listed = ", ".join(f"{' and '.join(names)} ({extra})" for extra, names in missing.items())
    return [Observation("optional", f"not installed: {listed}", remedy=f"pip install 'tlkit[{','.join(missing)}]'")]


def _check_engines() -> list[Observation]:
    """Load the library of every engine but Keras, whose import takes seconds."""
    default = choose_engine("auto", "float32") if is_installed("litert") or is_installed("keras") else ""
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
    if not is_installed("litert"):
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
