"""A training loop under Ray Train: processes, gradients, progress, restarts. What is trained is not known here.

The loop keeps its own checkpoint in the workspace, in one atomic step, so Ray Train's part is to start the processes,
connect them, and start them again when one dies; the loop then goes on from that checkpoint by itself.

Design note: Ray Train's own restarts are off. It would count failures over the whole run, and would
restart deterministic errors too. Here a failure counts only if no step was reported since the failure before it.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any

# How often Ray Train asks its processes; at its own 2 s, each start and end of a training waits 5 s for nothing.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.25")

import ray
import ray.train
import torch
import torch.distributed as dist
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import Tensor, nn

from cluster.faults import MAX_TRAINING_FAILURES, PartError
from cluster.gathering import gather_rows
from cluster.mapping import check_alive
from cluster.placement import grows
from cluster.progress import ProgressActor

POLL_S = 0.5
NO_RESTARTS = FailureConfig(max_failures=0, max_preemption_failures=0)


class RayContext:
    """The loop's view of one training process."""

    def __init__(self, progress: Any) -> None:
        context = ray.train.get_context()
        self.rank, self.world_size = context.get_world_rank(), context.get_world_size()
        self.device = ray.train.torch.get_device()
        self.is_alone = self.world_size == 1
        self._progress = progress

    def share_gradients(self, model: nn.Module) -> None:
        """Replace the gradient of every parameter that learns by its mean over the workers, in one transfer."""
        if self.world_size == 1:
            return
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in learning]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world_size
        offset = 0
        for parameter in learning:
            parameter.grad = flat[offset : offset + parameter.numel()].view_as(parameter).clone()
            offset += parameter.numel()

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all workers in order of rank; gradients flow back to each, summed over the workers."""
        return rows if self.is_alone else gather_rows(rows)

    def mean(self, values: dict[str, float], weight: float = 1.0) -> dict[str, float]:
        """Each value's mean over the workers, weighted by how much each of them has seen; all wait for each other."""
        if self.world_size == 1 or not values:
            return values
        names = sorted(values)
        rows = [*(weight * values[name] for name in names), weight]
        total = torch.tensor(rows, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return dict(zip(names, (total[:-1] / total[-1]).tolist(), strict=True))

    def report(self, step: int, metrics: dict[str, float]) -> None:
        """Report a step to Ray Train, where all ranks wait for each other, and to the driver's progress bar."""
        if self.rank == 0:
            self._progress.put.remote(step, metrics)
        ray.train.report({"step": step, **metrics})


def fit(
    loop: Callable[[RayContext, dict[str, Any]], None],
    job: dict[str, Any],
    name: str,
    num_workers: int | None,
    on_report: Callable[[int, dict[str, float]], None],
    fatal: tuple[type[Exception], ...],
    transient: tuple[type[Exception], ...] = (),
) -> None:
    """Run `loop(context, job)` on every training process until all have ended.

    Args:
        loop: an importable function; `job` is of plain JSON types.
        name: of the run, for Ray's own records.
        num_workers: processes, 1 or more; None is one per GPU, or 1.
        on_report: called with the last (step, metrics) as they change.
        fatal: what the loop raises, on one process or all, where no restart would help.
        transient: those of `fatal` where one may.
    Raises:
        fatal: the loop raised it.
        ConnectionError: the cluster has no room for so many processes.
        PartError: the loop failed in another way, and again after each of MAX_TRAINING_FAILURES restarts without a
            report of a further step between them; or Ray died.
    """
    scaling = _scaling(num_workers)
    # beside the driver, which needs it: another node may be taken away
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    progress = ray.remote(ProgressActor).options(num_cpus=0, scheduling_strategy=here).remote()

    def on_worker(config: dict[str, Any]) -> None:
        try:
            loop(RayContext(progress), config)
        except fatal as error:
            if not isinstance(error, transient):
                ray.get(progress.refuse.remote(error))
            raise  # the others may be waiting for this process: Ray Train ends them too

    failures = furthest = 0
    try:
        while True:
            with tempfile.TemporaryDirectory(prefix="earshot-train-") as folder:
                run = RunConfig(name=name, storage_path=folder, failure_config=NO_RESTARTS)
                trainer = TorchTrainer(on_worker, train_loop_config=job, scaling_config=scaling, run_config=run)
                failed = _wait(trainer, progress, on_report)
            error, (step, _) = ray.get(progress.read.remote())
            if error is not None:
                raise error
            if failed is None:
                return
            failures = 1 if step > furthest else failures + 1
            furthest = max(furthest, step)
            if failures > MAX_TRAINING_FAILURES:
                causes = getattr(failed, "worker_failures", {}).values()
                raise PartError(name, next(iter(causes), failed)) from failed
            scaling = _scaling(scaling.num_workers)  # a node may be gone: Ray Train would wait for it without a word
    except ray.exceptions.RayError as error:
        raise PartError(name, error) from error
    finally:
        if ray.is_initialized():
            ray.kill(progress)


def _scaling(num_workers: int | None) -> ScalingConfig:
    """What the processes ask for, of the nodes that there are now."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    num_gpus = int(sum(node.get("GPU", 0) for node in nodes))
    count = max(1, num_gpus) if num_workers is None else num_workers
    needs: dict[str, float] = {"CPU": cpus_per_worker(nodes, count, grows())}
    if num_gpus:
        needs["GPU"] = 1
    return ScalingConfig(num_workers=count, use_gpu=num_gpus > 0, resources_per_worker=needs)


def cpus_per_worker(nodes: Sequence[dict[str, float]], count: int, is_growing: bool) -> int:
    """CPUs of each of `count` workers, as many as the nodes have room for; a worker has one GPU where there are any.

    >>> cpus_per_worker([{"CPU": 3}, {"CPU": 3}], 3, False)  # of six CPUs not two each: only two such workers fit
    1

    Args:
        nodes: resources of each node, by name.
        count: workers.
        is_growing: whether nodes join on demand; where too few are there yet, a worker asks for one CPU.
    Raises:
        ConnectionError: they do not fit, and the cluster does not grow.
    """
    needs_gpu = any(node.get("GPU", 0) >= 1 for node in nodes)

    def room(cpus: int) -> int:
        by_gpu = [int(node.get("GPU", 0)) if needs_gpu else count for node in nodes]
        return sum(min(int(node.get("CPU", 0)) // cpus, most) for node, most in zip(nodes, by_gpu, strict=True))

    for cpus in range(int(max(node.get("CPU", 0) for node in nodes)), 0, -1):
        if room(cpus) >= count:
            return cpus
    if is_growing:
        return 1
    found = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
    each = "a CPU and a GPU" if needs_gpu else "a CPU"
    raise ConnectionError(
        f"--workers {count}: each needs {each}, and there is room for {room(1)}. Found: {found}. Lower --workers to "
        "that, or add nodes."
    )


def _wait(
    trainer: TorchTrainer, progress: Any, on_report: Callable[[int, dict[str, float]], None]
) -> ray.train.TrainingFailedError | None:
    """Start the processes, pass their reports on until they have ended, and return how they failed, if they did.

    They are waited for on a thread, so that this one hears an interrupt, and that Ray has died.
    """
    outcome: list[BaseException | None] = []

    def wait() -> None:
        try:
            trainer.fit()
            outcome.append(None)
        except BaseException as error:  # noqa: BLE001  raised again below, on the main thread
            outcome.append(error)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    seen: tuple[int, dict[str, float]] = (0, {})
    try:
        while waiting.is_alive():
            waiting.join(POLL_S)
            check_alive()
            _, last = ray.get(progress.read.remote())
            if last != seen:
                seen = last
                on_report(*last)
    except KeyboardInterrupt:
        ray.shutdown()  # else the processes would go on, and write checkpoints
        raise
    (error,) = outcome
    if error is None or isinstance(error, ray.train.TrainingFailedError):
        return error
    raise error
