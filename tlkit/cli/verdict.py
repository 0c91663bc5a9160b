"""The quality of a classifier on the screen: accuracy, each class, mistakes by name, left-out files."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tlkit.cli.screen import BAD, FAINT, GLUE, GOOD, STRONG, WARN, Part, Screen, percent
from tlkit.utils.text import distinct_names, shorten_middle, whole_percent

if TYPE_CHECKING:
    from tlkit.data.listing import FileEntry
    from tlkit.evaluation.report import Report

MAX_CLASSES, WORST_CLASSES, BEST_CLASSES = 20, 10, 3  # all classes are listed up to the first number
MAX_MISTAKES = 5
MAX_NAMES = 3  # of files in one line
MIN_CONFUSIONS = 2  # of two classes, to be worth a line


def print_verdict(screen: Screen, report: "Report", images: str, style: str = STRONG) -> None:
    """Print the accuracy with its counts, its interval, and the baseline of the same images.

    Args:
        images: what they are called, such as "validation images"
    """
    print_accuracy(screen, report.num_correct, len(report.labels), images, style)
    class_name, accuracy = report.baseline
    print_figure(screen, "baseline", (f"{100 * accuracy:>5.1f}{GLUE}%  always answering '{class_name}'", FAINT))
    if not report.beats_baseline:
        screen.line(("Not significantly better than the baseline.", WARN), indent=2)


def print_accuracy(screen: Screen, correct: int, total: int, images: str, style: str = STRONG) -> None:
    """Print an accuracy with its counts, and its 95 % interval.

    Args:
        images: what they are called, with an addition after a comma, such as "images, each held out once"
    """
    from tlkit.evaluation.metrics import wilson_interval

    name, _, addition = images.partition(", ")
    counts = f"  {correct:,} of {total:,} {name} correct" + f", {addition}" * bool(addition)
    print_figure(screen, "accuracy", (f"{100 * correct / total:>5.1f}{GLUE}%", style), counts)
    low, high = wilson_interval(correct, total)
    print_figure(screen, "interval", f"{100 * low:>5.1f} to {percent(high)} (95{GLUE}%)")


def print_confidence(screen: Screen, calibration: Mapping[str, Any], unknown: Mapping[str, Any]) -> None:
    """Print how far confidence is from accuracy, and how many images get an answer.

    Args:
        calibration, unknown: entries of metrics.json
    """
    from tlkit.evaluation.calibration import MIN_IMAGES
    from tlkit.evaluation.rejection import min_images

    if calibration["judged"]:
        print_confidence_gap(screen, calibration)
    else:
        words = f"not calibrated: {calibration['num_images']:,} held-out images; expected {MIN_IMAGES} or more"
        print_figure(screen, "confidence", (f"    –    {words}", FAINT))
    if counts := unknown["validation"]:
        print_answered(screen, counts, ", as the threshold was chosen")
    else:
        words = "--coverage is 1, so no image is unknown"
        if (coverage := unknown["coverage"]) < 1:
            needed = min_images(coverage)
            words = (
                f"no threshold for unknown: {unknown['num_images']:,} validation images; expected {needed:,} or more"
            )
        print_figure(screen, "answered", (f"    –    {words}", FAINT))
    if unknown["auroc"] is not None:
        print_auroc(screen, unknown["auroc"], unknown["num_unknown"])


def print_auroc(screen: Screen, auroc: float, total: int) -> None:
    """Print how well images of no class are separated from known ones."""
    words = f"separation of {total:,} images of no class (1 is perfect, 0.5 is chance)"
    print_figure(screen, "AUROC", f"{auroc:>7.3f}  {words}")


def print_confidence_gap(screen: Screen, calibration: Mapping[str, Any]) -> None:
    """Print the expected calibration error with its interval.

    Args:
        calibration: `ece` and `ece_ci95`
    """
    low, high = calibration["ece_ci95"]
    words = f"mean gap between confidence and accuracy ({interval(low, high)})"
    if before := calibration.get("ece_before"):
        words += f"; {percent(before)} before calibration"
    if calibration.get("source") == "folds":
        words += ", on all images, each held out once"
    print_figure(screen, "confidence", f"{100 * calibration['ece']:>5.1f}{GLUE}%  {words}")


def print_answered(screen: Screen, counts: Mapping[str, Any], addition: str = "") -> None:
    """Print how many images get an answer that is not "unknown", and how many answers are correct.

    Args:
        counts: `num_images`, `num_answered` and `num_correct`
        addition: to the fraction of images that get an answer
    """
    answered, correct = counts["num_answered"], counts["num_correct"]
    words = f"of these images get an answer{addition}"
    if answered:
        words += f"; {percent(correct / answered)} of the answers are correct ({correct:,} of {answered:,})"
    print_figure(screen, "answered", f"{100 * answered / counts['num_images']:>5.1f}{GLUE}%  {words}")


def print_figure(screen: Screen, name: str, *parts: Part) -> None:
    """Print one figure below the other: its name, and the figure with what it is of."""
    screen.entry(f"  {name}", *parts)


def interval(low: float, high: float) -> str:
    """Write an interval of fractions in percent."""
    return f"{100 * low:.1f} to {percent(high)}"


def print_classes(screen: Screen, report: "Report", table: str = "per_class.csv") -> None:
    """Print recall and precision of each class; of many classes only the worst and the best.

    Args:
        table: where all of them are listed
    """
    scores = sorted(report.scores, key=lambda score: (score.support == 0, score.recall, score.precision))
    few = len(scores) <= MAX_CLASSES
    shown = report.scores if few else [*scores[:WORST_CLASSES], *scores[-BEST_CLASSES:]]
    names = _shown_names(report)
    rows = [_class_row(names[score.name], score.recall, score.precision, score.support) for score in shown]
    screen.blank()
    screen.table(("class", "recall", "correct", "precision"), rows)
    if not few:
        note = f"the {WORST_CLASSES} worst and {BEST_CLASSES} best of {len(scores):,} classes; all are in {table}"
        screen.line((note, FAINT))


def _shown_names(report: "Report") -> dict[str, str]:
    return dict(zip(report.class_names, distinct_names(report.class_names), strict=True))


def _class_row(name: str, recall: float, precision: float, support: int) -> list[Part]:
    if not support:
        return [(name, FAINT), ("–", FAINT), ("no image", FAINT), ("–", FAINT)]
    correct = round(recall * support)
    color = GOOD if recall >= 0.9 else WARN if recall >= 0.5 else BAD
    says = whole_percent(precision) if precision or correct else "–"  # never predicted, or never right
    return [name, (whole_percent(recall), color), f"{correct} of {support}", says]


def print_mistakes(screen: Screen, report: "Report", paths: Sequence[str], files: Sequence[str]) -> None:
    """Print the most confident mistakes by name, and which classes are confused most often.

    Args:
        paths: of the images, in the order of the report
        files: where all mistakes are listed and shown
    """
    order = report.mistakes
    if not order:
        return
    screen.blank()
    shown = order[:MAX_MISTAKES]
    listed = f"; all in {' and '.join(files)}" * bool(files)
    screen.line((f"{len(order):,} wrong", STRONG), ", the most confident first", (listed, FAINT))
    width = max(8, (screen.width - 34) // 2)
    shown_names = _shown_names(report)
    names = [shorten_middle(shown_names[name], width) for name in report.class_names]
    rows: list[list[Part]] = []
    for index in shown:
        true, predicted = int(report.labels[index]), int(report.predicted[index])
        confidence = (whole_percent(float(report.probabilities[index, predicted])), BAD)
        rows.append([paths[index], names[true], names[predicted], confidence])
    screen.table(("image", "class", "predicted", "confidence"), rows, left=(0, 1, 2))
    if pairs := [pair for pair in report.worst_confusions if pair[2] >= MIN_CONFUSIONS]:
        listing = ", ".join(f"'{true}' as '{predicted}' ({count} times)" for true, predicted, count in pairs)
        screen.entry("confused", listing)


def print_left_out(screen: Screen, skipped: Sequence["FileEntry"], table: str = "") -> None:
    """Print which files were left out, by reason; up to three names each.

    Args:
        table: where all of them are listed
    """
    from tlkit.data.listing import HIDDEN

    reasons: dict[str, list[str]] = {}
    for entry in skipped:
        if entry.reason and entry.reason != HIDDEN:
            reasons.setdefault(entry.reason, []).append(entry.path)
    for reason, paths in reasons.items():
        more = f" and {len(paths) - MAX_NAMES:,} more" if len(paths) > MAX_NAMES else ""
        where = f" ({table})" if table and more else ""
        screen.entry("left out", f"{', '.join(paths[:MAX_NAMES])}{more}: {reason}{where}", style=WARN)
