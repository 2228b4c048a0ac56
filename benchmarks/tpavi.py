"""TPAVI in linear time over the form that builds its map of N x N places: memory and time of forward and backward.

Usage: python -m benchmarks.tpavi [--runs 3]

The finest stage of AVS: one clip of 5 maps of 56 x 56 places with 256 channels, 128 inside, and 5 x 128 numbers of
sound; N = 15 680. Each form runs in a process of its own, one thread, from the same weights, after one run at a small
size. Time: the median of the runs. Memory: the most that the process held beyond weights and inputs. Output and
gradients must agree to 1e-4 of their largest value, in float64 at 14 x 14 places to 1e-10, else the benchmark fails.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.models.tpavi import TPAVI
from tests.helpers.square_tpavi import square_tpavi

FRAMES, SIDE, SMALL_SIDE = 5, 56, 14
CHANNELS, INTER_CHANNELS, AUDIO_DIM = 256, 128, 128
MIN_MEMORY_RATIO, MIN_TIME_RATIO = 20, 10
TOLERANCE, EXACT_TOLERANCE = 1e-4, 1e-10


class Case(NamedTuple):
    """A block and what it is given, at a size."""

    block: TPAVI
    visual: Tensor
    audio: Tensor
    gradient: Tensor
    """Of a loss, at the output."""


def make_case(side: int, dtype: torch.dtype) -> Case:
    """The same numbers each time. Channels have means of their own, as those of trained maps do."""
    torch.manual_seed(0)
    block = TPAVI(CHANNELS, INTER_CHANNELS, AUDIO_DIM).to(dtype)
    torch.nn.init.ones_(block.batch_norm.weight)
    visual = torch.randn(1, FRAMES, side, side, CHANNELS, dtype=dtype) + torch.randn(CHANNELS, dtype=dtype)
    visual = visual.permute(0, 1, 4, 2, 3).requires_grad_()
    gradient = torch.randn(1, FRAMES, side, side, CHANNELS, dtype=dtype).permute(0, 1, 4, 2, 3)
    return Case(block, visual, torch.rand(1, FRAMES, AUDIO_DIM, dtype=dtype), gradient)


def run(form: str, case: Case) -> dict[str, Tensor]:
    """Output and gradients of one form, without those that are 0: of biases that the batch norm of one clip removes."""
    block, visual, audio, gradient = case
    mixed, _ = block(visual, audio) if form == "linear" else square_tpavi(block, visual, audio)
    of = {"map": visual} | {name: x for name, x in block.named_parameters() if name not in ("theta.bias", "mu.bias")}
    gradients = torch.autograd.grad(mixed, list(of.values()), gradient)
    return {"output": mixed.detach()} | dict(zip(of, gradients, strict=True))


def held_bytes(name: str) -> int:
    """VmRSS (now) or VmHWM (at most, since it was last cleared) of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def measure(form: str, num_runs: int, answers: "multiprocessing.SimpleQueue[tuple[float, int]]", path: str) -> None:
    """Put the median time and the peak memory of one form into the queue, and its values into a file."""
    torch.set_num_threads(1)
    run(form, make_case(SMALL_SIDE, torch.float32))
    case = make_case(SIDE, torch.float32)
    Path("/proc/self/clear_refs").write_text("5")
    before, seconds = held_bytes("VmRSS"), list[float]()
    for _ in range(num_runs):
        began = time.perf_counter()
        values = run(form, case)
        seconds.append(time.perf_counter() - began)
    peak = held_bytes("VmHWM") - before
    torch.save(values, path)
    answers.put((statistics.median(seconds), peak))


def check_equal(linear: dict[str, Tensor], square: dict[str, Tensor], tolerance: float, what: str) -> None:
    """Raises an AssertionError if a tensor differs by more than a share of its largest value."""
    shares = {name: ((linear[name] - b).abs().max() / b.abs().max()).item() for name, b in square.items()}
    worst = max(shares, key=lambda name: shares[name])
    print(f"{what}: output and gradients differ by at most {shares[worst]:.1e} of their largest value ({worst})")
    assert shares[worst] <= tolerance, f"{what}: {shares}, expected at most {tolerance:g}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    num_runs = parser.parse_args().runs
    torch.set_num_threads(1)
    linear, square = (run(form, make_case(SMALL_SIDE, torch.float64)) for form in ("linear", "square"))
    check_equal(linear, square, EXACT_TOLERANCE, "float64")
    # of the processes started here: each tensor in pages of its own, so that what is freed counts as free
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(2**20)
    context = multiprocessing.get_context("spawn")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in ("linear", "square"):
            answers = context.SimpleQueue()
            process = context.Process(target=measure, args=(form, num_runs, answers, f"{folder}/{form}.pt"))
            process.start()
            found[form] = answers.get()
            process.join()
            print(f"{form}: {found[form][0]:.2f} s, {found[form][1] / 2**20:.0f} MiB")
        linear, square = (torch.load(f"{folder}/{form}.pt", weights_only=True) for form in found)
    check_equal(linear, square, TOLERANCE, "float32")
    time_ratio, memory_ratio = (found["square"][place] / found["linear"][place] for place in (0, 1))
    print(f"N x N / linear: time {time_ratio:.0f} (at least {MIN_TIME_RATIO})")
    print(f"N x N / linear: memory {memory_ratio:.0f} (at least {MIN_MEMORY_RATIO})")
    assert time_ratio >= MIN_TIME_RATIO
    assert memory_ratio >= MIN_MEMORY_RATIO


if __name__ == "__main__":
    main()
