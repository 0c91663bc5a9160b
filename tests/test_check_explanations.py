"""The command that looks into all backbones: rows survive, small networks come first."""

import pytest
from click.testing import CliRunner

from tests.check_backbones import read_table
from tests.check_explanations import CHECKS, check, main, small_first
from tlkit.models.backbones import BACKBONES


def test_small_networks_come_first_and_none_is_missing():
    order = small_first()
    assert sorted(order) == sorted(BACKBONES)
    assert order[0] == "mobilenet_025"
    assert order[-1] == "convnext_xlarge"


def test_check_has_a_finding_for_every_property():
    findings = check("mobilenet_025", 64)
    assert [title for title, _, _ in findings] == list(CHECKS)
    assert all(passed for _, passed, _ in findings)
    assert "conv1: 8 filters of 3×3 pixels; stages conv_pw_1_relu 32" in findings[1][2]
    assert "3 x 3, differ by" in findings[0][2]


@pytest.mark.slow
def test_rows_of_an_earlier_run_are_kept(tmp_path):
    table = tmp_path / "table.csv"
    words = ["mobilenet_025", "--table", str(table)]
    first = CliRunner().invoke(main, words)
    assert first.exit_code == 0, first.output
    row = read_table(table)["mobilenet_025"]
    assert (row["passed"], row["error"]) == (f"{len(CHECKS)} of {len(CHECKS)}", "")
    before = table.read_bytes()
    assert CliRunner().invoke(main, words).output == first.output
    assert table.read_bytes() == before
