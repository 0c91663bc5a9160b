"""Quality gates on the figures of an evaluation, for people and as a JUnit file for CI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree

from tlkit.errors import OptionError
from tlkit.evaluation.calibration import MIN_IMAGES
from tlkit.evaluation.metrics import wilson_interval
from tlkit.evaluation.report import Report
from tlkit.utils.text import escape_control_chars, quote_names

Calibration = tuple[float, tuple[float, float]]  # the calibration error and its 95 % interval


@dataclass(frozen=True)
class QualityGate:
    """A limit on a figure.

    Attributes:
        option: as it is typed, e.g. "--min-recall cat=0.9"
        subject: the figure in words, e.g. "recall of 'cat'"
        value: the figure, from 0 to 1; None where it cannot be measured
        interval: its 95 % interval
        words: the counts, or why it cannot be measured
        passed: whether the limit is kept
    """

    option: str
    subject: str
    value: float | None
    interval: tuple[float, float] | None
    words: str
    passed: bool

    @property
    def failure(self) -> str:
        """The gate in words, where it failed."""
        if self.value is None or self.interval is None:
            return f"{self.subject} cannot be measured ({self.words}), but {self.option} asks for it"
        low, high = self.interval
        measured = f"{self.subject} {100 * self.value:.1f} % ({self.words}, 95 % interval {100 * low:.1f} to "
        side = "above" if self.option.startswith("--max") else "below"
        return f"{measured}{100 * high:.1f} %) is {side} {self.option}"


def parse_recall_gates(texts: Sequence[str], class_names: Sequence[str]) -> dict[str, float]:
    """Read the values of --min-recall: the limit of each class.

    Raises:
        OptionError: also for a class that the run does not have

    >>> parse_recall_gates(["cat=0.9", "a=b=1"], ("cat", "a=b"))
    {'cat': 0.9, 'a=b': 1.0}
    """
    limits: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            limit = float(number)
        except ValueError:
            limit = -1.0
        if not name or not 0 <= limit <= 1:
            raise OptionError(f"--min-recall is '{text}'; expected a class and a number from 0 to 1, e.g. cat=0.9.")
        if name not in class_names:
            raise OptionError(f"--min-recall names the class '{name}'; expected one of {quote_names(class_names)}.")
        if name in limits:
            raise OptionError(f"--min-recall is given twice for '{name}'; give it once for each class.")
        limits[name] = limit
    return limits


def check_gates(
    report: Report,
    calibration: Calibration | None,
    min_accuracy: float = 0.0,
    min_recall: Mapping[str, float] | None = None,
    max_ece: float | None = None,
) -> list[QualityGate]:
    """Compare figures with limits.

    Args:
        calibration: None where it cannot be measured
        min_accuracy: 0 for no gate
        min_recall: by class
    """
    gates, total = [], len(report.labels)
    if min_accuracy:
        words, interval = f"{report.num_correct:,} of {total:,}", report.interval
        passed = report.accuracy >= min_accuracy
        option = f"--min-accuracy {min_accuracy:g}"
        gates.append(QualityGate(option, "accuracy", report.accuracy, interval, words, passed))
    scores = {score.name: score for score in report.scores}
    for name, limit in (min_recall or {}).items():
        gates.append(_recall_gate(name, limit, scores[name].recall, scores[name].support))
    if max_ece is not None:
        option, subject = f"--max-ece {max_ece:g}", "calibration error"
        if calibration is None:
            words = f"it needs {MIN_IMAGES} images that the run was neither trained nor calibrated on"
            gates.append(QualityGate(option, subject, None, None, words, passed=False))
        else:
            gates.append(QualityGate(option, subject, *calibration, f"{total:,} images", calibration[0] <= max_ece))
    return gates


def _recall_gate(name: str, limit: float, recall: float, support: int) -> QualityGate:
    option, subject = f"--min-recall {name}={limit:g}", f"recall of '{name}'"
    if not support:
        return QualityGate(option, subject, None, None, "no image of it", passed=False)
    correct = round(recall * support)
    return QualityGate(
        option, subject, recall, wilson_interval(correct, support), f"{correct:,} of {support:,}", recall >= limit
    )


def junit(gates: Sequence[QualityGate], properties: Mapping[str, str], seconds: float) -> bytes:
    """Write gates as a JUnit file: one test case each, in one suite.

    Args:
        properties: of the suite, by name
        seconds: that the evaluation took
    """
    failed = sum(not gate.passed for gate in gates)
    counts = {"tests": str(len(gates)), "failures": str(failed), "errors": "0", "time": f"{seconds:.3f}"}
    suites = ElementTree.Element("testsuites")
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    names = {"id": "0", "package": "tlkit", "name": "tlkit evaluate", "timestamp": when, "hostname": "localhost"}
    suite = ElementTree.SubElement(suites, "testsuite", names | counts | {"skipped": "0"})
    listed = ElementTree.SubElement(suite, "properties")
    for name, value in properties.items():
        ElementTree.SubElement(listed, "property", {"name": name, "value": _xml_text(value)})
    for gate in gates:
        case = {"classname": "tlkit.evaluate", "name": _xml_text(gate.option), "time": f"{seconds / len(gates):.3f}"}
        element = ElementTree.SubElement(suite, "testcase", case)
        if not gate.passed:
            ElementTree.SubElement(element, "failure", {"message": _xml_text(gate.failure), "type": "gate"})
    ElementTree.SubElement(suite, "system-out")
    ElementTree.SubElement(suite, "system-err")
    ElementTree.indent(suites)
    written: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return written


def _xml_text(text: str) -> str:
    """Escape what XML cannot hold: control characters, and bytes of a name that is not UTF-8."""
    return escape_control_chars(text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
