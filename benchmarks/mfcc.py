"""`audio.mfcc` of 16 clips of 2 s over python_speech_features, one clip after the other.

Usage: python -m benchmarks.mfcc [--runs 30]

Ours on as many cores as torch takes, two or more (OMP_NUM_THREADS); python_speech_features uses one. Time: the fastest
of the runs, which alternate. Values must agree to 1e-4, else the benchmark fails.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import python_speech_features
import torch

from pipeline.audio import mfcc

NUM_CLIPS, NUM_FRAMES = 16, 50
MIN_RATIO, TOLERANCE = 4, 1e-4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=30)
    num_runs = parser.parse_args().runs
    sounds = np.random.default_rng(0).normal(0, 0.1, (NUM_CLIPS, 640 * NUM_FRAMES + 240)).astype(np.float32)
    waveforms = torch.from_numpy(sounds)

    def reference() -> np.ndarray:
        return np.stack([python_speech_features.mfcc(sound, 16_000) for sound in sounds])

    difference = np.abs(
        mfcc(waveforms).numpy() - np.stack([python_speech_features.mfcc(x, 16_000) for x in sounds.astype(float)])
    )
    print(f"largest difference {difference.max():.1e} (at most {TOLERANCE:g})")
    times = {"reference": [seconds(reference)], "ours": [seconds(lambda: mfcc(waveforms))]}
    for _ in range(num_runs):
        times["reference"].append(seconds(reference))
        times["ours"].append(seconds(lambda: mfcc(waveforms)))
    best = {name: min(values) for name, values in times.items()}
    ratio = best["reference"] / best["ours"]
    print(
        f"{torch.get_num_threads()} threads: {1e3 * best['ours']:.1f} ms, python_speech_features "
        f"{1e3 * best['reference']:.1f} ms: {ratio:.1f} times (at least {MIN_RATIO})"
    )
    assert difference.max() <= TOLERANCE
    assert ratio >= MIN_RATIO


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
