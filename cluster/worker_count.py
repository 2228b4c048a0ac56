"""How many workers a training has and what each asks for: of the nodes that there are, and of those that may come."""

from collections.abc import Collection, Sequence
from typing import Any

import ray
from ray.train import ScalingConfig
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group

from cluster.placement import grows


def num_gpus() -> int:
    """GPUs of the nodes that there are."""
    return int(ray.cluster_resources().get("GPU", 0))


def scale(least: int, most: int, use_gpu: bool, without: Collection[str] = ()) -> ScalingConfig:
    """As many workers as there is room for between the fewest and the most, and what each asks for.

    Args:
        without: ids of nodes that are to be taken away.
    Raises:
        ConnectionError: not even the fewest fit, and the cluster does not grow.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["NodeID"] not in without]
    count = max(least, min(most, room(nodes, 1, use_gpu)))
    needs: dict[str, float] = {"CPU": cpus_per_worker(nodes, count, grows(), use_gpu)}
    if use_gpu:
        needs["GPU"] = 1
    return ScalingConfig(num_workers=count, use_gpu=use_gpu, resources_per_worker=needs)


def room(nodes: Sequence[dict[str, float]], cpus: int, use_gpu: bool) -> int:
    """Workers of so many CPUs, and a GPU each if they use them, that the nodes have room for."""
    places = 0
    for node in nodes:
        by_cpu = int(node.get("CPU", 0)) // cpus
        places += min(by_cpu, int(node.get("GPU", 0))) if use_gpu else by_cpu
    return places


def cpus_per_worker(nodes: Sequence[dict[str, float]], count: int, is_growing: bool, use_gpu: bool) -> int:
    """CPUs of each of `count` workers, as many as the nodes have room for.

    >>> cpus_per_worker([{"CPU": 3}, {"CPU": 3}], 3, False, False)  # not two each: only two such workers fit
    1

    Args:
        nodes: resources of each node, by name.
        count: workers.
        is_growing: whether nodes join on demand; where too few are there yet, a worker asks for one CPU.
        use_gpu: whether each has a GPU.
    Raises:
        ConnectionError: they do not fit, and the cluster does not grow.
    """
    for cpus in range(int(max((node.get("CPU", 0) for node in nodes), default=0)), 0, -1):
        if room(nodes, cpus, use_gpu) >= count:
            return cpus
    if is_growing:
        return 1
    found = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
    each = "a CPU and a GPU" if use_gpu else "a CPU"
    raise ConnectionError(
        f"--workers {count}: each needs {each}, and there is room for {room(nodes, 1, use_gpu)}. Found: {found}. Lower "
        "--workers to that, or add nodes."
    )


def format_wait(scaling: ScalingConfig) -> str:
    """`2 workers of 4 CPUs and 1 GPU each; free: 3 of 8 CPUs, 0 of 1 GPU`: what is waited for, and what there is."""
    total, free = ray.cluster_resources(), ray.available_resources()
    kinds = [kind for kind in ("CPU", "GPU") if (scaling.resources_per_worker or {}).get(kind)]
    each = " and ".join(f"{(scaling.resources_per_worker or {})[kind]:g} {kind}" for kind in kinds)
    there = ", ".join(f"{free.get(kind, 0):g} of {total.get(kind, 0):g} {kind}" for kind in kinds)
    return f"{scaling.max_workers} workers of {each} each; free: {there}"


class Further:
    """Places for workers beyond those that run: a placement group for each, which the scheduler fills when it can.

    An autoscaler sees them as demand. What they hold is given back by `end`, right before the workers start anew.
    """

    def __init__(self) -> None:
        self._groups: list[Any] = []

    def ask(self, scaling: ScalingConfig, most: int) -> None:
        """Ask for so many places that there would be `most` workers; once is enough."""
        for _ in range(most - scaling.max_workers - len(self._groups)):
            self._groups.append(placement_group([scaling.resources_per_worker or {}]))

    def count(self) -> int:
        """Places that are there by now."""
        return sum(placement_group_table(group).get("state") == "CREATED" for group in self._groups)

    def end(self) -> None:
        """Give them back."""
        if ray.is_initialized():
            for group in self._groups:
                remove_placement_group(group)
