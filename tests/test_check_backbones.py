"""The command that checks all backbones: its table survives a crash, and its page says what failed."""

import signal

import pytest
from click.testing import CliRunner

from tests.check_backbones import check_alone, describe_exit, main, read_table, to_markdown, worst_detail, write_table
from tlkit.models.backbones import BACKBONES

ROW = {
    "name": "vgg16",
    "tlkit": "1",
    "keras": "2",
    "tensorflow": "3",
    "image_size": "0",
    "seconds": "12",
    "passed": "1 of 2",
    "worst": "cuts: differ by 2.0e-01",
    "error": "",
    "findings": '[["builds", true, "512 features"], ["cuts", false, "differ by 2.0e-01"]]',
}


def test_write_table_is_read_back_in_order_of_registry(tmp_path):
    table = tmp_path / "table.csv"
    assert read_table(table) == {}
    rows = {"xception": ROW | {"name": "xception"}, "vgg16": ROW}
    write_table(table, rows)
    assert read_table(table) == rows
    assert list(read_table(table)) == ["vgg16", "xception"]


def test_describe_exit_names_signal_or_last_line():
    assert describe_exit(-signal.SIGKILL, "") == "killed by SIGKILL, probably out of memory"
    assert describe_exit(-signal.SIGSEGV, "") == "killed by SIGSEGV"
    assert describe_exit(1, "Traceback\n  ...\nMemoryError: no\n\n") == "MemoryError: no"
    assert describe_exit(1, "") == "exit code 1 without a message"


def test_worst_detail_is_failure_or_largest_difference():
    findings = [("a", True, "differ by 1.0e-07"), ("b", True, "9 cuts, differ by 3.0e-06 at most"), ("c", True, "9")]
    assert worst_detail(findings) == "9 cuts, differ by 3.0e-06 at most"
    assert worst_detail([*findings, ("d", False, "conv1")]) == "d: conv1"
    assert worst_detail([]) == ""


def test_to_markdown_shows_properties_and_errors():
    crashed = ROW | {"name": "xception", "findings": "[]", "error": "killed by SIGKILL", "worst": ""}
    lines = to_markdown([ROW, crashed], ROW).splitlines()
    assert "0 of 2 have every property" in lines[2]
    assert "| vgg16 | 12 | yes | **no** | cuts: differ by 2.0e-01 |" in lines
    assert "| xception | 12 |  |  | killed by SIGKILL |" in lines
    assert "2. cuts" in lines


def test_check_alone_takes_too_long_is_a_row():
    assert check_alone("mobilenet_025", 0, 0.01)["error"] == "took more than 0.01 s"


@pytest.mark.slow
def test_main_checks_once_and_reports_crash(tmp_path):
    paths = ["--table", str(tmp_path / "t.csv"), "--page", str(tmp_path / "p.md")]
    first, second = (CliRunner().invoke(main, ["mobilenet_025", *paths]) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert "(earlier)" in second.output
    assert "(earlier)" not in first.output
    assert f"1 of {len(BACKBONES)} backbones" in second.output
    crashed = CliRunner().invoke(main, ["mobilenet_025", *paths, "--image-size", "16"])
    assert crashed.exit_code == 1
    assert "needs at least 32" in (tmp_path / "p.md").read_text()
