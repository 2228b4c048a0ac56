"""One function on every node of the cluster: what only the node itself knows."""

import dataclasses
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# A worker that asked for no GPU sees all of its node: they may be in use, and would have to be waited for.
ALL_GPUS = {"env_vars": {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What became of the function on one node."""

    node: str
    """The node's address; its host and the start of its id too, where several nodes have one address."""
    resources: dict[str, float]
    """What Ray counts of it: CPU, GPU, memory in bytes, object_store_memory in bytes."""
    result: Any = None
    """What the function returned; None where it did not."""
    error: str = ""
    """Why there is no result; "" where there is one."""
    asked_s: float = 0.0
    answered_s: float = 0.0
    """By the driver's clock, in seconds since 1970: the function ran between the two."""


def ask_every_node(work: Callable[[dict[str, float]], Any], timeout_s: float) -> list[Answer]:
    """What `work(resources)` returns on each node that is alive, in order of their names; Ray must be connected.

    The tasks ask for no CPU, so they run beside those of another command.

    Args:
        work: a picklable callable, given what Ray counts of the node. It returns plain types, since a node may have
            another Earshot than this process.
        timeout_s: for all nodes together; what has not answered by then has an error.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked_s = time.time()
    tasks = {_submit(work, node): (name, node) for name, node in zip(_names(nodes), nodes, strict=True)}
    answers, waiting, deadline = [], list(tasks), time.monotonic() + timeout_s
    while waiting:
        ready, waiting = ray.wait(waiting, timeout=max(0.0, deadline - time.monotonic()))
        for task in ready or waiting:
            outcome = _get(task) if ready else {"error": f"no answer in {timeout_s:g} s"}
            name, node = tasks[task]
            times = {"asked_s": asked_s, "answered_s": time.time()}
            answers.append(Answer(**{"node": name, "resources": node["Resources"], **times, **outcome}))
        if not ready:
            for task in waiting:
                ray.cancel(task, force=True)
            break
    return sorted(answers, key=lambda answer: answer.node)


def _submit(work: Callable[[dict[str, float]], Any], node: dict[str, Any]) -> Any:
    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0}
    task = ray.remote(_call)
    if node["Resources"].get("GPU", 0):
        options |= {"runtime_env": ALL_GPUS}
        task = ray.remote(max_calls=1)(_call)  # its process ends, and with it what it loaded onto the GPU
    here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return task.options(scheduling_strategy=here, **options).remote(work, node["Resources"])


def _call(work: Callable[[dict[str, float]], Any], resources: dict[str, float]) -> Any:
    return work(resources)


def _get(task: Any) -> dict[str, Any]:
    try:
        return {"result": ray.get(task)}
    except ray.exceptions.RayTaskError as error:
        return {"error": f"{type(error.cause).__name__}: {error.cause}"}
    except (ray.exceptions.RayError, OSError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _names(nodes: list[dict[str, Any]]) -> list[str]:
    addresses = [node["NodeManagerAddress"] for node in nodes]
    count = Counter(addresses)
    return [
        address if count[address] == 1 else f"{address} ({node['NodeManagerHostname']} {node['NodeID'][:6]})"
        for address, node in zip(addresses, nodes, strict=True)
    ]
