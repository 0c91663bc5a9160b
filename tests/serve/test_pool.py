"""Runs behind names, and the threads that they answer in."""

import asyncio
import threading
import time

import numpy as np
import pytest

from tests.shared_runs import copy_foreign_run, copy_run, rewrite_json
from tlkit.errors import OptionError, RunError
from tlkit.inference.inputs import NamedInput
from tlkit.serve.pool import WorkerPool, open_served_runs
from tlkit.serve.refusal import Refusal


@pytest.fixture
def pool():
    made = WorkerPool(2, 3)
    yield made
    made.close()


def test_requests_beyond_the_limit_are_refused_and_say_when_to_come_again(pool):
    with pool.admitted(), pool.admitted(), pool.admitted(), pytest.raises(Refusal) as refused, pool.admitted():
        pass
    assert refused.value.status == 429
    assert int(refused.value.headers["Retry-After"]) >= 1
    with pool.admitted():
        assert pool.num_requests == 1
    assert pool.num_requests == 0


def test_jobs_of_a_request_that_ended_are_dropped(pool):
    done = []

    def work():
        time.sleep(0.2)
        done.append(threading.current_thread().name)

    async def ask():
        jobs = [asyncio.ensure_future(pool.run(work)) for _ in range(6)]
        await asyncio.sleep(0.05)
        for job in jobs:
            job.cancel()
        await asyncio.sleep(0.5)

    asyncio.run(ask())
    assert len(done) == 2


def test_answers_come_in_the_order_of_the_images(pool, finetuned_run, colors):
    (served,) = open_served_runs([finetuned_run.path], "auto", None).values()
    names = ["red", "blue", "green", "red", "green", "blue", "red"]
    images = [NamedInput(name, (colors / name / "1.png").read_bytes()) for name in names]
    found = asyncio.run(pool.classify(served.predictor, images))
    assert [prediction.label for prediction in found] == [prediction.path for prediction in found] == names


def test_warming_up_opens_a_session_in_every_thread(finetuned_run, monkeypatch):
    (served,) = open_served_runs([finetuned_run.path], "auto", None).values()
    threads, extract = [], served.predictor.network.extract
    monkeypatch.setattr(
        served.predictor.network,
        "extract",
        lambda pixels: threads.append(threading.current_thread().name) or extract(pixels),
    )
    pool = WorkerPool(3, 3)
    pool.warm_up([served])
    pool.close()
    assert len(set(threads)) == 3


def test_a_link_keeps_its_name_where_its_target_changes(finetuned_run, tmp_path):
    (tmp_path / "current").symlink_to(finetuned_run.path)
    assert list(open_served_runs([tmp_path / "current", finetuned_run.path], "auto", None)) == [
        "current",
        finetuned_run.path.name,
    ]


def test_two_folders_of_one_name_are_refused(finetuned_run, tmp_path):
    other = copy_run(finetuned_run, tmp_path / "other").path.rename(tmp_path / finetuned_run.path.name)
    with pytest.raises(OptionError, match="are both named"):
        open_served_runs([finetuned_run.path, other], "auto", None)


def test_a_run_that_does_not_answer_as_it_did_is_not_served(finetuned_run, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    content = run.read_json("golden.json")
    content["samples"][0]["answer"] = [value / 2 for value in content["samples"][0]["answer"]]
    rewrite_json(run, "golden.json", content)
    with pytest.raises(RunError, match="does not answer as it did"):
        open_served_runs([run.path], "auto", None)


def test_a_run_of_a_stranger_is_served_unless_keras_would_open_it(finetuned_run, tmp_path):
    run = copy_foreign_run(finetuned_run, tmp_path)
    assert list(open_served_runs([run.path], "auto", None)) == ["copied_run"]
    with pytest.raises(RunError, match="which can contain code; a server does not do that"):
        open_served_runs([run.path], "keras", None)


def test_a_run_that_opens_badly_leaves_the_one_before(finetuned_run, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    (served,) = open_served_runs([run.path], "auto", None).values()
    before = served.predictor
    (run.path / "engine" / "head.tflite").write_bytes(b"x")
    with pytest.raises(RunError):
        served.open()
    assert served.predictor is before
    assert before.predict_chunk([NamedInput("a", np.zeros(1, np.uint8).tobytes())])[0].status == "error"
