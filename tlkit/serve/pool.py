"""Runs that answer, and the threads that they answer in.

One thread per processor keeps a session of every engine. A request is admitted before its body is read, or refused at
once, so that memory has a limit. Images are not collected into batches: LiteRT takes one at a time (decision 034).
"""

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from tlkit.errors import OptionError, RunError
from tlkit.explain.base import Explanation
from tlkit.explain.explainer import Explainer, open_explainer
from tlkit.inference.golden import has_golden, verify_golden
from tlkit.inference.inputs import NamedInput, name_input
from tlkit.inference.predictor import Prediction, Predictor
from tlkit.runs.run import Run, load_run
from tlkit.serve.refusal import Refusal
from tlkit.utils.tables import valid_unicode

Result = TypeVar("Result")

SMOOTHING = 0.05  # weight of the newest job in the mean seconds of a job
GivenImage = NamedInput | np.ndarray  # a file, or the pixels of one, uint8 (height, width, 3)


class ServedRun:
    """A run behind a name; another version of it may take over while it answers.

    Attributes:
        name: in addresses
        given: the path that it was opened from: a folder, a comparison or `latest`
        run: the folder that answers
        predictor: of that folder
    """

    def __init__(self, given: Path, engine: str, unknown: bool | None) -> None:
        """Open a run, and replay its golden samples.

        Raises:
            RunError
            ModelError
            OptionError
        """
        self.given, self._engine, self._unknown = given, engine, unknown
        self.open()
        # a link keeps its name where its target changes
        self.name = valid_unicode(Path(os.path.abspath(self.run.path)).name)  # noqa: PTH100

    def open(self) -> None:
        """Open the run that is in the folder now; if that fails, the one before answers as it did.

        Raises:
            RunError
            ModelError
            OptionError
        """
        run = load_run(self.given)
        engines = {stage.engine for stage in run.manifest.stages} | {self._engine}
        if "keras" in engines and not run.is_own:
            raise RunError(
                f"'{run.path}' was not made on this machine, and Keras would have to open its network, which can "
                "contain code; a server does not do that."
            )
        predictor = Predictor(run, self._engine, unknown=self._unknown)
        if has_golden(run):
            verify_golden(run, predictor)
        self.run, self.predictor = run, predictor
        self._explaining = _Explaining(run, predictor)

    def explain(self, given: NamedInput, class_name: str | None) -> Explanation:
        """Explain the answer to an image.

        Raises:
            OptionError: if the run has no such class
        """
        return self._explaining.explain(given, class_name)


def _predict(predictor: Predictor, given: GivenImage) -> Prediction:
    named = name_input(given, predictor.manifest.image) if isinstance(given, np.ndarray) else given
    return predictor.predict_chunk([named])[0]


class _Explaining:
    """The explainer of a run, opened for the first image; one image at a time."""

    def __init__(self, run: Run, predictor: Predictor) -> None:
        self._run, self._predictor, self._lock = run, predictor, threading.Lock()
        self._explainer: Explainer | None = None

    def explain(self, given: NamedInput, class_name: str | None) -> Explanation:
        """Explain the answer to an image; others wait."""
        with self._lock:
            self._explainer = self._explainer or self._open()
            (explanation,) = self._explainer.explain([given.content], class_name)  # type: ignore[list-item]
        return explanation

    def _open(self) -> Explainer:
        """Open an explainer that does not import TensorFlow, unless the run answers through Keras anyway."""
        explainer = open_explainer(self._run, predictor=self._predictor)
        answers_by_keras = any(stage.engine == "keras" for stage in self._run.manifest.stages)
        if explainer.needs_keras and not answers_by_keras:
            return open_explainer(self._run, "occlusion", predictor=self._predictor)
        return explainer


def open_served_runs(paths: Sequence[Path], engine: str, unknown: bool | None) -> dict[str, ServedRun]:
    """Open runs by the names of their folders.

    Raises:
        OptionError: if two have the same name
        RunError
        ModelError
    """
    served = dict[str, ServedRun]()
    for path in paths:
        run = ServedRun(path, engine, unknown)
        if run.name in served:
            first = served[run.name].run.path
            raise OptionError(f"'{first}' and '{run.run.path}' are both named '{run.name}'; rename one of the folders.")
        served[run.name] = run
    return served


class WorkerPool:
    """Threads that decode and classify, and the number of requests that may wait for them.

    Attributes:
        num_requests: admitted, and not answered yet
    """

    def __init__(self, num_threads: int, max_requests: int) -> None:
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="serve")
        self._num_threads, self._max_requests = num_threads, max_requests
        self.num_requests = 0
        self._num_jobs = 0
        self._job_seconds = 0.0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request while it is answered.

        Raises:
            Refusal: if there are too many
        """
        if self.num_requests >= self._max_requests:
            waiting = self._num_jobs * self._job_seconds / self._num_threads
            raise Refusal(429, "The server is busy; try again later.", {"Retry-After": str(max(1, math.ceil(waiting)))})
        self.num_requests += 1
        try:
            yield
        finally:
            self.num_requests -= 1

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do one job in a thread; a job that has not started when the request ends is dropped."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        self._num_jobs += 1
        job = self._threads.submit(self._timed, work)
        # wakes the loop once for each job; `wrap_future` would do it a second time
        job.add_done_callback(lambda done: self._on_done(loop, done, answer))
        try:
            return await answer
        except asyncio.CancelledError:
            job.cancel()
            raise

    def _timed(self, work: Callable[[], Result]) -> Result:
        started = time.perf_counter()
        try:
            return work()
        finally:
            self._job_seconds += SMOOTHING * (time.perf_counter() - started - self._job_seconds)

    def _on_done(
        self, loop: asyncio.AbstractEventLoop, job: "Future[Result]", answer: "asyncio.Future[Result]"
    ) -> None:
        with suppress(RuntimeError):  # the loop has closed
            loop.call_soon_threadsafe(self._deliver, job, answer)

    def _deliver(self, job: "Future[Result]", answer: "asyncio.Future[Result]") -> None:
        self._num_jobs -= 1
        if answer.done() or job.cancelled():
            answer.cancel()
        elif error := job.exception():
            answer.set_exception(error)
        else:
            answer.set_result(job.result())

    async def classify(self, predictor: Predictor, images: Sequence[GivenImage]) -> list[Prediction]:
        """Classify the images of a request, each as `tlkit predict` does."""
        if len(images) == 1:  # by far the most frequent; a task of its own takes longer than the rest of this function
            return [await self.run(partial(_predict, predictor, images[0]))]
        return list(await asyncio.gather(*(self.run(partial(_predict, predictor, image)) for image in images)))

    def warm_up(self, served: Sequence[ServedRun]) -> None:
        """Open the sessions of every thread, so that the first answers are as fast as the others."""
        barrier = threading.Barrier(self._num_threads)

        def answer_once() -> None:
            """Wait until every thread has a job, then answer in each."""
            barrier.wait(timeout=60)
            for run in served:
                side = run.predictor.manifest.image.size
                _predict(run.predictor, np.zeros((side, side, 3), np.uint8))

        for job in [self._threads.submit(answer_once) for _ in range(self._num_threads)]:
            job.result()

    def close(self) -> None:
        """Drop the jobs that have not started."""
        self._threads.shutdown(wait=False, cancel_futures=True)
