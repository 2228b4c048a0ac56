"""The training loop's view of one of Ray Train's processes: what it shares with the others, reports, and hears of."""

import time
from typing import Any

import ray
import ray.train
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cluster.gathering import gather_rows

# torch's backends: gradients go the fast way, while what the host must know does not wait for the GPU.
GPU_BACKENDS = "cpu:gloo,cuda:nccl"
# Between questions whether to leave. Ray itself looks for notices every 5 s; a question takes a few ms.
ASK_EVERY_S = 2.0


class RayContext:
    """The loop's view of one training process.

    Args:
        progress: the `ProgressActor`.
        is_elastic: the driver may ask to leave, so that more workers come.
    """

    def __init__(self, progress: Any, is_elastic: bool = False) -> None:
        context = ray.train.get_context()
        self.rank, self.world_size = context.get_world_rank(), context.get_world_size()
        self.device = ray.train.torch.get_device()
        self.is_alone = self.world_size == 1
        self.leaving: list[str] | None = None
        """Once `must_leave` is true, the nodes that are to be taken away, by their ids."""
        self._progress, self._is_elastic = progress, is_elastic
        self._asked_s = time.monotonic()
        self._question: Any = None
        if self.rank == 0:
            progress.put.remote(0, {})  # they have their places

    def share_gradients(self, model: nn.Module) -> None:
        """Replace the gradient of every parameter that learns by its mean over the workers, in one transfer."""
        if self.world_size == 1:
            return
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in learning]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world_size
        for parameter, gradient in zip(learning, flat.split([p.numel() for p in learning]), strict=True):
            parameter.grad = gradient.view_as(parameter)  # no copy: the next step begins without gradients

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all workers in order of rank; gradients flow back to each, summed over the workers."""
        return rows if self.is_alone else gather_rows(rows)

    def mean(self, values: dict[str, float], weight: float = 1.0) -> dict[str, float]:
        """Each value's mean over the workers, weighted by how much each of them has seen; all wait for each other."""
        if self.world_size == 1 or not values:
            return values
        names = sorted(values)
        total = torch.tensor([*(weight * values[name] for name in names), weight], dtype=torch.float64)
        dist.all_reduce(total)
        return dict(zip(names, (total[:-1] / total[-1]).tolist(), strict=True))

    def report(self, step: int, metrics: dict[str, float]) -> None:
        """Report a step to Ray Train, where all ranks wait for each other, and to the driver's progress bar."""
        if self.rank == 0:
            self._progress.put.remote(step, metrics)
        ray.train.report({"step": step, **metrics})

    def must_leave(self) -> bool:
        """Whether a node is to be taken away, or the driver makes room for more workers. The same on every worker."""
        if not self._any(time.monotonic() - self._asked_s > ASK_EVERY_S):
            return False
        self._asked_s = time.monotonic()
        notice = ray.train.get_preemption_info()  # what rank 0 knows; all workers must ask equally often
        if notice is not None:
            self.leaving = notice.preempted_node_ids
        elif self._is_elastic and self._any(self.rank == 0 and self._driver_asks()):
            self.leaving = []
        return self.leaving is not None

    def _driver_asks(self) -> bool:
        """What the actor has answered to the question before; asks again. Training does not wait for an answer."""
        found = False
        try:
            if self._question is not None and ray.wait([self._question], timeout=0)[0]:
                found, self._question = ray.get(self._question), None
        except ray.exceptions.RayActorError:  # it is started again
            self._question = None
        if self._question is None:
            self._question = self._progress.is_asked_to_leave.remote()
        return found

    def _any(self, is_so: bool) -> bool:
        """Whether it is so on some worker; each call is one exchange between the CPUs, 0.2 ms on one machine."""
        if self.world_size == 1:
            return is_so
        found = torch.tensor(int(is_so))
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found)
