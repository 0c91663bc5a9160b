"""The model card of a run, MODEL_CARD.md: what it is for, what it was measured on, its limits, and how to use it.

It begins with YAML that the Hugging Face hub reads. Names are text: markdown in them is escaped, and control characters
are written out. It has the name of the folder of images, not its path, because a card is made to be shared.
"""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tlkit.errors import OptionError
from tlkit.report.content import RunContent, read_content
from tlkit.report.page import network_of
from tlkit.runs.manifest import MODEL, MODEL_CARD
from tlkit.runs.run import Run
from tlkit.settings.base import command_line
from tlkit.utils.files import atomic_write
from tlkit.utils.reading import read_regular
from tlkit.utils.storage import exists
from tlkit.utils.text import escape_control_chars, format_duration

MARK = "<!-- made by tlkit from the figures of the run -->"  # in a card that may be replaced
USES = {"train": "training", "test": "the test"}  # of subsets, in words
MAX_CARD_BYTES = 16_000_000
MAX_CLASSES = 100  # rows of the table of classes
MAX_NAMED, MAX_CONFUSIONS, MAX_NOTES = 10, 5, 20  # classes in a sentence; lines
PUNCTUATION = re.compile(r"[!#$&*:<>@\[\\\]^_`{|}~]|(?<=www)\.", re.IGNORECASE)  # more than text in markdown


def write_card(run: Run) -> Path:
    """Write MODEL_CARD.md into a run; a card that tlkit wrote there before is replaced, and nothing else.

    Raises:
        RunError
        OptionError: if something else has the name
        WriteError
    """
    file = run.path / MODEL_CARD
    if exists(file) or file.is_symlink():
        try:
            is_own = MARK.encode() in read_regular(file, MAX_CARD_BYTES)
        except OSError:  # a link, a folder, a pipe
            is_own = False
        if not is_own:
            raise OptionError(f"'{file}' is not a card that tlkit wrote; rename it.")
    atomic_write(file, card_text(run))
    return file


def card_text(run: Run, keras_usage: str = "") -> str:
    """Make the text of the card of a finished run, markdown with YAML before it.

    Args:
        keras_usage: markdown that says how to use the network with Keras; the card is then for a folder that has the
            network and not the run, as on the Hugging Face hub

    Raises:
        RunError
    """
    content, has_run = read_content(run), not keras_usage
    title = f"# {plain_text(content.name)}\n\n{MARK}"
    sections = [
        _purpose(content),
        ("Accuracy", _accuracy(content)),
        ("Classes", _classes(content)),
        ("Confidence", _confidence(content, has_run)),
        ("Data", _data(content, has_run)),
        ("Limits", _limits(content)),
        ("How to use it", _usage(content) if has_run else [keras_usage]),
        ("How it was made", _origin(content)),
    ]
    texts = [f"## {section[0]}\n\n" + "\n".join(section[1]) for section in sections]
    return "\n\n".join([_front_matter(content, "tlkit" if has_run else "keras"), title, *texts]) + "\n"


def plain_text(text: str) -> str:
    """Escape a text, so that markdown shows it as it is.

    >>> print(plain_text("a|b *c* <d>"))
    a\\|b \\*c\\* \\<d\\>
    """
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return PUNCTUATION.sub(r"\\\g<0>", escape_control_chars(shown))


def _code(text: str) -> str:
    """Show a text as code, between more backticks than it has in a row."""
    shown = escape_control_chars(text)
    ticks = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{ticks} {shown} {ticks}" if "`" in shown else f"`{shown}`"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _front_matter(content: RunContent, library: str) -> str:
    """Write the YAML that the hub reads; a JSON string is a YAML string."""
    headline, name = content.headline, json.dumps(escape_control_chars(content.name))
    network = content.facts["backbone"] or content.facts["features"] or content.facts["descriptor"]
    tags = ["tlkit", "image-classification", *[str(network)] * bool(network)]
    lines = [
        *("---", f"library_name: {library}", "pipeline_tag: image-classification"),
        *("tags:", *(f"- {json.dumps(escape_control_chars(tag))}" for tag in tags)),
        *("metrics:", "- accuracy", "model-index:", f"- name: {name}", "  results:"),
        *("  - task:", "      type: image-classification", "      name: Image classification", "    dataset:"),
        *("      type: imagefolder", f"      name: {json.dumps(escape_control_chars(content.root.name))}"),
        *("    metrics:", "    - type: accuracy", f"      value: {headline.value:.4f}"),
        f"      name: {json.dumps(f'accuracy on {headline.subject}'.rstrip(','))}",
        "---",
    ]
    return "\n".join(lines)


def _purpose(content: RunContent) -> tuple[str, list[str]]:
    names = content.shown_names
    listed = ", ".join(map(plain_text, names[:MAX_NAMED]))
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    network = _code(network_of(content))
    return "What it is for", [
        f"It classifies images into {len(names):,} classes: {listed}{more}. "
        f"It is {network}, trained by tlkit on {content.when.day} {content.when:%B %Y}.",
        "",
        "It is made for images like those it was trained on: of the same kind, taken in the same way.",
    ]


def _accuracy(content: RunContent) -> Iterator[str]:
    for figures in (content.headline, *content.others):
        commonest = plain_text(content.names.get(figures.commonest, figures.commonest))
        yield (
            f"- **{_percent(figures.value)}** of the {figures.subject.rstrip(',')} are classified correctly "
            f"({figures.correct:,} of {figures.total:,}); 95 % interval {100 * figures.low:.1f} to "
            f"{_percent(figures.high)}. Always answering {commonest} gives {_percent(figures.baseline)}."
        )
    if content.headline.low <= content.headline.baseline:
        yield "- This is not significantly better than always answering the commonest class."
    if content.selected_on_validation and content.headline.measured_on == "validation":
        yield "- The best epoch was selected on these images, so expect slightly less on new ones."


def _classes(content: RunContent) -> Iterator[str]:
    """List the classes, the one with the lowest recall first."""
    report = content.report
    trained = Counter(row["class"] for row in content.split if row["split"] in ("train", "all"))
    measured = zip(content.shown_names, report.scores, strict=True)
    rows = sorted(measured, key=lambda row: (not row[1].support, row[1].recall))
    yield "| class | training images | recall | precision |"
    yield "|---|---:|---:|---:|"
    for name, score in rows[:MAX_CLASSES]:
        correct = f"{_percent(score.recall)} ({round(score.recall * score.support):,} of {score.support:,})"
        recall = correct if score.support else "no image"
        yield f"| {plain_text(name)} | {trained[score.name]:,} | {recall} | {_percent(score.precision)} |"
    if len(rows) > MAX_CLASSES:
        yield f"\nThese are the {MAX_CLASSES} classes with the lowest recall, of {len(rows):,}."
    names = content.names
    if confusions := report.worst_confusions[:MAX_CONFUSIONS]:
        pairs = (
            f"{plain_text(names[true])} as {plain_text(names[found])} ({count:,})" for true, found, count in confusions
        )
        yield f"\nThe most frequent mistakes: {', '.join(pairs)}."


def _confidence(content: RunContent, can_reject: bool) -> Iterator[str]:
    calibration, counts = content.calibration, content.unknown["images"]
    if calibration.judged and calibration.ece is not None and calibration.ece_ci95 is not None:
        low, high = calibration.ece_ci95
        yield (
            f"- A confidence is a probability: it was calibrated on {calibration.num_images:,} held-out images. Its "
            f"expected error is {_percent(calibration.ece)} (95 % interval {100 * low:.1f} to {_percent(high)})."
        )
    else:
        yield f"- A confidence is not calibrated: there were {calibration.num_images:,} held-out images, of 200 needed."
    if counts is None or not can_reject:
        yield "- It always answers with one of its classes, also for an image of something else."
        return
    total, answered = counts["num_images"], counts["num_answered"]
    correct = _percent(counts["num_correct"] / max(1, answered))
    yield (
        f'- For an image unlike the training images it answers "unknown". It answered {answered:,} of {total:,} '
        f"validation images, {correct} of them correctly."
    )
    if content.unknown["auroc"] is not None:
        auroc, images = content.unknown["auroc"], content.unknown["num_unknown"]
        yield f"- Images of no class were separated from known ones with an AUROC of {auroc:.3f} ({images:,} images)."
    else:
        yield "- This was not tested with images of something else."


def _data(content: RunContent, has_files: bool) -> Iterator[str]:
    subsets = Counter(row["split"] for row in content.split)
    counts = ", ".join(f"{count:,} for {USES.get(name, name)}" for name, count in subsets.items())
    yield f"- Images of the folder {_code(content.root.name)}: {counts}."
    yield "- Copies and near duplicates of an image are in one subset only."
    if content.left_out:
        yield f"- {len(content.left_out):,} files were left out{'; `left_out.csv` has the reasons' * has_files}."
    if content.conflicts:
        listed = "; `conflicts.csv` lists them" * has_files
        yield f"- {len(content.conflicts):,} images have copies with another label{listed}."


def _limits(content: RunContent) -> Iterator[str]:
    yield "- The figures hold for images like these. Other cameras, places or times can give a lower accuracy."
    if content.headline.high - content.headline.low > 0.1:
        yield f"- With {content.headline.total:,} images the accuracy is uncertain: see its interval."
    for text in [*(words for words, _ in content.findings), *content.notes][:MAX_NOTES]:
        sentence = plain_text(text)
        yield f"- {sentence[:1].upper()}{sentence[1:]}"


def _usage(content: RunContent) -> Iterator[str]:
    """Write commands that can be pasted, with the name of the run's folder."""
    name, image = escape_control_chars(content.name), content.run.manifest.image
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", name)), default=0))
    yield from (
        fence,
        "pip install .  # in the repository of tlkit",
        f"tlkit predict {shlex.quote(name)} photo.jpg",
        fence,
        "",
    )
    code = [f"for prediction in tlkit.predict({name!r}, ['photo.jpg']):"]
    code += ["    print(prediction.label, prediction.confidence)"]
    yield from (f"{fence}python", "import tlkit", "", *code, fence, "")
    yield f"Its input is RGB pixels from 0 to 255, {image.size} x {image.size}, made square by {_code(image.resize)}."
    if MODEL in content.run.manifest.sha256:
        yield f"`{MODEL}` is a plain Keras model of it; its probabilities are not calibrated."


def _origin(content: RunContent) -> Iterator[str]:
    command = content.run.read_settings()["command"]
    yield _code(command_line(command, content.settings, Path("DATA")))
    yield f"\nThe training took {format_duration(content.seconds.get('total', 0.0))}. Versions: {_listed(content)}."


def _listed(content: RunContent) -> str:
    versions: Iterable[tuple[str, str]] = content.versions.items()
    return ", ".join(f"{plain_text(name)} {plain_text(version)}" for name, version in versions)
