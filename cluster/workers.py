"""The two kinds of Ray workers that parts are handed to: tasks that keep nothing, and a pool that keeps its model."""

import faulthandler
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import ray

from cluster.faults import MAX_RETRIES
from cluster.resources import WorkerResources

R = TypeVar("R")
Batch = tuple[str, ...]  # the parts of one task
# Tasks waiting beside those that run: enough that no worker idles. A pool has none: its parts take minutes, and so the
# one part that its worker was at when it died is known.
WAITING_PER_SLOT = 1


class Tasks:
    """One Ray task for each batch."""

    def __init__(self, work: Callable[[str], Any], needs: WorkerResources) -> None:
        self._task = ray.remote(_run).options(**_options(needs), max_retries=MAX_RETRIES)
        self._work, self._limit_s = ray.put(work), needs.limit_s
        self._size = self._in_flight = 0
        self.starting: dict[Any, Any] = {}
        """None: Ray starts a process for each task by itself."""

    def resize(self, size: int) -> None:
        """Let so many tasks run at once."""
        self._size = size

    def have_room(self, is_crowded: bool) -> bool:
        """Whether one more batch may be submitted; on a crowded cluster it must not wait at Ray for its turn."""
        return self._in_flight < self._size * (1 if is_crowded else 1 + WAITING_PER_SLOT)

    def submit(self, batch: Batch) -> Any:
        """Hand a batch out; the reference gives its results."""
        self._in_flight += 1
        return self._task.remote(self._work, batch, self._limit_s)

    def free(self, reference: Any) -> None:
        """A task has ended."""
        self._in_flight -= 1

    lose = free

    def end(self, running: Iterable[Any]) -> None:
        """Stop what is in flight."""
        for reference in running:
            ray.cancel(reference, force=True)


class Pool:
    """Workers that keep state; they are asked for in any number, and handed a part once they have started.

    Ray counts an actor's restarts over its life, which may be days, so none is restarted: a fresh one takes the place
    of one that died, and who maps the parts counts deaths by part.
    """

    def __init__(self, work: Callable[[str], Any], needs: WorkerResources) -> None:
        kind = ray.remote(_Worker).options(**_options(needs), max_restarts=0)
        shared = ray.put(work)
        self._new = lambda: kind.remote(shared, needs.limit_s)
        self.starting: dict[Any, Any] = {}
        """Workers that wait for a node or start there, by the reference that says when they have."""
        self._idle: list[Any] = []
        self._busy: dict[Any, Any] = {}
        self.failed_starts = 0
        """Workers that died before they had started, one after the other."""

    def resize(self, size: int) -> None:
        """Ask for workers up to this number, or end those above it that have no part."""
        for _ in range(len(self), size):
            worker = self._new()
            self.starting[worker.__ray_ready__.remote()] = worker
        while len(self) > size and (self.starting or self._idle):
            ray.kill(self.starting.popitem()[1] if self.starting else self._idle.pop())

    def __len__(self) -> int:
        return len(self.starting) + len(self._idle) + len(self._busy)

    def started(self, reference: Any) -> ray.exceptions.RayError | None:
        """A worker has started; or it died before it had, of the error that is returned."""
        worker = self.starting.pop(reference)
        try:
            ray.get(reference)
        except ray.exceptions.RayError as error:
            ray.kill(worker)
            self.failed_starts += 1
            return error
        self.failed_starts = 0
        self._idle.append(worker)
        return None

    def have_room(self, is_crowded: bool) -> bool:
        """Whether a worker has no batch, on a crowded cluster as on any."""
        return bool(self._idle)

    def submit(self, batch: Batch) -> Any:
        """Hand a batch to a worker that has none; the reference gives its results."""
        worker = self._idle.pop()
        reference = worker.run.remote(batch)
        self._busy[reference] = worker
        return reference

    def free(self, reference: Any) -> None:
        """A worker is done with its batch."""
        self._idle.append(self._busy.pop(reference))

    def lose(self, reference: Any) -> None:
        """A worker died; it may live on, out of reach."""
        ray.kill(self._busy.pop(reference))

    def end(self, running: Iterable[Any]) -> None:
        """Stop all workers."""
        for worker in (*self.starting.values(), *self._idle, *self._busy.values()):
            ray.kill(worker)


def _options(needs: WorkerResources) -> dict[str, float]:
    return {"num_cpus": needs.num_cpus, "num_gpus": needs.num_gpus, "memory": needs.memory_bytes}


@runtime_checkable
class WorksOnSeveral(Protocol):
    """Work on parts, part -> result, that may do several together in less time than one after the other."""

    def __call__(self, part: str) -> Any:
        """The result of a part."""

    def run_parts(self, parts: Sequence[str]) -> Iterator[Any]:
        """The result of each part, in order, as it is done."""


def run_parts(work: Callable[[str], R], parts: Sequence[str]) -> Iterator[R]:
    """The result of each part, in order, as it is done: of several together where the work can do that."""
    return work.run_parts(parts) if isinstance(work, WorksOnSeveral) else map(work, parts)


def _run(work: Callable[[str], R], batch: Batch, limit_s: float) -> list[R]:
    """A task's parts. A watchdog thread ends the process at a part's limit, even inside C code."""
    results = []
    try:
        faulthandler.dump_traceback_later(limit_s, exit=True)
        for result in run_parts(work, batch):
            results.append(result)
            faulthandler.dump_traceback_later(limit_s, exit=True)  # restarts the clock
    finally:
        faulthandler.cancel_dump_traceback_later()
    return results


class _Worker:
    """A worker that keeps its callable, and with it the model that it loaded."""

    def __init__(self, work: Callable[[str], Any], limit_s: float) -> None:
        self._work, self._limit_s = work, limit_s

    def run(self, batch: Batch) -> list[Any]:
        return _run(self._work, batch, self._limit_s)
