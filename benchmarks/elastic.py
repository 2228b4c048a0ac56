"""A training and a stage of parts through a node that is drained and taken away, and a node that comes in its place.

Usage: python -m benchmarks.elastic [--steps 1200] [--step-s 0.2]

Nodes of one CPU are processes of this machine, behind a head without any. One of two nodes gets a notice as
`ray drain-node` gives it, 60 s ahead, and is killed once nothing of ours is on it, or when they are over. Parts of
a second each go on elsewhere. The training, the real loop on a model of one line, saves a checkpoint and goes on with
one worker; then a node comes, and it goes on with two. Printed are the seconds from the notice to the checkpoint and to
the next step, those from the new node to the first step of two workers, how many steps were done twice, and how far the
weights are from those of one process that nothing disturbed.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2
from torch import Tensor

from cluster.connect import connect
from cluster.mapping import map_parts
from cluster.resources import WorkerResources
from cluster.training import fit
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.loop import train
from pipeline.training.protocols import Context, LocalContext
from tests.helpers.line_learner import CONFIG, FOLDER, LineLearner

NUM_VIDEOS, DEADLINE_S, NUM_PARTS = 32, 60.0, 40
ONE_CPU = WorkerResources(num_cpus=1, memory_bytes=2**26)
Job = dict[str, Any]


class SlowLine(LineLearner):
    """A line through points that a clip's number decides; each step takes as long as is asked for."""

    def __init__(self, steps: int, step_s: float) -> None:
        training = dataclasses.replace(
            CONFIG, num_steps=steps, batch_size=8, validate_every=steps, checkpoint_every=None, learning_rate=0.003
        )
        super().__init__(training, dropout=0.0)
        self._step_s = step_s

    def batch(
        self, clips: ClipSet, rng: np.random.Generator, count: int, rows: slice, augment: bool
    ) -> dict[str, Tensor]:
        drawn = [np.random.default_rng(int(number)) for number in clips.draw(rng, count)[rows]]
        x = torch.tensor(np.stack([of.normal(size=8) for of in drawn]), dtype=torch.float32)
        return {"x": x, "y": x.cumsum(1)[:, 3:4] + 1}

    def loss(self, model: torch.nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        time.sleep(self._step_s if model.training else 0)
        return super().loss(model, batch)


def learn(context: Context, job: Job) -> None:
    """Train in the job's root; each step of rank 0 is a line of steps.jsonl."""
    workspace, learner = Workspace(job["root"]), SlowLine(job["steps"], job["step_s"])
    share = context.share_gradients

    def noted(model: torch.nn.Module) -> None:
        share(model)
        if context.rank == 0:
            line = json.dumps({"at_s": time.time(), "workers": context.world_size})
            with Path(job["root"], "steps.jsonl").open("a") as file:
                file.write(line + "\n")

    context.share_gradients = noted  # type: ignore[method-assign]
    train(learner, clips(workspace, "train"), clips(workspace, "held"), workspace, FOLDER, 0, context)


def clips(workspace: Workspace, name: str) -> ClipSet:
    rows = [{"clip_id": f"{name}{n}", "video_id": f"{name}{n}", "part": "", "tar_offset": 0, "tar_bytes": 0}
            for n in range(NUM_VIDEOS)]  # fmt: skip
    return ClipSet(workspace, "clips", pa.Table.from_pylist(rows))


def drain(cluster: Cluster, node: Any) -> None:
    """What `ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION` does."""
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = int((time.time() + DEADLINE_S) * 1000)
    is_accepted, why = GcsClient(address=cluster.address).drain_node(node.node_id, reason, "spot", deadline_ms)
    if not is_accepted:
        raise RuntimeError(f"the notice is refused: {why}")


def when(is_so: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    """A thread that waits until something is so, and then does something."""

    def run() -> None:
        while not is_so():
            time.sleep(0.1)
        then()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def wait(training: threading.Thread, is_so: Callable[[], bool]) -> None:
    """Wait until something is so.

    Raises:
        RuntimeError: the training has ended before.
    """
    while not is_so():
        if not training.is_alive():
            raise RuntimeError("the training has ended before: give it more --steps")
        time.sleep(0.1)


def through_parts(cluster: Cluster, node: Any, folder: Path) -> None:
    """Parts while a node is drained, and killed once nothing more begins there."""

    def work(part: str) -> str:
        time.sleep(1)
        return ray.get_runtime_context().get_node_id()

    done: list[tuple[float, str]] = []
    noticed: list[float] = []

    def give_notice() -> None:
        drain(cluster, node)
        noticed.append(time.monotonic())
        time.sleep(DEADLINE_S / 3)
        cluster.remove_node(node, allow_graceful=False)

    thread = when(lambda: len(done) >= NUM_PARTS // 4, give_notice)
    for _, where in map_parts(work, [f"{n:05d}" for n in range(NUM_PARTS)], ONE_CPU):
        done.append((time.monotonic(), where))
    thread.join()
    last_s = max((at_s for at_s, where in done if where == node.node_id), default=0.0)
    print(
        f"parts: {len(done)} of {NUM_PARTS} done, none twice; the drained node's last one ended "
        f"{last_s - noticed[0]:.1f} s after the notice",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--step-s", type=float, default=0.2)
    options = parser.parse_args()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    connect(cluster.address)
    with tempfile.TemporaryDirectory() as name:
        try:
            through_parts(cluster, nodes.pop(), Path(name))
            nodes.append(cluster.add_node(num_cpus=1))
            return through_training(cluster, nodes, Path(name), options.steps, options.step_s)
        finally:
            ray.shutdown()
            cluster.shutdown()


def through_training(cluster: Cluster, nodes: list[Any], folder: Path, steps: int, step_s: float) -> int:
    """A training while a node is drained and killed, and while another comes; 1 if a weight or a step is lost."""
    disturbed, whole = Workspace(str(folder / "disturbed")), Workspace(str(folder / "whole"))
    for workspace in (disturbed, whole):
        workspace.begin(FOLDER, dataclasses.asdict(SlowLine(steps, 0).training), {})
    learn(LocalContext(), {"root": whole.root, "steps": steps, "step_s": 0})
    log, checkpoint = folder / "disturbed" / "steps.jsonl", folder / "disturbed" / FOLDER / "checkpoint.pt"
    times: dict[str, float] = {}

    def taken() -> list[dict[str, float]]:
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    job = {"root": disturbed.root, "steps": steps, "step_s": step_s}
    training = threading.Thread(
        target=lambda: fit(learn, job, "line", 2, lambda step, figures: None, fatal=(ValueError,), min_workers=1)
    )  # nodes can be started by the main thread alone
    training.start()
    wait(training, lambda: len(taken()) >= 50)
    times["notice"] = time.time()
    drain(cluster, nodes[0])
    wait(training, checkpoint.exists)
    times["saved"] = checkpoint.stat().st_mtime
    wait(training, lambda: taken()[-1]["workers"] == 1 or time.time() > times["notice"] + DEADLINE_S)
    cluster.remove_node(nodes[0], allow_graceful=False)
    times["gone"] = time.time()
    wait(training, lambda: taken()[-1]["workers"] == 1)
    cluster.add_node(num_cpus=1)
    times["came"] = time.time()
    training.join()
    seen = taken()
    alone = next((line["at_s"] for line in seen if line["workers"] == 1), float("nan"))
    grown = next((line["at_s"] for line in seen if line["workers"] == 2 and line["at_s"] > alone), float("nan"))
    weights = [
        torch.load(Path(workspace.root, FOLDER, "model.pt"), weights_only=True)["model"]["1.weight"]
        for workspace in (whole, disturbed)
    ]
    apart = float((weights[0] - weights[1]).norm() / weights[0].norm())
    print(
        f"training: checkpoint {times['saved'] - times['notice']:.1f} s after the notice, next step with one worker "
        f"after {alone - times['notice']:.1f} s (node killed after {times['gone'] - times['notice']:.1f} s); "
        f"two workers again {grown - times['came']:.1f} s after a node came; {len(seen) - steps} steps done twice; "
        f"weights {apart:.1e} of their length from those of an undisturbed process",
        flush=True,
    )
    return int(not (len(seen) >= steps and apart < 1e-3 and grown > alone))


if __name__ == "__main__":
    sys.exit(main())
