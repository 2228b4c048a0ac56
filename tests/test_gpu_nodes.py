"""GPUs that join on demand: asked for and waited for where the head promises them. Without Ray."""

from typing import Any

import pytest
import ray

from cluster import gpu_nodes
from cluster.gpu_nodes import LABEL, await_gpus


def node(labels: dict[str, str], **resources: float) -> dict[str, Any]:
    return {"Alive": True, "Labels": labels, "Resources": resources}


HEAD, PLAIN_HEAD = node({LABEL: "4"}), node({})


@pytest.mark.parametrize(
    ("nodes", "num_workers", "asked"),
    [
        ([HEAD], None, [{"bundles": [{"GPU": 1}] * 4}, {"num_cpus": 0}]),
        ([HEAD], 2, [{"bundles": [{"GPU": 1}] * 2}, {"num_cpus": 0}]),  # for each worker one
        ([HEAD, node({}, CPU=48, GPU=4)], None, []),
        ([HEAD, node({}, CPU=48, GPU=4)], 8, []),  # more are not promised
        ([PLAIN_HEAD, node({}, CPU=8)], None, []),  # trains on CPUs
    ],
)
def test_a_training_asks_for_the_promised_gpus_that_it_needs_and_begins_once_they_are_there(
    monkeypatch: pytest.MonkeyPatch, nodes: list[Any], num_workers: int | None, asked: list[Any]
) -> None:
    requests: list[dict[str, Any]] = []
    waited: list[float] = []

    def join(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            nodes.append(node({}, CPU=48, GPU=4))

    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(gpu_nodes, "request_resources", lambda **request: requests.append(request))
    monkeypatch.setattr(gpu_nodes.time, "sleep", join)
    await_gpus("coincidence", num_workers)
    assert requests == asked
    assert len(waited) == (3 if asked else 0)
