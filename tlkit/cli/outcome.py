"""The short summary that a training ends with."""

import shlex
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tlkit.training.session import Outcome


def show(done: "Outcome") -> None:
    """The short summary: how good, for which classes, where it is and what to type next."""
    from tlkit.evaluation.wording import class_table, confusion_lines, headline, printable

    metrics = done.metrics
    lines = [
        click.style(headline(done.report, "validation"), bold=True),
        f"always answering '{printable(metrics['baseline_class'])}' would give {metrics['baseline_accuracy']:.3f}",
    ]
    if not metrics["selected_on_validation"]:
        lines += ["nothing was chosen on these images"]
    if done.test:
        lines += [click.style(headline(done.test, "test"), bold=True) + ", which nothing was chosen on"]
    elif metrics["selected_on_validation"]:
        lines += [
            "the best epoch was chosen on these images, so expect slightly less; --test-split gives a clean figure"
        ]
    lines += ["", *class_table(done.report), "", *_listed("often mistaken", confusion_lines(done.report))]
    lines += _listed("left out", [f"{count} × {reason}" for reason, count in metrics["left_out"].items()])
    if metrics["advice"]:
        lines += ["advice: " + metrics["advice"]["reason"]]
    lines += _listed("note", [printable(note) for note in metrics["notes"]])
    lines += _measured_besides(metrics)
    lines += [f"{what:<10} loss {curve}" for what, curve in _curves(done.history).items() if curve]
    lines += [f"diagnosis: {found['words']}\n      try: {found['next']}" for found in metrics["diagnosis"]]
    seconds = metrics["seconds"]
    lines += [
        f"{metrics['num_train']} images trained on, {metrics['num_validation']} held out, "
        f"{metrics['features_reused']} from the cache; {seconds['total']:.1f} s "
        f"(features {seconds['features']:.1f}, training {seconds['fit']:.1f})",
        "",
        f"run   {printable(str(done.run.path))}",
        f"next  tlkit predict {printable(shlex.quote(str(done.run.path)))} IMAGE...",
    ]
    click.echo("\n".join(lines))


def _curves(history: list[dict[str, Any]]) -> dict[str, str]:
    from tlkit.evaluation.wording import sparkline

    return {
        "training": sparkline([row["loss"] for row in history]),
        "validation": sparkline([row["val_loss"] for row in history]),
    }


def _measured_besides(metrics: dict[str, Any]) -> list[str]:
    """What folds and seeds have shown, where they were asked for."""
    lines = []
    if folds := metrics["folds"]:
        low, high = folds["accuracy_ci95"]
        each = " ".join(f"{value:.3f}" for value in folds["accuracies"])
        lines.append(
            f"cross-validated: accuracy {folds['accuracy']:.3f} on {folds['num_images']} images, each held out once, "
            f"95 % interval {low:.3f} to {high:.3f}; folds {each}"
        )
    if seeds := metrics["seeds"]:
        lines.append("other seeds: {least:.3f} ← {median:.3f} → {greatest:.3f}".format(**seeds))
    return lines


def _listed(title: str, items: list[str]) -> list[str]:
    return [f"{title}: {item}" for item in items]
