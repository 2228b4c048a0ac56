"""NCE with 4 096 negatives: one set shared by the batch, over a set of each example's own, gathered or picked.

Usage: python benchmarks/nce.py

Batch 64, a bank of 100 000 clips x 512, forward and backward to the queries, with masks and softplus. The values must
be equal when the sets are equal; otherwise the benchmark fails.
"""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.nce import log_sum_noise, nce_loss, noise_logits

BATCH, NUM_NEGATIVES, NUM_CLIPS, DIM, TEMPERATURE = 64, 4096, 100_000, 512, 0.07
SHARED_LIMIT, WHOLE_LIMIT = 20.0, 1.0


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    bank = F.normalize(torch.randn(NUM_CLIPS, DIM, generator=generator), dim=1)
    unit = F.normalize(torch.randn(BATCH, DIM, generator=generator), dim=1)
    queries = (unit / TEMPERATURE).requires_grad_()
    positive = torch.full((BATCH,), 1 / TEMPERATURE)
    shared = torch.randint(NUM_CLIPS, (NUM_NEGATIVES,), generator=generator)
    own = torch.randint(NUM_CLIPS, (BATCH, NUM_NEGATIVES), generator=generator)
    excluded = torch.rand(BATCH, NUM_NEGATIVES, generator=generator) < 0.001

    def step(negatives: Tensor, whole_bank: bool | None) -> tuple[Tensor, Tensor]:
        queries.grad = None
        noise = noise_logits(queries, bank, negatives, whole_bank)
        log_sum, log_count = log_sum_noise(noise, excluded)
        loss = nce_loss(positive, noise, excluded, log_sum - log_count)
        loss.mean().backward()
        assert queries.grad is not None
        return loss.detach(), queries.grad

    same = shared.expand(BATCH, -1).contiguous()
    expected = step(shared, None)
    for whole_bank in (False, True):
        for found, wanted in zip(step(same, whole_bank), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    shared_s = fastest_s(lambda: step(shared, None), 15)
    gather_s = fastest_s(lambda: step(own, False), 5)
    whole_s = fastest_s(lambda: step(own, True), 5)
    print(
        f"shared {shared_s * 1e3:.1f} ms, gathered per example {gather_s * 1e3:.0f} ms, whole bank {whole_s * 1e3:.0f}"
    )
    print(f"gathered / shared {gather_s / shared_s:.1f} (at least {SHARED_LIMIT:g}), equal values for equal sets")
    print(f"gathered / whole bank {gather_s / whole_s:.2f} (at least {WHOLE_LIMIT:g})")


def fastest_s(work: Callable[[], object], times: int) -> float:
    work()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)  # what else the machine does only ever adds


if __name__ == "__main__":
    main()
