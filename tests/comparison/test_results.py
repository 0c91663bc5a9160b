import shutil

import pytest

from tests.comparison.recipes import candidate, use_candidates
from tlkit.comparison import results
from tlkit.comparison.compare import compare
from tlkit.comparison.results import CandidateResult, find_best, measure_speed, notes_of
from tlkit.distributed.workers import use_workers
from tlkit.errors import RunError
from tlkit.runs.run import Run


def test_find_best_of_equals_takes_the_simplest():
    names = ("simple", "deep", "bad")
    given = [CandidateResult(name, name, "pretrained", 0.0 if name == "bad" else 0.75) for name in names]
    assert find_best(given).name == "simple"


@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_measure_speed_however_slow_is_known(seconds, colors, tmp_path, monkeypatch, cache):
    monkeypatch.setattr(results, "MAX_TIMED_SECONDS", seconds)  # at 0 the first few images have taken longer
    use_candidates(monkeypatch, candidate("one"))
    compare(colors, tmp_path / "comparison")
    run = Run(shutil.copytree(tmp_path / "comparison" / "one", tmp_path / "run"))
    (run.path / "speed.json").unlink()
    measure_speed(run)
    speed, metrics = run.read_json("speed.json"), run.read_json("metrics.json")
    assert speed["images_per_second"] > 0
    assert speed["training_seconds"] == metrics["seconds"]["total"]
    assert speed["features_reused"] == metrics["features_reused"]


def test_measure_speed_is_that_of_this_machine_alone(colors, tmp_path, monkeypatch, cache):
    """Not with workers, which take seconds to start; a pass over the images before the training counts as its own."""
    pytest.importorskip("ray")
    use_candidates(monkeypatch, candidate("one"))
    compare(colors, tmp_path / "comparison")
    run = Run(shutil.copytree(tmp_path / "comparison" / "one", tmp_path / "run"))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # nobody is there
    with use_workers("ray", 2):
        measure_speed(run, results.Reading(100.0, 0))
    speed, metrics = run.read_json("speed.json"), run.read_json("metrics.json")
    assert speed["images_per_second"] > 0
    assert speed["training_seconds"] == pytest.approx(metrics["seconds"]["total"] + 100)
    assert (speed["reading_seconds"], speed["features_reused"]) == (100, 0)


def test_read_result_other_images_are_refused(colors, tmp_path, monkeypatch, cache):
    use_candidates(monkeypatch, candidate("one"))
    comparison = compare(colors, tmp_path / "comparison")
    run = Run(comparison.run.path / "one")
    images = results.validation_set_of(run)
    fewer = results.ValidationSet(images.paths[1:], images.classes[1:], images.commonest, images.num_classes)
    with pytest.raises(RunError, match="was measured on other images"):
        results.read_result(candidate("one"), run, fewer, "", {})


def test_notes_of_a_run_with_damaged_metrics_are_refused(tmp_path):
    (tmp_path / "metrics.json").write_text('{"accuracy": 1.0}')
    with pytest.raises(RunError, match=r"metrics.json' is damaged; restore it"):
        notes_of(None, Run(tmp_path))
