"""The one function that maps parts over Ray: a bounded window, retries, a wall-clock limit, results as they finish.

Each part reads and writes files itself, so Ray carries only the callable, names of parts and small summaries. A part
may run twice: its files' names and bytes are functions of its input, so that is harmless.
"""

import collections
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import ray

from cluster import placement
from cluster.faults import MAX_RETRIES, PartError, Quarantine
from cluster.following import Follow
from cluster.head_watch import check_head, is_silent
from cluster.resources import WorkerResources
from cluster.waits import Waits, to_stderr
from cluster.workers import Batch, Pool, Tasks

R = TypeVar("R")
MIN_TASKS = 64  # fewer would leave workers of a large cluster without
REFRESH_S = 5.0  # how often the nodes are looked at, which takes 1 ms for each hundred of them


def map_parts(
    work: Callable[[str], R],
    parts: Sequence[str],
    needs: WorkerResources,
    parts_per_task: int = 1,
    on_change: Callable[[int, Mapping[str, BaseException]], None] = lambda running, failed: None,
    fatal: tuple[type[Exception], ...] = (),
    follow: Follow | None = None,
    say: Callable[[str], None] = to_stderr,
) -> Iterator[tuple[str, R]]:
    """(part, work(part)) for every part, in the order in which they finish; at most a window of them is in flight.

    Args:
        work: a picklable callable. With `needs.stateful` each worker keeps one copy of it for all its parts.
        parts: names of parts.
        needs: what one worker needs.
        parts_per_task: parts of one Ray task, where there are more than MIN_TASKS: handing a task out takes 10 ms, as
            long as a short part.
        on_change: called with the number of parts that workers have and the causes of those that are set aside, by
            part, whenever they may have changed.
        fatal: what `work` raises where no other part would fare better.
        follow: what becomes of each part that is done, while others are not.
        say: takes a line about what workers wait for.
    Raises:
        ConnectionError: no node of the cluster has what one worker needs, and it does not grow by itself.
        QuarantineError: some parts failed, and all others were given.
        PartError: `work` raised what is fatal, all parts fail alike, or Ray died.
    """
    if not parts:
        return
    if refused := placement.check_placement({"worker": needs}):
        raise ConnectionError(f"{refused[0]} Add a larger node.")
    batches = split_into_batches(parts, parts_per_task)
    nodes = placement.live_nodes()
    first = _Stage(work, batches, placement.prefer_gpu(needs, nodes), fatal)
    second = _Follower(follow, nodes) if follow else None
    next_look_s, waits = 0.0, Waits(say)
    try:
        while first.is_unfinished or (second and second.num_running):
            if time.monotonic() >= next_look_s and not (first.size and is_silent()):
                waits.look()
                next_look_s = time.monotonic() + REFRESH_S
                first.resize(second.share(first.needs) if second else placement.num_workers(first.needs))
            if second and first.is_unfinished:
                second.hand_out()
            first.hand_out(is_crowded=second is not None and second.is_starting)
            on_change(first.num_running, first.quarantine.causes)
            ready, _ = ray.wait([*first.references, *(second.references if second else ())], num_returns=1, timeout=1.0)
            if not ready or is_silent():  # without its head a cluster goes on with parts for a while
                check_alive()
            if not ready:
                continue
            if second and second.has(ready[0]):
                second.take(ready[0])
            else:
                for part, result in first.take(ready[0]):
                    if second:
                        second.add(part)
                    yield part, result
        on_change(0, first.quarantine.causes)
        first.quarantine.check()
    finally:
        for stage in filter(None, (first, second)):
            stage.end()


def split_into_batches(parts: Sequence[str], parts_per_task: int) -> list[Batch]:
    """The parts of each task, at most `parts_per_task`; fewer where there would be fewer tasks than MIN_TASKS."""
    size = max(1, min(parts_per_task, len(parts) // MIN_TASKS))
    return [tuple(parts[first : first + size]) for first in range(0, len(parts), size)]


class _Stage:
    """Batches that wait for a worker, and those that have one."""

    def __init__(
        self,
        work: Callable[[str], Any],
        batches: Iterable[Batch],
        needs: WorkerResources,
        fatal: tuple[type[Exception], ...],
    ) -> None:
        self.needs, self._fatal = needs, fatal
        self._workers = Pool(work, needs) if needs.stateful else Tasks(work, needs)
        self._waiting, self._running = collections.deque(batches), dict[Any, Batch]()
        self._deaths = collections.Counter[Batch]()
        self._patience = placement.Patience(f"a worker of {placement.format_needs(needs)}")
        self.size, self._fits = 0, True
        """Workers that there may be; whether any node has room for one."""
        self.quarantine = Quarantine()

    @property
    def is_unfinished(self) -> bool:
        return bool(self._waiting or self._running)

    @property
    def num_running(self) -> int:
        """Parts that workers have."""
        return sum(map(len, self._running.values()))

    @property
    def is_starting(self) -> bool:
        """Whether a worker waits for room, or starts."""
        return bool(self._workers.starting)

    @property
    def references(self) -> list[Any]:
        """What Ray will have something to say about."""
        return [*self._running, *self._workers.starting]

    def has(self, reference: Any) -> bool:
        """Whether the reference is of this stage."""
        return reference in self._running or reference in self._workers.starting

    def resize(self, size: int) -> None:
        """Let there be so many workers from now on."""
        self.size, self._fits = size, placement.count_room(self.needs, placement.live_nodes()) > 0

    def hand_out(self, is_crowded: bool = False) -> None:
        """Give waiting batches to workers, as many as there may be; while others wait for room, queue none at Ray."""
        self._workers.resize(self._wanted())
        while self._waiting and self._workers.have_room(is_crowded):
            if self.quarantine.is_full and self._running:
                break  # those in flight decide whether the run stops
            # after a failure from the far end: what failed in an earlier run is pending at the near one
            batch = self._waiting.pop() if self.quarantine.suspects else self._waiting.popleft()
            self._running[self._workers.submit(batch)] = batch
        self._patience.wait(bool(self._waiting) and not (self._running and self._fits))

    def _wanted(self) -> int:
        return min(self.size, len(self._waiting) + len(self._running))

    def take(self, reference: Any) -> Iterable[tuple[str, Any]]:
        """What a reference that is ready gives: a worker that has started, a batch's results, or how it failed."""
        if isinstance(self._workers, Pool) and reference in self._workers.starting:
            if (error := self._workers.started(reference)) is not None:
                check_alive()
                if self._workers.failed_starts > MAX_RETRIES:
                    raise PartError("waiting", error, " No worker can start.") from error
            return ()
        batch = self._running.pop(reference)
        try:
            results = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            self._workers.free(reference)
            self._fail(batch, error.cause or error)
        except (ray.exceptions.RayError, OSError) as error:
            check_alive()
            self._workers.lose(reference)
            self._deaths[batch] += 1
            if self.needs.stateful and self._deaths[batch] <= MAX_RETRIES:  # of a task, Ray itself has counted
                self._waiting.append(batch)
            else:
                self._fail(batch, error)
        else:
            self._workers.free(reference)
            self.quarantine.clear()
            return zip(batch, results, strict=True)
        return ()

    def _fail(self, batch: Batch, cause: BaseException) -> None:
        """Set a part aside, or try the parts of a batch one by one."""
        if isinstance(cause, self._fatal):
            raise PartError(format_batch(batch), cause) from cause
        if len(batch) == 1:
            self.quarantine.add(batch[0], cause)
        else:
            self.quarantine.count(cause)
            self._waiting.extendleft((part,) for part in reversed(batch))
        if self.quarantine.is_full and not self._running:
            raise self.quarantine.stop(format_batch(batch)) from cause

    def end(self) -> None:
        """Stop the workers."""
        self._workers.end(self._running)


class _Follower(_Stage):
    """The second of two stages, on the room that it shares with the first."""

    def __init__(self, follow: Follow, nodes: Sequence[placement.Node]) -> None:
        super().__init__(follow.work, [], placement.prefer_gpu(follow.needs, nodes), ())
        self._follow = follow
        self._is_over = False

    def add(self, part: str) -> None:
        """The first stage has done a part."""
        if part not in self._follow.done and not self._is_over:
            self._waiting.append((part,))

    def share(self, first: WorkerResources) -> int:
        """Take workers for the parts that wait, never fewer than before; return how many are left to the first."""
        wanted = 0 if self._is_over else max(1, self.size, len(self._waiting))
        left, size = placement.share_room(first, self.needs, placement.live_nodes(), wanted)
        self.resize(size)
        return left

    def take(self, reference: Any) -> Iterable[tuple[str, Any]]:
        """Pass results on. Where its parts fail alike or no worker starts, it is over, and the first stage goes on."""
        try:
            for _, result in super().take(reference):
                self._follow.on_result(result)
        except PartError:
            check_alive()
            self._is_over = True
            self._waiting.clear()
        return ()

    def _wanted(self) -> int:
        return self.size  # a worker that waits for parts keeps its model


def format_batch(batch: Batch) -> str:
    """`00042`, or `00042 to 00057` for the parts of one task."""
    return batch[0] if len(batch) == 1 else f"{batch[0]} to {batch[-1]}"


def check_alive() -> None:
    """Refuse to wait for a Ray that has died, of this machine or a cluster's: it would end this process without a word.

    Raises:
        PartError: its raylet or its head is gone.
    """
    try:
        check_head()
    except ConnectionError as error:
        raise PartError("in flight", error) from error
    node = ray._private.worker._global_node  # None where the cluster was there before; there is no public way to ask
    if node is not None and any(name == "raylet" for name, _ in node.dead_processes()):
        lost = ConnectionError("Ray lost its raylet: killed, or out of memory. The same command goes on from here.")
        raise PartError("in flight", lost)
