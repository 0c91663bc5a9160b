"""Runs the tutorial's commands, draws its plots and writes its page; every number is measured in this run.

usage: python docs/tutorial/make.py [FOLDER]     runs and cache go to FOLDER, build/tutorial unless given

Nothing is downloaded: KERAS_HOME points to an empty folder, so the comparison has no pretrained networks.
`figures.json` keeps what was measured, and README.md is `template.md` with that filled in.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import page
import plots

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SCENES = ROOT / "sample_data" / "beach_desert"
COMPARED = {"colors", "classic", "linear", "mlp", "lenet"}
PCA, CLASSIFIERS = ("--classifier", "knn", "--pca", 32), ("svm", "logistic")  # of the section on pixels


def main() -> None:
    """Measure and draw everything, from an empty folder."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "tutorial").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "keras").mkdir(parents=True)
    os.environ |= {"TLKIT_CACHE": str(folder / "cache"), "KERAS_HOME": str(folder / "keras"), "COLUMNS": "100"}
    os.chdir(folder)
    shutil.copytree(SCENES, "scenes")
    figures = measure()
    draw()
    page.FIGURES.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    page.PAGE.write_text(page.page(), encoding="utf-8")


def measure() -> dict[str, str]:
    """Run the commands, and collect outputs and figures by their names in the template."""
    strangers = plots.make_strangers(Path("strangers"), Path("scenes/beach/beach_01.jpg"))
    printed = {"sample": tlkit("sample", "digits", "digits")}
    printed["scenes"] = head(
        tlkit(*train("scenes", "colors"), "--classifier", "logistic", "--validation-split", 0.3), 3
    )
    printed |= pixels()
    printed["hog"] = head(tlkit(*train("digits", "hog")), 3)
    printed["compare"] = tlkit("compare", "digits", "-o", "compare", "--format", "table")
    printed["hinge"] = hinge()
    printed["gradients"] = tlkit("gradcheck", "lenet5").splitlines()[-1]
    printed["layers"] = tlkit("summary", "lenet5_relu", "--num-classes", 10)
    printed["features"] = tlkit(
        "features", "digits", "--run", "compare/lenet", "--pca", 16, "--pq", 8, "-o", "codes.npz"
    )
    tlkit("features", "digits", "--run", "compare/lenet", "--pca", 2, "-o", "map.npz")
    printed["fooled"] = tlkit("predict", "compare/lenet", *strangers, "--format", "table")
    printed["demo"] = transfer()
    printed |= limits()
    return {name: text.rstrip() for name, text in printed.items()} | accuracies() | wrong()


def train(data: str, descriptor: str) -> tuple[object, ...]:
    """Give the words of a classic training into `<data>-<descriptor>`."""
    return "train", data, "--descriptor", descriptor, "-o", f"{data}-{descriptor}"


def pixels() -> dict[str, str]:
    """Train nearest neighbors on pixels and on principal components, and two other classifiers on pixels."""
    trained = {"pixels_knn": ("--classifier", "knn"), "pixels_pca": PCA}
    trained |= {f"pixels_{name}": ("--classifier", name) for name in CLASSIFIERS}
    printed = {
        name: tlkit("train", "digits", "--descriptor", "pixels", *options, "-o", name)
        for name, options in trained.items()
    }
    accuracy = {
        name: json.loads(Path(name, "metrics.json").read_text(encoding="utf-8"))["accuracy"] for name in trained
    }
    figures = {name: f"{100 * accuracy[name]:.1f} %" for name in trained}
    return figures | {"pixels_knn": head(printed["pixels_knn"], 3)}


def hinge() -> str:
    """Train the linear classifier by the hinge loss, and give its accuracy."""
    tlkit("train", "digits", "--model", "linear", "--loss", "hinge", "-o", "hinge")
    return f"{100 * json.loads(Path('hinge', 'metrics.json').read_text(encoding='utf-8'))['accuracy']:.1f} %"


def accuracies() -> dict[str, str]:
    """Collect the accuracies of the candidates that were compared."""
    results = {row["model"]: row for row in rows_of("compare/compare.csv")}
    return {name: f"{100 * float(results[name]['accuracy']):.1f} %" for name in COMPARED}


def rows_of(file: str) -> list[dict[str, str]]:
    """Read the rows of a csv file."""
    with Path(file).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def wrong() -> dict[str, str]:
    """Count the validation images that LeNet misclassifies, and find its highest confidence in one."""
    rows = rows_of("compare/lenet/predictions_val.csv")
    confidences = [float(row["confidence"]) for row in rows if row["label"] != row["class"]]
    highest = f"{100 * max(confidences):.0f} %" if confidences else "–"
    return {"mistakes": str(len(confidences)), "images": str(len(rows)), "highest": highest}


def transfer() -> str:
    """Run the demo, and give the lines that compare transfer with training from scratch."""
    lines = command(sys.executable, str(ROOT / "sample_data" / "demo.py"), "demo").splitlines()
    start = next(index for index, line in enumerate(lines) if "test images of 5 to 9" in line)
    return "\n".join(lines[start : start + 3])


def limits() -> dict[str, str]:
    """Damage and attack the validation images of LeNet, and compare models by more than their accuracy."""
    damaged = tlkit("robustness", "compare/lenet", "--severities", "1,3,5").rpartition("\nrun ")[0]
    attacked = head(tlkit("attack", "compare/lenet", "--epsilon", "4,16,32"), 7)
    only = ("--only", "pixels,linear,lenet", "--retrieval", "--adversarial")
    compared = tlkit("compare", "digits", *only, "-o", "limits", "--format", "table", "--no-report")
    tlkit("search", "index", "digits", "--run", "compare/lenet", "-o", "digits.index")
    search = head(tlkit("search", "evaluate", "digits.index", "--subset", "validation"), 5)
    return {"damaged": damaged, "attacked": attacked, "limits": compared.split("\n\n")[1], "search": search}


def draw() -> None:
    """Draw every plot of the page."""
    plots.draw_colors(Path("scenes"), HERE / "colors.png")
    plots.draw_hog(Path("digits"), HERE / "hog.png")
    plots.draw_templates(Path("compare/linear/model.keras"), HERE / "templates.png")
    (HERE / "layers.png").unlink(missing_ok=True)
    tlkit("visualize", "compare/lenet", "--image", "digits/3/digit_0099.png", "-o", HERE / "layers.png")
    plots.draw_map(Path("map.npz"), HERE / "map.png")
    plots.draw_mistakes(Path("digits"), Path("compare/lenet"), HERE / "mistakes.png")
    shutil.copyfile("compare/lenet/plots/curves.png", HERE / "curves.png")
    shutil.copyfile("compare/compare.png", HERE / "compare.png")


def head(text: str, lines: int) -> str:
    """Give the first lines of a text, without the empty one before them."""
    return "\n".join(text.strip("\n").splitlines()[:lines])


def tlkit(*words: object) -> str:
    """Run a command, and give its output."""
    return command(sys.executable, "-m", "tlkit", *map(str, words))


def command(*words: str) -> str:
    """Run a program, and give its output; CalledProcessError if it fails."""
    print(" ".join(words[1:]), file=sys.stderr)
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
