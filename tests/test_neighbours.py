"""Near pairs: those that are truly near, nearly all of them, and the same ones each time."""

import numpy as np
import pytest

from pipeline.neighbours import cosines, near_pairs


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def corpus(count: int, size: int = 64, cone: float = 1.0) -> np.ndarray:
    """Vectors around one axis, in 20 clusters, the last tenth of them copies of the first with noise."""
    rng = np.random.default_rng(1)
    rows = cone * rng.standard_normal(size) + rng.standard_normal((20, size))[rng.integers(20, size=count)]
    rows = unit(rows + rng.standard_normal((count, size)))
    copies = count // 10
    noise = rng.uniform(0.05, 0.3, (copies, 1)) * rng.standard_normal((copies, size)) / np.sqrt(size)
    rows[-copies:] = unit(rows[:copies] + noise)
    return rows


def all_pairs(vectors: np.ndarray, min_cosine: float) -> set[tuple[int, int]]:
    near = np.triu(vectors.astype(np.float32) @ vectors.astype(np.float32).T >= min_cosine, 1)
    return {(int(a), int(b)) for a, b in zip(*np.nonzero(near), strict=True)}


@pytest.mark.parametrize("cone", [0.0, 1.0, 3.0])
def test_nearly_all_near_pairs_are_found_and_no_others(cone: float) -> None:
    vectors = corpus(4000, cone=cone)
    expected = all_pairs(vectors, 0.96)
    found = {(int(a), int(b)) for a, b in near_pairs(vectors, 0.96)}
    assert len(expected) >= 300
    assert len(found & expected) >= 0.95 * len(expected)
    pairs = np.array(sorted(found))
    assert (cosines(vectors, pairs) >= 0.96).all()
    assert (pairs[:, 0] < pairs[:, 1]).all()


def test_a_crowd_of_equal_vectors_costs_window_pairs_each_and_hangs_together() -> None:
    vectors = np.repeat(corpus(10), 200, axis=0)
    pairs = near_pairs(vectors, 0.999)
    assert len(pairs) <= 16 * 8 * len(vectors)
    root = np.arange(len(vectors))
    for a, b in pairs:
        root[root == root[b]] = root[a]
    for start in range(0, 1800, 200):
        assert len(set(root[start : start + 200])) == 1


def test_the_same_vectors_give_the_same_pairs() -> None:
    vectors = corpus(1000)
    assert np.array_equal(near_pairs(vectors, 0.9), near_pairs(vectors.copy(), 0.9))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_few_vectors_are_all_compared(count: int) -> None:
    vectors = unit(np.ones((count, 8)))
    assert len(near_pairs(vectors, 0.99)) == count * (count - 1) // 2
