"""What is near: no pair that is not, nearly all that are, whatever the shape of the corpus."""

import numpy as np
import pytest

from pipeline.selection.neighbours import near_pairs, neighbour_distances


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def corpus(shape: str, count: int = 4000, size: int = 64) -> np.ndarray:
    """Unit vectors, the last tenth of them copies of the first with noise."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((count, size))
    if shape == "isotropic":
        rows = unit(noise)
    elif shape == "cone":  # of 8 effective dimensions around one axis
        rows = unit(rng.standard_normal(size) + noise[:, :8] @ rng.standard_normal((8, size)) / 4)
    else:  # 20 clusters, the loosest 10 times as wide as the tightest, of whose pairs all are near
        cluster = rng.integers(20, size=count)
        rows = unit(rng.standard_normal((20, size))[cluster] + np.geomspace(0.15, 1.5, 20)[cluster, None] * noise)
    copies = count // 10
    rows[-copies:] = unit(rows[:copies] + rng.uniform(0.05, 0.3, (copies, 1)) * noise[:copies] / np.sqrt(size))
    return rows


def exact(vectors: np.ndarray) -> np.ndarray:
    rows = vectors.astype(np.float32)
    return rows @ rows.T


@pytest.mark.parametrize(("shape", "share"), [("isotropic", 1.0), ("cone", 0.9), ("clusters", 0.99)])
def test_nearly_all_near_pairs_are_found_and_no_others(shape: str, share: float) -> None:
    vectors = corpus(shape)
    least = np.full(len(vectors), 0.95)
    cosines = exact(vectors)
    pairs = near_pairs(vectors, least)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert (cosines[tuple(pairs.T)] >= 0.9499).all()
    expected = int(np.triu(cosines >= 0.95, 1).sum())
    assert expected >= 350
    assert len(pairs) >= share * expected
    found = {(int(a), int(b)) for a, b in pairs}
    copies = [(i, 3600 + i) for i in range(400) if cosines[i, 3600 + i] >= 0.97]
    assert len(copies) >= 300
    assert len(found & set(copies)) >= 0.995 * len(copies)


def test_a_pair_is_as_near_as_the_more_demanding_of_the_two_asks() -> None:
    vectors = unit(np.array([[1, 0], [1, 0.1], [1, 0.3]]))  # 0-1 at 0.995, 1-2 at 0.982, 0-2 at 0.958
    assert near_pairs(vectors, np.array([0.9, 0.9, 0.9])).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert near_pairs(vectors, np.array([0.9, 0.99, 0.9])).tolist() == [[0, 1], [0, 2]]
    assert near_pairs(vectors, np.array([2.0, 0.9, 0.9])).tolist() == [[1, 2]]


def test_a_crowd_of_equal_vectors_is_near_itself_and_hides_no_other() -> None:
    vectors = corpus("isotropic", 2000)
    copies = [(i, 1800 + i) for i in range(100)]
    vectors[100:1800] = vectors[100]  # most of the centres are equal
    assert (neighbour_distances(vectors, np.arange(2000), (32,))[100:1800] < 1e-3).all()
    least = np.full(2000, 0.95)
    least[100:1800] = 2
    assert {(int(a), int(b)) for a, b in near_pairs(vectors, least)} >= set(copies)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_few_vectors_are_all_compared(count: int) -> None:
    assert len(near_pairs(unit(np.ones((count, 8))), np.full(count, 0.99))) == count * (count - 1) // 2


def test_how_near_the_third_other_is_counts_each_owner_once_and_never_oneself() -> None:
    vectors = corpus("clusters", 60)
    owners = np.repeat(np.arange(20), 3)
    nearest = np.sort([(1 - exact(vectors))[:, owners == owner].min(axis=1) for owner in range(20)], axis=0)
    assert (nearest[0] < 1e-3).all()  # each is its own owner's nearest, so the others begin behind it
    found = neighbour_distances(vectors, owners, (1, 3))
    assert found == pytest.approx(nearest[[1, 3]].T, abs=1e-3)


def test_among_thousands_the_distance_of_the_32nd_is_found_or_little_more() -> None:
    vectors = corpus("cone")
    expected = np.sort(1 - exact(vectors), axis=1)[:, 32]
    found = neighbour_distances(vectors, np.arange(len(vectors)), (16, 32))[:, 1]
    assert (found >= expected - 1e-6).all()
    assert np.median(found / expected) <= 1.05
    assert np.mean(found / expected <= 1.2) >= 0.9
