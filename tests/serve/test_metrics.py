"""Counters in the text format of Prometheus, read by its own parser."""

import time

import pytest

from tlkit.serve.metrics import Metrics, room_for


def read(text):
    parser = pytest.importorskip("prometheus_client.parser")
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    samples = {(s.name, tuple(s.labels.values())): s.value for f in families.values() for s in f.samples}
    return families, samples


def test_the_text_is_what_prometheus_reads():
    metrics = Metrics(["/predict"], ['a"b\\c\n'])
    metrics.add("tlkit_requests_total", route="/predict", status="200")
    metrics.add("tlkit_requests_total", 2, route="/predict", status="429")
    metrics.add("tlkit_images_total", 7, model='a"b\\c\n', answer="ok")
    for seconds in (0.001, 0.03, 99.0):
        metrics.observe(seconds)
    families, samples = read(metrics.text())
    assert samples["tlkit_requests_total", ("/predict", "429")] == 2
    assert samples["tlkit_images_total", ('a"b\\c\n', "ok")] == 7
    assert families["tlkit_request_seconds"].type == "histogram"
    bounds = [value for (name, _), value in samples.items() if name == "tlkit_request_seconds_bucket"]
    assert bounds == sorted(bounds)
    assert (bounds[0], bounds[-1]) == (1, 3)
    assert samples["tlkit_request_seconds_count", ()] == 3
    assert samples["tlkit_request_seconds_sum", ()] == pytest.approx(99.031)


def test_processes_are_summed_and_one_that_starts_again_keeps_its_counts(tmp_path):
    file = tmp_path / "metrics"
    file.write_bytes(room_for(num_runs=1, rows=2))
    first, second = (Metrics(["/predict"], ["a"], file, 2, row) for row in range(2))
    for metrics, count in ((first, 3), (second, 4)):
        metrics.add("tlkit_images_total", count, model="a", answer="ok")
        metrics.add("tlkit_requests_in_progress")
    again = Metrics(["/predict"], ["a"], file, 2, 1)
    for metrics in (first, second, again):
        _, samples = read(metrics.text())
        assert samples["tlkit_images_total", ("a", "ok")] == 7
        assert samples["tlkit_requests_in_progress", ()] == 1  # what the process that ended had begun is forgotten


def test_the_room_is_enough_for_the_addresses_and_for_many_runs(served, tmp_path):
    routes, runs = list(served.app.addresses), [str(number) for number in range(500)]
    file = tmp_path / "metrics"
    file.write_bytes(room_for(len(runs), rows=3))
    last = Metrics(routes, runs, file, rows=3, row=2)
    last.add("tlkit_reloads_total", model="499", result="failed")
    assert 'model="499",result="failed"} 1' in Metrics(routes, runs, file, rows=3).text()


def test_every_process_gives_the_start_of_the_server(tmp_path):
    file = tmp_path / "metrics"
    earliest = time.time()
    file.write_bytes(room_for(num_runs=1, rows=2))
    latest = time.time()
    time.sleep(0.01)
    starts = {
        read(Metrics(["/predict"], ["a"], file, 2, row).text())[1]["process_start_time_seconds", ()] for row in (0, 1)
    }
    assert len(starts) == 1
    assert earliest <= starts.pop() <= latest
    assert read(Metrics([], []).text())[1]["process_start_time_seconds", ()] > latest


def test_a_series_that_is_not_known_is_not_counted():
    metrics = Metrics(["/predict"], ["a"])
    before = metrics.text()
    metrics.add("tlkit_images_total", model="what a client wrote", answer="ok")
    assert metrics.text() == before
