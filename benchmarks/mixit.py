"""MixIT's loss, forward and backward, over enumeration on waveforms; the memory it takes; local search of 16 and 32.

Usage: python -m benchmarks.mixit

8 examples of 5 s at 16 kHz and 8 sources. Values, assignments and gradients must be equal, else the benchmark fails.
Memory is the highest sum of what torch allocates at once, without the estimates themselves. The enumeration forms every
remix and differentiates through all of them, as public implementations do; it takes 6 GB.
"""

import itertools
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from pipeline.losses.assignment_search import MAX_ASSIGNMENTS
from pipeline.losses.mixit import assigned_loss, best_assignment

BATCH, NUM_SOURCES, NUM_SAMPLES = 8, 8, 80_000
SPEED_LIMIT, MEMORY_LIMIT = 300.0, 3.0


def main() -> None:
    torch.set_num_threads(1)
    references, estimates = example(NUM_SOURCES)
    ours, found = step(mixit, references, estimates)
    theirs, expected = step(enumeration, references, estimates)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6 * float(expected.abs().max()))
    ours_s = fastest_s(lambda: step(mixit, references, estimates), 30)
    theirs_s = fastest_s(lambda: step(enumeration, references, estimates), 2)
    products_s = fastest_s(lambda: step(enumeration_by_products, references, estimates), 2)
    print(f"forward and backward {ours_s * 1e3:.0f} ms, enumeration {theirs_s:.1f} s, by products {products_s:.1f} s")
    print(f"enumeration / ours {theirs_s / ours_s:.0f} (at least {SPEED_LIMIT:g}), equal values and gradients")
    print(f"enumeration by matrix products / ours {products_s / ours_s:.0f}")
    memory = peak_bytes(lambda: step(mixit, references, estimates)) / estimates.nbytes
    print(f"memory over the estimates' {memory:.2f} (at most {MEMORY_LIMIT:g})")
    for num_sources, limit in ((16, MAX_ASSIGNMENTS), (16, 0), (32, MAX_ASSIGNMENTS)):
        references, estimates = example(num_sources)
        search_s = fastest_s(lambda: best_assignment(references, estimates, enumerate_up_to=limit), 3)  # noqa: B023
        loss = assigned_loss(references, estimates, best_assignment(references, estimates, enumerate_up_to=limit))
        how = "enumerated" if 2**num_sources <= limit else "local search"
        print(f"{num_sources} sources, {how}: {search_s * 1e3:.0f} ms to assign, loss {loss.mean():.4f} dB")


def example(num_sources: int) -> tuple[Tensor, Tensor]:
    """References [B, 2, T], and estimates [B, S, T] of sources at 0 to -40 dB with an error of -20 dB each."""
    generator = torch.Generator().manual_seed(0)
    levels = 10 ** (-2 * torch.rand(BATCH, num_sources, 1, generator=generator))
    sources = levels * torch.randn(BATCH, num_sources, NUM_SAMPLES, generator=generator)
    references = torch.stack([sources[:, ::2].sum(dim=1), sources[:, 1::2].sum(dim=1)], dim=1)
    errors = 0.1 * levels * torch.randn(BATCH, num_sources, NUM_SAMPLES, generator=generator)
    return references, sources + errors


def mixit(references: Tensor, estimates: Tensor) -> Tensor:
    return assigned_loss(references, estimates, best_assignment(references, estimates))


def enumeration(references: Tensor, estimates: Tensor) -> Tensor:
    """[B] the lowest loss of all assignments, each formed on the waveforms as asteroid's MixITLossWrapper does."""
    losses = []
    for second in itertools.chain.from_iterable(itertools.combinations(range(NUM_SOURCES), n) for n in range(9)):
        first = [source for source in range(NUM_SOURCES) if source not in second]
        remixed = torch.stack([estimates[:, first].sum(dim=1), estimates[:, list(second)].sum(dim=1)], dim=1)
        losses.append(loss_db(references, remixed))
    return torch.stack(losses, dim=1).amin(dim=1)


def enumeration_by_products(references: Tensor, estimates: Tensor) -> Tensor:
    """The same with a matrix product for each assignment."""
    losses = []
    for owner in itertools.product((0, 1), repeat=NUM_SOURCES):
        rows = torch.tensor([[1.0 - mixture for mixture in owner], [float(mixture) for mixture in owner]])
        losses.append(loss_db(references, rows @ estimates))
    return torch.stack(losses, dim=1).amin(dim=1)


def loss_db(references: Tensor, remixed: Tensor) -> Tensor:
    """[B] thresholded loss, summed over the mixtures [B, 2, T]."""
    energy = references.square().sum(dim=-1)
    noise = (references - remixed).square().sum(dim=-1) + 1e-3 * energy
    return (10 * torch.log10(noise) - 10 * torch.log10(energy)).sum(dim=-1)


def step(loss: Callable[[Tensor, Tensor], Tensor], references: Tensor, estimates: Tensor) -> tuple[Tensor, Tensor]:
    """Loss [B] and the gradient [B, S, T] of its mean."""
    estimates = estimates.detach().requires_grad_()
    values = loss(references, estimates)
    (gradient,) = torch.autograd.grad(values.mean(), estimates)
    return values.detach(), gradient


def peak_bytes(work: Callable[[], object]) -> int:
    """The highest sum of what torch holds at once of what it allocates during `work`."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    held, peak = 0, 0
    events = (event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]")
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def fastest_s(work: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)  # what else the machine does only ever adds


if __name__ == "__main__":
    main()
