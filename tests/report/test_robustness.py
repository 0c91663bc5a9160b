"""Runs beside each other on damaged and on attacked images."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from tests.report.making import Page
from tlkit.cli import main
from tlkit.data.degradation import TRAINED_KINDS
from tlkit.report import robustness
from tlkit.report.content import read_content
from tlkit.report.robustness import MeasuredRun, describe_robustness, measure_runs
from tlkit.report.several import write_page_of_runs
from tlkit.robustness.corruptions import CORRUPTIONS
from tlkit.utils.progress import Silent


@pytest.fixture(scope="module", autouse=True)
def few_images():
    """Few images, so that measuring takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "MAX_DAMAGED", 4)
        patch.setattr(robustness, "MAX_ATTACKED", 2)
        patch.setattr(robustness, "SEVERITIES", "3")
        yield


@pytest.fixture(scope="module")
def measured(finetuned_run, classic_run):
    """A network and a classic pipeline, measured."""
    runs = [("network", read_content(finetuned_run)), ("classic", read_content(classic_run))]
    return measure_runs(runs, None, Silent())


def test_each_run_is_measured_on_as_many_images_by_an_attack_that_it_allows(measured):
    assert [run.method for run in measured] == ["pgd", "square"]
    assert [(len(run.robustness.labels), len(run.attacked.labels)) for run in measured] == [(4, 2), (4, 2)]
    assert all(list(run.robustness.corruptions) == list(CORRUPTIONS) for run in measured)


def test_other_damage_leaves_out_what_noise_trains_on(measured):
    assert set(TRAINED_KINDS) < set(CORRUPTIONS)
    row, means = measured[0].as_row(), measured[0].robustness.means
    assert row["others"] == pytest.approx(np.mean([means[name] for name in CORRUPTIONS if name not in TRAINED_KINDS]))
    assert row["mean"] == pytest.approx(np.mean(list(means.values())))
    found = describe_robustness(measured)
    assert {item["name"] for item in found["corruptions"] if item["is_trained"]} == set(TRAINED_KINDS)
    assert all(len(item["means"]) == 2 for item in found["corruptions"])


def test_hardening_is_named(measured):
    content = measured[0].content
    for kind, words in (
        ("none", ""),
        ("noise", "noise"),
        ("adversarial", "attacks, ε 2"),
        ("both", "noise and attacks, ε 2"),
    ):
        changed = {} if kind == "none" else {"harden": kind}
        hardened = replace(content, changed=changed, options=dict(content.options) | {"harden_epsilon": 2})
        run = MeasuredRun("a", hardened, measured[0].robustness, measured[0].attacked, "pgd")
        assert run.as_row()["hardened"] == words


def test_the_page_has_both_tables(finetuned_run, classic_run, tmp_path):
    write_page_of_runs([finetuned_run, classic_run], tmp_path / "page.html", measure=Silent())
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert {"Robustness of runs", "Accuracy by corruption"} <= set(page.attributes("aria-label"))
    assert "4 images; on damaged copies of them, as the mean of 13 corruptions" in page.text
    assert all(name in page.text for name in CORRUPTIONS)


def test_a_page_of_one_run_refuses_robustness(finetuned_run):
    result = CliRunner().invoke(main, ["report", str(finetuned_run.path), "--robustness"])
    assert result.exit_code == 2
    assert "--robustness compares several runs, but one is named" in result.stderr
