"""`tlkit report`."""

import json

from tests.cli.commands import refused, tlkit
from tests.shared_runs import copy_run


def test_report_makes_the_page_again(own_run):
    (own_run.path / "report.html").unlink()
    done = tlkit("report", own_run.path)
    assert done.exit_code == 0, done.stderr
    assert "thumbnails" in done.stdout
    assert "Content-Security-Policy" in (own_run.path / "report.html").read_text()


def test_report_writes_a_new_file_and_tells_programs_about_it(finetuned_run, tmp_path):
    done = tlkit("report", finetuned_run.path, "-o", tmp_path / "page.html", "--json")
    found = json.loads(done.stdout)
    assert found["file"] == str(tmp_path / "page.html")
    assert found["num_bytes"] == (tmp_path / "page.html").stat().st_size
    assert found["missing"] == {}


def test_images_that_are_missing_are_named(finetuned_run, tmp_path):
    (tmp_path / "images").mkdir()
    done = tlkit("report", finetuned_run.path, "-o", tmp_path / "page.html", "--images", tmp_path / "images")
    assert done.exit_code == 0
    assert "0 thumbnails" in done.stdout
    assert "does not exist" in done.stdout
    assert "more" in done.stdout


def test_report_refuses_what_is_no_run_and_no_folder(own_run, tmp_path):
    assert "there is no run folder" in refused(4, "report", tmp_path / "nowhere")
    assert "is not a folder" in refused(3, "report", own_run.path, "--images", tmp_path / "nowhere")
    (own_run.path / "report.html").write_text("mine")
    assert "choose another file with -o" in refused(2, "report", own_run.path)
    assert (own_run.path / "report.html").read_text() == "mine"


def test_report_of_a_comparison_is_that_of_its_recommended_run(comparison, tmp_path):
    run = copy_run(comparison.run, tmp_path)
    done = tlkit("report", run.path, "-o", tmp_path / "page.html")
    assert done.exit_code == 0, done.stderr
    assert "the recommended model" in done.stderr


def test_several_runs_need_a_name_for_their_page(finetuned_run, scratch_run, tmp_path):
    assert "name it with -o" in refused(2, "report", finetuned_run.path, scratch_run.path)
    done = tlkit("report", finetuned_run.path, scratch_run.path, "-o", tmp_path / "runs.html")
    assert done.exit_code == 0, done.stderr
    assert "2 runs" in (tmp_path / "runs.html").read_text()
