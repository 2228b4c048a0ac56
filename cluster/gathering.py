"""Rows of all training processes as one tensor that gradients flow back through. torch.distributed alone, no Ray."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_rows(rows: Tensor) -> Tensor:
    """[sum of B, ...] the rows [B, ...] of every process in order of rank; each may have another B.

    The gradient of a row is the sum over the processes of what their losses have for it. So when every process computes
    the same mean over all rows, and gradients of the weights are then averaged over the processes, the result is the
    gradient of one process with the whole batch, as long as rows reach the loss without seeing each other.

    In training, batch norm shows every row the others of its process. Give each process dozens: gradients of two plain
    towers on two processes differed from those of one by 1.0 of their length with 2 rows each, 0.5 with 8, 0.2 with 32
    and 0.13 with 64 (2026-11). torch's SyncBatchNorm, which would see all rows, exists on GPUs only.

    The process group needs a backend for the CPU beside that of the rows' device: the numbers of rows are exchanged
    there, so that no process waits until its GPU has computed what was asked of it so far.
    """
    return _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        counts = torch.zeros(dist.get_world_size(), dtype=torch.int64)
        dist.all_gather(list(counts.split(1)), torch.tensor([len(rows)]))
        sizes: list[int] = counts.tolist()
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])  # processes exchange equal shapes only
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        start = sum(sizes[: dist.get_rank()])
        context.span = slice(start, start + len(rows))
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total[context.span]
