"""Workers of a Ray cluster: Ray Data's actors work through a table of blocks (docs/decisions/059).

A row of the table is one block, pickled; a row of the result is small. Ray streams the rows, starts actors again that
die, and gives their block to another one. Files that a task writes are named by their content or their block, so that
a block that is done twice leaves one result.
"""

import logging
import os
import pickle
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

from tlkit.cache.folder import cache_dir, cache_origin
from tlkit.distributed.software import Software, node_name, software_difference, this_software
from tlkit.errors import ModelError, OptionError, TlkitError
from tlkit.utils.parallel import count_workers, limit_workers
from tlkit.utils.silence import silenced_stderr
from tlkit.utils.text import format_duration, format_rate

Task = Callable[[Any], Callable[[Any], Any]]
MAX_ATTEMPTS = 10  # of one block; a worker that dies again and again has too little memory
KNOCK_SECONDS = 10
OBJECT_STORE = 256 << 20  # bytes, of a cluster on this machine; blocks and results are small
SETTINGS = {  # of Ray, unless they are set: no remarks on the terminal, no reports to its makers
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_USAGE_STATS_ENABLED": "0",
}
ENVIRONMENT = ("KERAS_HOME", "HF_HOME")  # that workers take from this process; credentials stay where they are


class DeadWorkersError(ModelError):
    """A block killed every worker that began with it."""


@dataclass(frozen=True)
class Job:
    """The task and all that a worker needs for it, sent once.

    Attributes:
        task, spec: see `Workers.map`
        software: of the process that asks
        environment: variables that the worker sets
    """

    task: Task
    spec: Any
    software: Software
    environment: dict[str, str]


class Coordinator:
    """An actor that holds the job, and counts how often each block was started.

    Ray alone would try a block that kills its worker for ever. It warns of actors that find their job in its object
    store, because they could not start again once it is gone from there.
    """

    def __init__(self, job: bytes) -> None:
        self._job, self._counts = job, Counter[int]()

    def job(self) -> bytes:
        """Give the job, pickled."""
        return self._job

    def begin(self, index: int) -> int:
        """Count an attempt at a block, and say how many there were."""
        self._counts[index] += 1
        return self._counts[index]

    def num_again(self) -> int:
        """Count the attempts after a first one."""
        return sum(self._counts.values()) - len(self._counts)


@dataclass(frozen=True)
class Answer:
    """The answer of a worker to a block.

    Attributes:
        index: of the block
        result: of the task; None after an error
        error: that the task raised
        node, worker: names of the machine and of the actor on it
        num_inputs: in the block
        seconds: that the block took
    """

    index: int
    result: Any = None
    error: TlkitError | None = None
    node: str = ""
    worker: str = ""
    num_inputs: int = 0
    seconds: float = 0.0


class Actor:
    """One worker; Ray Data makes it, and calls it with a row of the table."""

    def __init__(self, coordinator: Any) -> None:
        """Receive the job.

        Args:
            coordinator: a `Coordinator` of Ray
        """
        import ray

        self._coordinator = coordinator
        self._job: Job = pickle.loads(ray.get(coordinator.job.remote()))
        self._compute: Callable[[Any], Any] | None = None

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Work on one block; an error is an answer, so that Ray does not try it again."""
        import ray

        started, index = time.perf_counter(), int(rows["index"][0])
        block = pickle.loads(rows["block"][0])
        try:
            self._begin(index)
            answer = Answer(index, self._work(block))
        except TlkitError as error:
            answer = Answer(index, error=error)
        except Exception:
            answer = Answer(index, error=TlkitError(f"a worker failed: {traceback.format_exc()}"))
        worker, seconds = ray.get_runtime_context().get_worker_id(), time.perf_counter() - started
        answer = replace(answer, node=node_name(), worker=worker, num_inputs=_count_inputs(block), seconds=seconds)
        return {"answer": [pickle.dumps(answer)]}

    def _begin(self, index: int) -> None:
        import ray

        if ray.get(self._coordinator.begin.remote(index)) > MAX_ATTEMPTS:
            raise DeadWorkersError(
                f"workers died {MAX_ATTEMPTS} times on the same block, last on '{node_name()}'; what is finished is "
                "cached: repeat the command with fewer --workers a machine, or more memory."
            )

    def _work(self, block: Any) -> Any:
        if self._compute is None:
            os.environ.update(self._job.environment)
            limit_workers(1)
            if different := software_difference(this_software(), self._job.software):
                raise ModelError(
                    f"the worker on '{node_name()}' would compute other pixels or features than this machine: "
                    f"{different}; expected the same software and kind of processor on all machines."
                )
            self._compute = self._job.task(self._job.spec)
        return self._compute(block)


class RayWorkers:
    """The workers of a cluster, see `Workers`; it is joined or started when the first block comes."""

    def __init__(self, workers: int) -> None:
        self._wanted, self._address = workers, os.environ.get("RAY_ADDRESS", "")
        self._is_started = False
        self._answers, self._num_again = list[Answer](), 0

    @property
    def count(self) -> int:
        """The number of workers at a time."""
        import ray

        self._start()
        return self._wanted or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def map(self, task: Task, spec: Any, blocks: Iterable[Any]) -> Iterator[Any]:
        """Compute a task on every block, see `Workers.map`."""
        with closing(self._compute(task, spec, blocks)) as answers:
            yield from in_order(answers)

    def each(self, task: Task, spec: Any, blocks: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Compute a task on every block, see `Workers.each`."""
        with closing(self._compute(task, spec, blocks, ahead=1)) as answers:
            for answer in answers:
                if answer.error and not isinstance(answer.error, DeadWorkersError):
                    raise answer.error
                yield answer.index, answer.error or answer.result

    def _compute(
        self, task: Task, spec: Any, blocks: Iterable[Any], ahead: int | None = None
    ) -> Generator[Answer, None, None]:
        """Give answers as they come.

        Args:
            ahead: blocks that a worker is given at a time; None for what Ray chooses
        """
        import ray

        self._answers, self._num_again = [], 0
        table = [{"index": index, "block": pickle.dumps(block)} for index, block in enumerate(blocks)]
        if not table:
            return
        environment = {name: value for name in ENVIRONMENT if (value := os.environ.get(name))}
        job = Job(task, spec, this_software(), environment | {"TLKIT_CACHE": str(cache_origin() or cache_dir())})
        count = min(self.count, len(table))
        coordinator = ray.remote(**_on_this_node())(Coordinator).remote(pickle.dumps(job))
        data = ray.data.from_items(table, override_num_blocks=len(table)).map_batches(
            Actor,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=count, initial_size=count, max_tasks_in_flight_per_actor=ahead
            ),
            fn_constructor_args=(coordinator,),
            num_cpus=1,
        )
        yield from self._receive(data)
        self._num_again = ray.get(coordinator.num_again.remote())

    def describe(self, unit: str) -> str:
        """Say how fast the last `map` was, see `Workers.describe`."""
        nodes = dict[str, list[Answer]]()
        for answer in self._answers:
            nodes.setdefault(answer.node, []).append(answer)
        parts = [_describe_node(name, answers, unit) for name, answers in nodes.items()]
        parts += [f"{self._num_again} blocks were done again, because a worker died"] * bool(self._num_again)
        return "; ".join(parts)

    def _receive(self, data: Any) -> Generator[Answer, None, None]:
        """Give answers as they come; ModelError if the workers are gone"""
        import ray

        try:
            with closing(iter(data.iter_rows())) as rows:
                for row in rows:
                    answer: Answer = pickle.loads(row["answer"])
                    self._answers.append(replace(answer, result=None))
                    yield answer
        except ray.exceptions.RayError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise ModelError(
                f"the cluster of Ray does not answer any more ({reason}); what is finished is cached: repeat the "
                "command."
            ) from None

    def _start(self) -> None:
        """Join the cluster of RAY_ADDRESS, or start one; OptionError if it cannot be joined"""
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        import ray

        if self._is_started or ray.is_initialized():
            return
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
        if not self._address:
            options |= {"num_cpus": self._wanted or count_workers(), "include_dashboard": False}
            options["object_store_memory"] = OBJECT_STORE
        try:
            if self._address:
                _knock(self._address)
            with silenced_stderr():
                ray.init(address=self._address or "local", **options)
        except (OSError, ValueError, RuntimeError) as error:
            reason = _reason_of(error)
            cluster = f"the cluster of RAY_ADDRESS '{self._address}'" if self._address else "Ray on this machine"
            raise OptionError(
                f"{cluster} does not answer ({reason}); expected a running one: see docs/scale.md."
            ) from None
        self._is_started = True
        context = ray.data.DataContext.get_current()
        _be_quiet()
        context.enable_progress_bars = context.print_on_execution_start = False

    def close(self) -> None:
        """Leave the cluster; one that was started here ends, with its processes."""
        if self._is_started:
            import ray

            with suppress(Exception):
                ray.shutdown()


def _knock(address: str) -> None:
    """Connect to a cluster's port, because Ray itself would try for minutes; OSError if nobody answers"""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        with socket.create_connection((host, int(port)), KNOCK_SECONDS):
            pass


def _reason_of(error: Exception) -> str:
    """Say in a line why a cluster does not answer; Ray names a token that it misses only in the cause of its error."""
    cause: BaseException | None = error
    while cause:
        if "Authentication token" in str(cause):
            return (
                "it asks for a token: set RAY_AUTH_MODE=token here, and have the cluster's token in ~/.ray/auth_token "
                "or RAY_AUTH_TOKEN"
            )
        cause = cause.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _on_this_node() -> dict[str, Any]:
    """Give Ray's options for an actor beside this process; elsewhere it would be lost with a machine that goes away."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = ray.get_runtime_context().get_node_id()
    return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}


def _be_quiet() -> None:
    """Leave out remarks of Ray, and what it prints to standard output, which may be a table, when a worker dies."""
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with suppress(ImportError, AttributeError):
        from ray._private import worker

        worker.print_to_stdstream = lambda *_, **__: None


def _count_inputs(block: Any) -> int:
    return len(block) if isinstance(block, Sized) else 1


def _describe_node(name: str, answers: list[Answer], unit: str) -> str:
    workers, num_inputs = len({answer.worker for answer in answers}), sum(answer.num_inputs for answer in answers)
    seconds = max(1e-9, sum(answer.seconds for answer in answers)) / max(1, num_inputs)
    speed = f", {format_duration(seconds)} each" if seconds > 1 else f" at {format_rate(1 / seconds)}/s each"
    return f"{workers} worker{'s' * (workers > 1)} on '{name}', {num_inputs:,} {unit}{speed}"


def in_order(answers: Iterable[Answer]) -> Iterator[Any]:
    """Yield results in the order of their blocks, and raise the first error that comes.

    Raises:
        TlkitError
    """
    early, position = dict[int, Answer](), 0
    for answer in answers:
        if answer.error:
            raise answer.error
        early[answer.index] = answer
        while position in early:
            yield early.pop(position).result
            position += 1
