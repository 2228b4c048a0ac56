"""Two workers as threads of one process: what a learner computes on half of a batch each."""

import threading

import torch
from torch import Tensor, nn


class Workers:
    """Contexts of two threads that average their gradients, in place of processes."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2)
        self._values: dict[int, object] = {}

    def exchange(self, rank: int, value: object) -> list:
        self._values[rank] = value
        self._barrier.wait(20)
        both = [self._values[0], self._values[1]]
        self._barrier.wait(20)
        return both


class WorkerContext:
    world_size, device, is_alone = 2, torch.device("cpu"), False

    def __init__(self, rank: int, workers: Workers, num_steps: int | None = None) -> None:
        self.rank, self._workers, self._steps_left = rank, workers, num_steps

    def share_gradients(self, model: nn.Module) -> None:
        gradients = self._workers.exchange(self.rank, [p.grad.clone() for p in model.parameters()])
        for parameter, *both in zip(model.parameters(), *gradients, strict=True):
            parameter.grad = (both[0] + both[1]) / 2

    def gather(self, rows: Tensor) -> Tensor:
        return rows if self.is_alone else torch.cat(self._workers.exchange(self.rank, rows.detach()))

    def mean(self, values: dict[str, float], weight: float = 1.0) -> dict[str, float]:
        (one, a), (two, b) = self._workers.exchange(self.rank, (values, weight))
        return {name: (a * one[name] + b * two[name]) / (a + b) for name in values}

    def report(self, step: int, metrics: dict[str, float]) -> None:
        """Nobody watches."""

    def must_leave(self) -> bool:
        """After `num_steps` steps, on both."""
        self._steps_left = None if self._steps_left is None else self._steps_left - 1
        return self._steps_left == 0
