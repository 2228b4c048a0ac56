"""A training loop under Ray Train: processes, gradients, progress, restarts. What is trained is not known here.

The loop keeps its own checkpoint in the workspace, in one atomic step, so Ray Train's part is to start the processes,
connect them, and start them again when one dies; the loop then goes on from that checkpoint by itself.
"""

import tempfile
import threading
from collections.abc import Callable
from typing import Any

import ray
import ray.train
import torch
import torch.distributed as dist
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from torch import Tensor, nn

from cluster.faults import MAX_TRAINING_FAILURES, PartError
from cluster.gathering import gather_rows

POLL_S = 0.5


class RayContext:
    """The loop's view of one training process."""

    def __init__(self, board: Any) -> None:
        context = ray.train.get_context()
        self.rank, self.world_size = context.get_world_rank(), context.get_world_size()
        self.device = ray.train.torch.get_device()
        self._board = board

    def share_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by its mean over the workers, in one transfer."""
        if self.world_size == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world_size
        offset = 0
        for parameter in model.parameters():
            parameter.grad = flat[offset : offset + parameter.numel()].view_as(parameter).clone()
            offset += parameter.numel()

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all workers in order of rank; gradients flow back to each, summed over the workers."""
        return rows if self.world_size == 1 else gather_rows(rows)

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
        """Tell Ray Train (all ranks meet here) and the driver's progress bar."""
        if self.rank == 0:
            self._board.put.remote(step, metrics)
        ray.train.report({"step": step, **metrics})


class _Board:
    """Where rank 0 leaves its last report, and any rank what no restart can mend, for the driver to read."""

    def __init__(self) -> None:
        self._last: tuple[int, dict[str, float]] = (0, {})
        self._error: Exception | None = None

    def refuse(self, error: Exception) -> None:
        self._error = error

    def error(self) -> Exception | None:
        return self._error

    def put(self, step: int, metrics: dict[str, float]) -> None:
        self._last = (step, metrics)

    def last(self) -> tuple[int, dict[str, float]]:
        return self._last


def fit(
    loop: Callable[[RayContext, dict[str, Any]], None],
    job: dict[str, Any],
    name: str,
    num_workers: int | None,
    on_report: Callable[[int, dict[str, float]], None],
    final: type[Exception],
) -> None:
    """Run `loop(context, job)` on every training process until all have ended.

    Args:
        loop: an importable function.
        job: plain JSON types.
        name: of the run, for Ray's own records.
        num_workers: processes; None is one per GPU, or 1; 0 runs in this process.
        on_report: called with the last (step, metrics) as they change.
        final: what the loop raises, on every process alike, where no restart would help.
    Raises:
        final: the loop raised it.
        PartError: the loop failed in another way, and again after each of MAX_TRAINING_FAILURES restarts.
    """
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    count = max(1, gpus) if num_workers is None else num_workers
    board = ray.remote(_Board).options(num_cpus=0).remote()

    def on_worker(config: dict[str, Any]) -> None:
        try:
            loop(RayContext(board), config)
        except final as error:
            ray.get(board.refuse.remote(error))

    cpus = int(min(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"]))
    scaling = ScalingConfig(
        num_workers=count,
        use_gpu=gpus > 0,
        resources_per_worker=None
        if gpus
        else {"CPU": max(1, min(cpus, int(resources.get("CPU", 1)) // max(1, count)))},
    )
    with tempfile.TemporaryDirectory(prefix="earshot-train-") as folder:
        failures = FailureConfig(max_failures=MAX_TRAINING_FAILURES)
        run = RunConfig(name=name, storage_path=folder, failure_config=failures)
        trainer = TorchTrainer(on_worker, train_loop_config=job, scaling_config=scaling, run_config=run)
        finished = threading.Event()
        watcher = threading.Thread(target=_watch, args=(board, on_report, finished), daemon=True)
        watcher.start()
        try:
            trainer.fit()
            error = ray.get(board.error.remote())
        except ray.train.WorkerGroupError as failed:
            raise PartError(name, next(iter(failed.worker_failures.values()), failed)) from failed
        finally:
            finished.set()
            watcher.join()
            ray.kill(board)
    if error is not None:
        raise error


def _watch(board: Any, on_report: Callable[[int, dict[str, float]], None], finished: threading.Event) -> None:
    seen = 0
    while not finished.wait(POLL_S):
        step, metrics = ray.get(board.last.remote())
        if step != seen:
            seen = step
            on_report(step, metrics)
