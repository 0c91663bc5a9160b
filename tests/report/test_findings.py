"""Suspected labels, copies and next steps, from figures."""

import numpy as np

from tests.report.making import rewrite_rows, with_predictions
from tests.shared_runs import copy_run, rewrite_json
from tlkit.evaluation.report import Report
from tlkit.report.content import read_content
from tlkit.report.findings import copy_groups, next_steps, suspected_labels


def test_labels_are_suspected_where_another_class_fits_as_well_as_its_own_images():
    probabilities = [[0.9, 0.1]] * 4 + [[0.1, 0.9]] * 4 + [[0.02, 0.98], [0.45, 0.55]]
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 0], np.int32)
    report = Report(("a", "b"), labels, np.array(probabilities, np.float32))
    assert report.mistakes == [8, 9]
    assert suspected_labels(report) == [8]  # the other mistake is not sure enough
    assert suspected_labels(Report(("a", "b"), labels[:8], np.array(probabilities[:8], np.float32))) == []


def steps_of(run):
    content = read_content(run)
    return next_steps(content, len(suspected_labels(content.report)), copy_groups(content))


def test_next_steps_follow_from_the_figures(own_run):
    paths = [row["path"] for row in own_run.read_rows("split.csv")]
    right = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    names = own_run.manifest.class_names
    rows = [(paths[number], names[number % 3], right[number % 3]) for number in range(12)]
    rows += [(paths[20 + number], names[0], [0.1, 0.85, 0.05]) for number in range(4)]
    steps = steps_of(with_predictions(own_run, rows))
    assert [step.topic for step in steps][:2] == ["Data", "Data"]
    assert "'blue' and 'green'" in steps[1].action
    assert "4 of 4 mistakes" in steps[1].reason
    assert steps[-1].topic == "Use"
    assert steps[-1].command.startswith("tlkit predict")
    deeper = next(step for step in steps if "--freeze auto" in step.command)
    assert f"--config {own_run.path / 'settings.json'}" in deeper.command


def test_a_run_that_learned_nothing_suspects_no_label_and_no_pair(own_run):
    paths, names = [row["path"] for row in own_run.read_rows("split.csv")], own_run.manifest.class_names
    rows = [(paths[number], names[number % 3], [0.2, 0.7, 0.1]) for number in range(15)]
    with_predictions(own_run, rows)
    assert suspected_labels(read_content(own_run).report)
    metrics = own_run.read_json("metrics.json")
    for low, has_advice in ((0.9, True), (0.1, False)):
        figures = {"accuracy_ci95": [low, 1.0], "baseline_accuracy": 0.5}
        rewrite_json(own_run, "metrics.json", metrics | figures)
        assert ("Data" in {step.topic for step in steps_of(own_run)}) == has_advice


def test_a_perfect_run_is_measured_and_used(finetuned_run):
    steps = steps_of(finetuned_run)
    assert not [step for step in steps if step.topic == "Data"]
    assert steps[-1].topic == "Use"


def test_findings_of_the_training_keep_their_command(own_run):
    found = [{"words": "overfitting: more here. Add images.", "next": "tlkit finetune x --dropout 0.7"}]
    rewrite_json(own_run, "metrics.json", own_run.read_json("metrics.json") | {"diagnosis": found})
    step = next(step for step in steps_of(own_run) if step.command == found[0]["next"])
    assert (step.topic, step.action, step.reason) == ("Strategy", "Overfitting.", "More here. Add images.")


def test_a_command_of_a_stranger_is_not_offered(finetuned_run, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    found = [{"words": "overfitting: add images.", "next": "tlkit finetune x; rm -r home"}]
    rewrite_json(run, "metrics.json", run.read_json("metrics.json") | {"diagnosis": found})
    with (run.path / "model.json").open("a") as file:
        file.write(" ")  # no longer what this machine wrote
    assert "Overfitting." in [step.action for step in steps_of(run)]
    assert not [step for step in steps_of(run) if "rm -r" in step.command]


def test_copies_with_different_labels_come_first(finetuned_run, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    rows = [dict(row) for row in run.read_rows("split.csv")]
    for row in rows[:2]:
        row |= {"group": "g", "reason": "near duplicate"}
    rewrite_rows(run, "split.csv", list(rows[0]), [list(row.values()) for row in rows])
    conflicting = [(rows[5]["path"], rows[5]["class"], "h"), (rows[-1]["path"], rows[-1]["class"], "h")]
    rewrite_rows(run, "conflicts.csv", ("path", "class", "group"), conflicting)
    first, second = copy_groups(read_content(run))
    assert (first.kind, first.conflict) == ("equal", True)
    assert [path for path, *_ in first.paths] == [rows[5]["path"], rows[-1]["path"]]
    assert (second.kind, second.conflict) == ("nearly equal", False)
    assert [path for path, *_ in second.paths] == [rows[0]["path"], rows[1]["path"]]
