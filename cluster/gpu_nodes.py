"""Nodes with GPUs that join on demand: asked for when a training begins, and waited for with a word."""

import time

import ray
from ray.autoscaler.sdk import request_resources

from cluster.placement import Patience, live_nodes

LABEL = "earshot-gpus"  # of the head: GPUs that may join, which Ray has no public word on


def promised_gpus() -> int:
    """GPUs that nodes which may join have by the head's label; 0 on a cluster without it."""
    return max((int(node["Labels"].get(LABEL, 0)) for node in ray.nodes() if node["Alive"]), default=0)


def await_gpus(name: str, num_workers: int | None) -> None:
    """Wait until there is a GPU for each worker, as far as the head promises them. Ray must be connected.

    Without this a training that finds no GPU would begin on CPUs, for nodes join only for what is asked for.

    Args:
        name: of the training, for the word to whoever waits.
        num_workers: workers of the training; None is as many as are promised.
    """
    wanted = promised_gpus() if num_workers is None else min(num_workers, promised_gpus())
    if _gpus() >= wanted:
        return
    patience = Patience(f"{wanted} GPUs for {name}")
    request_resources(bundles=[{"GPU": 1}] * wanted)
    try:
        while _gpus() < wanted:
            patience.wait(True)
            time.sleep(1)
    finally:
        request_resources(num_cpus=0)  # what was asked for stays; from now on the training holds it


def _gpus() -> float:
    return sum(node.get("GPU", 0) for node in live_nodes())
