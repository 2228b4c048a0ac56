"""Near-duplicates among many embeddings: seconds and growth, pairs found of those planted, false pairs.

Run: python benchmarks/duplicates.py [largest, 1000000]. Vectors of 256 dimensions lie in a cone and in 1 000 clusters,
as those of trained models do; one in a hundred is another one with noise, at a cosine of 0.97 on average. The exact
figure beside it is the product of all pairs on 10 000 of them, scaled by the square.
"""

import itertools
import resource
import sys
import time

import numpy as np

from pipeline.neighbours import near_pairs

SIZE, MIN_COSINE = 256, 0.95


def main() -> None:
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 10**6
    seconds = {}
    for count in (largest // 100, largest // 10, largest):
        vectors, planted = corpus(count)
        began = time.perf_counter()
        pairs = near_pairs(vectors, MIN_COSINE)
        seconds[count] = time.perf_counter() - began
        found = {(int(a), int(b)) for a, b in pairs}
        near = {pair for pair in planted if cosine(vectors, pair) >= MIN_COSINE}
        recall = len(near & found) / len(near)
        print(
            f"{count} vectors: {seconds[count]:.1f} s, {len(near & found)} of {len(near)} planted pairs "
            f"({recall:.1%}), {len(found - planted)} others that near",
            flush=True,
        )
    for small, large in itertools.pairwise(sorted(seconds)):
        exponent = np.log(seconds[large] / seconds[small]) / np.log(large / small)
        print(f"growth from {small} to {large}: exponent {exponent:.2f} (limit 1.5; all pairs: 2)")
    exact = all_pairs_s() * (largest / 10_000) ** 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"all pairs would take {exact:.0f} s: ratio {seconds[largest] / exact:.4f}; peak {peak:.1f} GiB")


def corpus(count: int) -> tuple[np.ndarray, set[tuple[int, int]]]:
    """[count, SIZE] float16 unit vectors, and the pairs of which one is the other with noise."""
    rng = np.random.default_rng(count)
    axis, centres = rng.standard_normal(SIZE), rng.standard_normal((1000, SIZE))
    vectors = np.empty((count, SIZE), np.float16)
    num_copies = count // 100
    for start in range(0, count, 10_000):
        rows = min(10_000, count - start)
        noise = rng.standard_normal((rows, SIZE), dtype=np.float32)
        vectors[start : start + rows] = unit(axis + 0.7 * centres[rng.integers(1000, size=rows)] + noise)
    originals = rng.choice(count - num_copies, num_copies, replace=False)
    copies = np.arange(count - num_copies, count)
    noise = rng.standard_normal((num_copies, SIZE)) / np.sqrt(SIZE)
    vectors[copies] = unit(vectors[originals] + rng.uniform(0.1, 0.35, (num_copies, 1)) * noise)
    return vectors, {(int(a), int(b)) for a, b in zip(originals, copies, strict=True)}


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cosine(vectors: np.ndarray, pair: tuple[int, int]) -> float:
    first, second = vectors[list(pair)].astype(np.float32)
    return float(first @ second)


def all_pairs_s() -> float:
    """Seconds for the cosines of all pairs of 10 000 vectors, compared with the least."""
    vectors = corpus(10_000)[0].astype(np.float32)
    began = time.perf_counter()
    np.count_nonzero(vectors @ vectors.T >= MIN_COSINE)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
