"""The one function that maps parts over Ray: a bounded window, retries, a wall-clock limit, results as they finish.

Each part reads and writes files itself, so Ray carries only the callable, names of parts and small summaries. A part
may run twice: its files' names and bytes are functions of its input, so that is harmless.
"""

import collections
import dataclasses
import faulthandler
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray

from cluster.faults import MAX_RETRIES, PartError
from cluster.resources import WorkerResources

R = TypeVar("R")
Batch = tuple[str, ...]  # the parts of one task
# Tasks waiting beside those that run: enough that no worker idles and an autoscaler sees demand. A pool has none: its
# parts take minutes, and so the one part that its worker was at when it died is known.
WAITING_PER_SLOT = 1
# Where nodes join on demand there must be a demand: four of ray_cluster.yaml's nodes full of cutters.
GROWING_SLOTS = 128
MIN_TASKS = 64  # fewer would leave workers of a large cluster without


def map_parts(
    work: Callable[[str], R],
    parts: Sequence[str],
    needs: WorkerResources,
    parts_per_task: int = 1,
    on_change: Callable[[int], None] = lambda running: None,
) -> Iterator[tuple[str, R]]:
    """(part, work(part)) for every part, in the order in which they finish; at most a window of them is in flight.

    Args:
        work: a picklable callable. With `needs.stateful` each worker keeps one copy of it for all its parts.
        parts: names of parts.
        needs: what one worker needs.
        parts_per_task: parts of one Ray task, where there are more than MIN_TASKS: handing a task out takes 10 ms, as
            long as a short part.
        on_change: called with the number of parts that workers have, whenever it may have changed.
    Raises:
        PartError: `work` raised, or the workers of one part died more than MAX_RETRIES times.
    """
    if not parts:
        return
    if needs.prefers_gpu and ray.cluster_resources().get("GPU", 0) >= 1:
        needs = dataclasses.replace(needs, num_gpus=1)
    check_placement(needs)
    size = max(1, min(parts_per_task, len(parts) // MIN_TASKS))
    batches = [tuple(parts[first : first + size]) for first in range(0, len(parts), size)]
    slots = min(num_slots(needs), len(batches))
    pool = _Pool(work, slots, needs) if needs.stateful else None
    submit = pool.submit if pool else _tasks(work, needs)
    running: dict[Any, tuple[Batch, int]] = {}
    free = list(range(slots)) * (1 if pool else 1 + WAITING_PER_SLOT)
    waiting, deaths = batches[::-1], collections.Counter[Batch]()
    try:
        while waiting or running:
            while waiting and free:
                batch, slot = waiting.pop(), free.pop()
                running[submit(batch, slot)] = (batch, slot)
            on_change(sum(len(batch) for batch, _ in running.values()))
            ready, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
            if not ready:
                check_alive()
                continue
            batch, slot = running.pop(ready[0])
            free.append(slot)
            try:
                results = ray.get(ready[0])
            except ray.exceptions.RayTaskError as error:
                raise PartError(format_batch(batch), error.cause or error) from error
            except (ray.exceptions.RayError, OSError) as error:
                check_alive()
                deaths[batch] += 1
                if pool is None or deaths[batch] > MAX_RETRIES:  # of a task, Ray itself has counted
                    raise PartError(format_batch(batch), error) from error
                pool.replace(slot)
                waiting.append(batch)
                continue
            if pool and not waiting:
                pool.end(slot)  # makes room for one that waits to replace another, where a node is gone for good
            yield from zip(batch, results, strict=True)
    finally:
        for reference in running:
            ray.cancel(reference, force=pool is None)
        if pool:
            for slot in range(slots):
                pool.end(slot)


def format_batch(batch: Batch) -> str:
    """`00042`, or `00042 to 00057` for the parts of one task."""
    return batch[0] if len(batch) == 1 else f"{batch[0]} to {batch[-1]}"


def check_alive() -> None:
    """Refuse to wait for a Ray of this machine that has died: it would end this process without a word.

    Raises:
        PartError: its raylet is gone.
    """
    node = ray._private.worker._global_node  # None where the cluster was there before; there is no public way to ask
    if node is not None and any(name == "raylet" for name, _ in node.dead_processes()):
        lost = ConnectionError("Ray lost its raylet: killed, or out of memory. The same command goes on from here.")
        raise PartError("in flight", lost)


def check_placement(needs: WorkerResources) -> None:
    """Refuse what no node could ever run: Ray would wait for such a node forever.

    Raises:
        ConnectionError: no node of the cluster has what one worker needs, and it does not grow by itself.
    """
    wanted = {"CPU": needs.num_cpus, "GPU": needs.num_gpus, "memory": needs.memory_bytes}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fits = any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes)
    if not fits and not grows():
        needed = f"{wanted['CPU']:g} CPUs, {wanted['GPU']:g} GPUs and {needs.memory_bytes / 2**30:.1f} GiB"
        found = "; ".join(
            f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs and {node.get('memory', 0) / 2**30:.1f} GiB"
            for node in nodes
        )
        raise ConnectionError(f"no node can run a worker of {needed}. Found: {found}. Add a larger node.")


def grows() -> bool:
    """Whether the cluster starts nodes on demand: its head runs no parts, so others must."""
    return any(node["Resources"].get("CPU", 0) == 0 for node in ray.nodes() if node["Alive"])


def num_slots(needs: WorkerResources) -> int:
    """Workers of this kind to run at once: what the cluster has room for, or GROWING_SLOTS where it grows."""
    total = ray.cluster_resources()
    by_gpu = total.get("GPU", 0) / needs.num_gpus if needs.num_gpus else float("inf")
    by_memory = total.get("memory", float("inf")) / needs.memory_bytes
    least = GROWING_SLOTS if grows() else 1
    return max(least, int(min(total.get("CPU", 1) / needs.num_cpus, by_gpu, by_memory)))


def _tasks(work: Callable[[str], R], needs: WorkerResources) -> Callable[[Batch, int], Any]:
    task = ray.remote(_run).options(
        num_cpus=needs.num_cpus, num_gpus=needs.num_gpus, memory=needs.memory_bytes, max_retries=MAX_RETRIES
    )
    shared = ray.put(work)
    return lambda batch, slot: task.remote(shared, batch, needs.limit_s)


class _Pool:
    """Workers that keep state. Ray counts an actor's restarts over its life, which may be days, so none is restarted:
    a fresh one takes the place of one that died, and who maps the parts counts deaths by part."""

    def __init__(self, work: Callable[[str], Any], slots: int, needs: WorkerResources) -> None:
        kind = ray.remote(_Worker).options(
            num_cpus=needs.num_cpus, num_gpus=needs.num_gpus, memory=needs.memory_bytes, max_restarts=0
        )
        shared = ray.put(work)
        self._start = lambda: kind.remote(shared, needs.limit_s)
        self._workers = [self._start() for _ in range(slots)]

    def submit(self, batch: Batch, slot: int) -> Any:
        return self._workers[slot].run.remote(batch)

    def replace(self, slot: int) -> None:
        self.end(slot)  # it may live on, out of reach
        self._workers[slot] = self._start()

    def end(self, slot: int) -> None:
        ray.kill(self._workers[slot])


def _run(work: Callable[[str], R], batch: Batch, limit_s: float) -> list[R]:
    """A task's parts, one after the other. A watchdog thread ends the process at a part's limit, even inside C code."""
    results = []
    try:
        for part in batch:
            faulthandler.dump_traceback_later(limit_s, exit=True)  # restarts the clock
            results.append(work(part))
    finally:
        faulthandler.cancel_dump_traceback_later()
    return results


class _Worker:
    """A worker that keeps its callable, and with it the model that it loaded."""

    def __init__(self, work: Callable[[str], Any], limit_s: float) -> None:
        self._work, self._limit_s = work, limit_s

    def run(self, batch: Batch) -> list[Any]:
        return _run(self._work, batch, self._limit_s)
