"""`tlkit export`: what it prints, and its exit codes."""

import json

import pytest

from tests.cli.commands import refused, tlkit


def test_export_prints_what_was_checked(scratch_run, tmp_path):
    done = tlkit("export", scratch_run.path, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    first, checked, *_, folder = done.stdout.splitlines()
    assert first.startswith("model.tflite")
    assert "100.0 % get the same class" in checked
    assert folder.split() == ["folder", str(tmp_path / "out")]


def test_usage_errors_come_before_any_work(finetuned_run, tmp_path):
    words = refused(2, "export", finetuned_run.path, "--format", "saved_model", "--quantize", "int8")
    assert "--format saved_model takes --quantize none, not int8" in words
    assert "already exists" in refused(2, "export", finetuned_run.path, "-o", tmp_path)
    assert "no run folder" in refused(4, "export", tmp_path / "no")


@pytest.mark.slow
def test_json_is_the_content_of_the_file(finetuned_run, tmp_path):
    done = tlkit("export", finetuned_run.path, "-o", tmp_path / "out", "--json")
    assert json.loads(done.stdout) == json.loads((tmp_path / "out" / "export.json").read_text())
