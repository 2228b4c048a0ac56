"""Which workers the nodes have room for: how many at once, and what no node could ever run."""

import dataclasses
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

import ray

from cluster.resources import WorkerResources

Node = Mapping[str, float]  # what a node has, by name: CPU, GPU, memory in bytes
# Where nodes join on demand there must be a demand. A pool asks for as many workers again as there is room for, so that
# it doubles, and for at least four: one node with GPUs. Tasks that wait cost nothing: four of ray_cluster.yaml's nodes.
POOL_DEMAND, TASKS_DEMAND = 4, 128
WORD_EVERY_S = 30.0


def check_placement(stages: Mapping[str, WorkerResources]) -> list[str]:
    """What no node could ever run, a sentence for each: Ray would wait for such a node forever. Ray must be connected.

    Args:
        stages: what one worker needs, by the name of its stage, such as evaluate.
    Returns:
        Nothing where every stage fits some node, or where nodes may join that are not known yet.
    """
    nodes = live_nodes()
    return [] if grows(nodes) else list_unplaceable(stages, nodes)


def list_unplaceable(stages: Mapping[str, WorkerResources], nodes: Sequence[Node]) -> list[str]:
    """A sentence for each stage whose worker fits none of the nodes.

    >>> list_unplaceable({"mix": WorkerResources(num_cpus=2)}, [{"CPU": 1, "memory": 2**32}])
    ['mix: no node can run a worker of 2 CPUs, 0 GPUs and 1.0 GiB. Found: 1 CPUs, 0 GPUs and 4.0 GiB.']
    """
    found = "; ".join(_format(node.get("CPU", 0), node.get("GPU", 0), node.get("memory", 0)) for node in nodes)
    return [
        f"{stage}: no node can run a worker of {format_needs(needs)}. Found: {found}."
        for stage, wanted in stages.items()
        if not count_room(needs := prefer_gpu(wanted, nodes), nodes)
    ]


def prefer_gpu(needs: WorkerResources, nodes: Iterable[Node]) -> WorkerResources:
    """The needs with a GPU for each worker, where it prefers one and a node has one."""
    has_gpu = any(node.get("GPU", 0) >= 1 for node in nodes)
    return dataclasses.replace(needs, num_gpus=1) if needs.prefers_gpu and has_gpu else needs


def count_room(needs: WorkerResources, nodes: Iterable[Node]) -> int:
    """Workers that fit the nodes at once.

    >>> needs = WorkerResources(num_cpus=2, memory_bytes=2**30)
    >>> count_room(needs, [{"CPU": 3, "memory": 2**33}, {"CPU": 3, "memory": 2**33}, {"CPU": 8, "memory": 2**31}])
    4
    """
    wanted = {"CPU": needs.num_cpus, "GPU": needs.num_gpus, "memory": needs.memory_bytes}
    asked = {name: amount for name, amount in wanted.items() if amount}
    return sum(min(int(node.get(name, 0) // amount) for name, amount in asked.items()) for node in nodes)


def num_workers(needs: WorkerResources) -> int:
    """Workers of this kind to ask Ray for at once. Ray must be connected."""
    nodes = live_nodes()
    return count_workers(needs, nodes, grows(nodes))


def count_workers(needs: WorkerResources, nodes: Sequence[Node], is_growing: bool) -> int:
    """Workers to ask for at once: those that the nodes have room for, and where others join on demand a demand.

    >>> needs = WorkerResources(num_cpus=1, stateful=True)
    >>> [count_workers(needs, [{"CPU": 0}, {"CPU": cpus, "memory": 2**40}], True) for cpus in (0, 2, 32)]
    [4, 6, 64]
    """
    room = count_room(needs, nodes)
    if not is_growing:
        return max(1, room)
    return room + max(room, POOL_DEMAND) if needs.stateful else max(room, TASKS_DEMAND)


def share_room(first: WorkerResources, second: WorkerResources, nodes: Sequence[Node], wanted: int) -> tuple[int, int]:
    """Workers of two stages that are at work together, at least one of the first.

    >>> cpus = WorkerResources(num_cpus=1)
    >>> [share_room(cpus, cpus, [{"CPU": 4, "memory": 2**40}], wanted) for wanted in (1, 2, 9)]
    [(3, 1), (2, 2), (1, 3)]

    Args:
        wanted: workers of the second that have something to do.
    """
    for count in range(min(wanted, count_room(second, nodes)), 0, -1):
        if left := count_room(first, _without(second, nodes, count)):
            return left, count
    return max(1, count_room(first, nodes)), 0


def _without(needs: WorkerResources, nodes: Iterable[Node], count: int) -> list[Node]:
    """What so many workers leave of the nodes, the first of which are filled first."""
    left: list[Node] = []
    for node in nodes:
        here = min(count, count_room(needs, [node]))
        taken = {"CPU": needs.num_cpus, "GPU": needs.num_gpus, "memory": needs.memory_bytes}
        left.append({name: amount - here * taken.get(name, 0) for name, amount in node.items()})
        count -= here
    return left


def live_nodes() -> list[Node]:
    """What each node of the cluster has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def grows(nodes: Iterable[Node] | None = None) -> bool:
    """Whether others may join these nodes, or those of the cluster, on demand: a head without CPUs counts on others.

    Design note: Ray 2.60 keeps no record of whether an autoscaler is at work or of the nodes that it could start: its
    own never fill the cluster config in the GCS. A fixed cluster with such a head is taken for one that grows: a few
    workers that wait there cost nothing, because they are handed no parts, and needs that no node has are waited for
    with a word every 30 s.
    """
    return any(node.get("CPU", 0) == 0 for node in (live_nodes() if nodes is None else nodes))


class Patience:
    """Says on stderr that work waits for room on the cluster, every WORD_EVERY_S as long as it does."""

    def __init__(self, what: str) -> None:
        self._what, self._since_s, self._said = what, time.monotonic(), 0

    def wait(self, is_waiting: bool) -> None:
        """Note whether it waits now; called every second or so."""
        if not is_waiting:
            self._since_s, self._said = time.monotonic(), 0
            return
        waited_s = time.monotonic() - self._since_s
        if waited_s < WORD_EVERY_S * (self._said + 1):
            return
        self._said += 1
        free = ray.available_resources()
        text = _format(free.get("CPU", 0), free.get("GPU", 0), free.get("memory", 0))
        print(
            f"waiting for {self._what} since {waited_s:.0f} s: {len(live_nodes())} nodes, on which {text} are free. It "
            "is starting, other work holds the rest, or nodes are still to join.",
            file=sys.stderr,
            flush=True,
        )


def format_needs(needs: WorkerResources) -> str:
    """`1 CPUs, 0 GPUs and 2.0 GiB`, what one worker asks for."""
    return _format(needs.num_cpus, needs.num_gpus, needs.memory_bytes)


def _format(num_cpus: float, num_gpus: float, memory_bytes: float) -> str:
    return f"{num_cpus:g} CPUs, {num_gpus:g} GPUs and {memory_bytes / 2**30:.1f} GiB"
