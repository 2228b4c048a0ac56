"""The one function that maps parts over Ray: a bounded window, retries, a wall-clock limit, results as they finish.

Each part reads and writes files itself, so Ray carries only the callable, a part's name and a small summary. A part may
run twice: its files' names and bytes are functions of its input, so that is harmless.
"""

import dataclasses
import faulthandler
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray

from cluster.faults import MAX_RETRIES, PartError
from cluster.resources import Needs

R = TypeVar("R")
# Parts waiting beside those that run: enough that no worker idles and an autoscaler sees demand.
WAITING_PER_SLOT = 1
# Where nodes join on demand there must be a demand: four of ray_cluster.yaml's nodes full of cutters.
GROWING_SLOTS = 128


def map_parts(work: Callable[[str], R], parts: Sequence[str], needs: Needs) -> Iterator[tuple[str, R]]:
    """(part, work(part)) for every part, in the order in which they finish; at most a window of them is in flight.

    Args:
        work: a picklable callable. With `needs.keeps_state` each worker keeps one copy of it for all its parts.
        parts: names of parts.
        needs: what one worker needs.
    Raises:
        PartError: `work` raised, or its worker died more than MAX_RETRIES times.
    """
    if not parts:
        return
    if needs.prefers_gpu and ray.cluster_resources().get("GPU", 0) >= 1:
        needs = dataclasses.replace(needs, num_gpus=1)
    check_placement(needs)
    slots = min(num_slots(needs), len(parts))
    submit, release = _pool(work, slots, needs) if needs.keeps_state else _tasks(work, needs)
    running: dict[Any, tuple[str, int]] = {}
    free = [slot for _ in range(1 + WAITING_PER_SLOT) for slot in range(slots)][::-1]  # each worker gets one first
    waiting = list(reversed(parts))
    try:
        while waiting or running:
            while waiting and free:
                part, slot = waiting.pop(), free.pop()
                running[submit(part, slot)] = (part, slot)
            ready, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
            if not ready:
                check_alive()
                continue
            part, slot = running.pop(ready[0])
            free.append(slot)
            try:
                yield part, ray.get(ready[0])
            except ray.exceptions.RayTaskError as error:
                raise PartError(part, error.cause or error) from error
            except (ray.exceptions.RayError, OSError) as error:
                raise PartError(part, error) from error
    finally:
        for reference in running:
            ray.cancel(reference, force=not needs.keeps_state)
        release()


def check_alive() -> None:
    """Refuse to wait for a Ray of this machine that has died: it would end this process without a word.

    Raises:
        PartError: its raylet is gone.
    """
    node = ray._private.worker._global_node  # None where the cluster was there before; there is no public way to ask
    if node is not None and any(name == "raylet" for name, _ in node.dead_processes()):
        lost = ConnectionError("Ray lost its raylet: killed, or out of memory. The same command goes on from here.")
        raise PartError("in flight", lost)


def check_placement(needs: Needs) -> None:
    """Refuse what no node could ever run: Ray would wait for such a node forever.

    Raises:
        ConnectionError: no node of the cluster has what one worker needs, and it does not grow by itself.
    """
    wanted = {"CPU": needs.num_cpus, "GPU": needs.num_gpus, "memory": needs.memory_bytes}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fits = any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes)
    if not fits and not grows():
        told = f"{wanted['CPU']:g} CPUs, {wanted['GPU']:g} GPUs and {needs.memory_bytes / 2**30:.1f} GiB"
        found = "; ".join(
            f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs and {node.get('memory', 0) / 2**30:.1f} GiB"
            for node in nodes
        )
        raise ConnectionError(f"no node can run a worker of {told}. Found: {found}. Add a larger node.")


def grows() -> bool:
    """Whether the cluster starts nodes on demand: its head runs no parts, so others must."""
    return any(node["Resources"].get("CPU", 0) == 0 for node in ray.nodes() if node["Alive"])


def num_slots(needs: Needs) -> int:
    """Workers of this kind to run at once: what the cluster has room for, or GROWING_SLOTS where it grows."""
    total = ray.cluster_resources()
    by_gpu = total.get("GPU", 0) / needs.num_gpus if needs.num_gpus else float("inf")
    by_memory = total.get("memory", float("inf")) / needs.memory_bytes
    least = GROWING_SLOTS if grows() else 1
    return max(least, int(min(total.get("CPU", 1) / needs.num_cpus, by_gpu, by_memory)))


def _tasks(work: Callable[[str], R], needs: Needs) -> tuple[Callable[[str, int], Any], Callable[[], None]]:
    task = ray.remote(_run).options(
        num_cpus=needs.num_cpus, num_gpus=needs.num_gpus, memory=needs.memory_bytes, max_retries=MAX_RETRIES
    )
    shared = ray.put(work)
    return lambda part, slot: task.remote(shared, part, needs.limit_s), lambda: None


def _pool(work: Callable[[str], R], slots: int, needs: Needs) -> tuple[Callable[[str, int], Any], Callable[[], None]]:
    kind = ray.remote(_Worker).options(
        num_cpus=needs.num_cpus,
        num_gpus=needs.num_gpus,
        memory=needs.memory_bytes,
        max_restarts=MAX_RETRIES,
        max_task_retries=MAX_RETRIES,
    )
    workers = [kind.remote(work, needs.limit_s) for _ in range(slots)]

    def release() -> None:
        for worker in workers:
            ray.kill(worker)

    return lambda part, slot: workers[slot].run.remote(part), release


def _run(work: Callable[[str], R], part: str, limit_s: float) -> R:
    """One part on a worker. A watchdog thread ends the process at the limit, also inside C code that never returns."""
    faulthandler.dump_traceback_later(limit_s, exit=True)
    try:
        return work(part)
    finally:
        faulthandler.cancel_dump_traceback_later()


class _Worker:
    """A worker that keeps its callable, and with it the model that it loaded."""

    def __init__(self, work: Callable[[str], Any], limit_s: float) -> None:
        self._work, self._limit_s = work, limit_s

    def run(self, part: str) -> Any:
        return _run(self._work, part, self._limit_s)
