"""Comparisons: one function per question, each writes a Markdown table of ratios."""

from collections.abc import Callable
from typing import Any

from measure import FailedError, interleave, ratios, say, spread, table
from training_sections import accuracy, strategies, upper_blocks, whole_run
from workplace import PHOTOS, Workplace

Section = Callable[[Workplace], str]
HEAVY = ("tensorflow", "keras", "numpy", "ai_edge_litert", "openvino", "PIL", "sklearn", "matplotlib")
IMPORTED_BY_HELP = f"""
import sys
from tlkit.cli import main
main(["--help"], standalone_mode=False)
print("[" + ", ".join('"' + name + '"' for name in {HEAVY} if name in sys.modules) + "]")
"""


def overlap(place: Workplace) -> str:
    """Compare the feature stage with decode and engine, each alone."""
    place.run_of(PHOTOS, "--seed", "0")  # leaves the converted network in the cache
    figures = place.script("feature_stage.py", place.data[PHOTOS], "--repeats", str(place.rounds)).facts
    words = {"decode": "decode alone", "engine": "engine alone", "stage": "feature stage"}
    rows = [[words[name], spread(figures[name]), ""] for name in words]
    rows.append(["**stage / (decode + engine)**", spread(figures["ratio"]), "≤ 1.1"])
    return table(["", "seconds, or ratio", "goal"], rows)


def help_page(place: Workplace) -> str:
    """Measure how soon `tlkit --help` answers, and what it imports."""
    walls = [place.tlkit("--help").seconds for _ in range(10)]
    imported = place.python(IMPORTED_BY_HELP).facts
    rows = [
        ["`tlkit --help`, seconds, 10 times", spread(walls, 3), "≤ 0.2"],
        [f"imported of {', '.join(HEAVY)}", ", ".join(imported) or "none", "none"],
    ]
    return table(["", "found", "goal"], rows)


def one_image(place: Workplace) -> str:
    """Compare `tlkit predict` of one photo, whole process, with importing TensorFlow."""
    run = place.run_of(PHOTOS, "--seed", "0")
    photo = min(place.data[PHOTOS].rglob("*.jpg"))
    arms = {
        "`tlkit predict RUN one.jpg`": lambda: place.tlkit("predict", run, photo).seconds,
        '`python -c "import tensorflow"`': lambda: place.python("import tensorflow").seconds,
    }
    seconds = interleave(arms, 1 if place.quick else 5)
    rows: list[list[Any]] = [[name, spread(values), ""] for name, values in seconds.items()]
    rows.append(["**ratio**", spread(ratios(*seconds.values())), "≤ 0.3"])
    return table(["whole process", "seconds, or ratio", "goal"], rows)


def many_images(place: Workplace) -> str:
    """Compare photos per second after start-up with `model.predict` on the Keras loader."""
    data, run = place.data[PHOTOS], place.run_of(PHOTOS, "--seed", "0")
    arms = {
        "litert float32": lambda: place.script("tlkit_predict.py", run, data, "--engine", "litert").facts,
        "openvino bfloat16": lambda: place.script("tlkit_predict.py", reduced, data).facts,
        "Keras": lambda: place.script("keras_predict.py", run / "model.keras", data).facts,
    }
    note = ""
    try:
        reduced = place.run_of(PHOTOS, "--seed", "0", "--precision", "bfloat16")
    except FailedError as error:
        del arms["openvino bfloat16"]
        say(f"  {error}")
        note = "\n\nOpenVINO in bfloat16 was not measured: no run could be made with it here."
    facts = interleave(arms, place.rounds)
    rates = {name: [one["images_per_second"] for one in found] for name, found in facts.items()}
    goals = {"litert float32": "≥ 2.2", "openvino bfloat16": "≥ 3"}
    rows = [
        [name, spread(values, 0), spread(ratios(values, rates["Keras"])) if name in goals else "1", goals.get(name, "")]
        for name, values in rates.items()
    ]
    return table([f"{facts['Keras'][0]['images']} photos", "images/s", "× Keras", "goal"], rows) + note


SECTIONS: dict[str, tuple[str, Section]] = {
    "whole-run": ("From a folder to a classifier: whole processes", whole_run),
    "accuracy": ("Accuracy", accuracy),
    "upper-blocks": ("Upper blocks trained: whole processes", upper_blocks),
    "strategies": ("What --freeze auto chooses", strategies),
    "overlap": ("Decoding and inference overlap", overlap),
    "help": ("The help page", help_page),
    "one-image": ("One photo", one_image),
    "many-images": ("Many photos", many_images),
}
