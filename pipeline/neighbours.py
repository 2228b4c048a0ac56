"""Unit vectors -> pairs that are near one another, in sub-quadratic time: sorted random codes, then exact cosines.

Each of NUM_TABLES tables gives a vector one bit per random hyperplane: near vectors agree on long prefixes, so sorting
by the code brings them together (Charikar 2002; Manku et al. 2007). Only the WINDOW next in each order are looked at,
first by the number of bits that differ, then exactly. So the work is NUM_TABLES * WINDOW comparisons per vector however
crowded a region is: dense regions cost recall, never time. Planes pass through the mean of all vectors: embeddings of
trained models lie in a cone, and planes through the origin would put most of them on one side.
"""

import numpy as np

NUM_TABLES, CODE_BITS, WINDOW = 16, 64, 8
FILTER_TABLES = 4  # 256 bits estimate an angle to 3 degrees
ROWS_AT_ONCE = 1 << 14  # 64 MB of fp32 at 1 024 dimensions
SEED = 20260101


def near_pairs(vectors: np.ndarray, min_cosine: float) -> np.ndarray:
    """Pairs (i, j), i < j, in order, whose cosine is at least `min_cosine`; a function of the vectors alone.

    Every pair is truly that near; a few per cent of the pairs just above `min_cosine` are missed.

    Args:
        vectors: [n, D] unit vectors, float16 to save memory: 2 D bytes each, and 8 NUM_TABLES for the codes.
        min_cosine: between 0 and 1.
    Returns:
        [p, 2] int64
    """
    count = len(vectors)
    if count < 2:
        return np.zeros((0, 2), np.int64)
    codes, bounds = _codes(vectors, min_cosine)
    found: list[np.ndarray] = []
    for table in range(NUM_TABLES):
        order = np.argsort(codes[:, table], kind="stable")
        for step in range(1, min(WINDOW, count - 1) + 1):
            first, second = order[:-step], order[step:]
            close = _bits_apart(codes, first, second) <= np.maximum(bounds[first], bounds[second])
            first, second = first[close], second[close]
            found.append(np.minimum(first, second) * count + np.maximum(first, second))
    keys = np.unique(np.concatenate(found))
    pairs = np.stack([keys // count, keys % count], axis=1)
    return pairs[cosines(vectors, pairs) >= min_cosine]


def _codes(vectors: np.ndarray, min_cosine: float) -> tuple[np.ndarray, np.ndarray]:
    """[n, NUM_TABLES] uint64 codes, and the most bits of FILTER_TABLES that may differ in a pair with each vector."""
    count, size = vectors.shape
    spans = [slice(start, start + ROWS_AT_ONCE) for start in range(0, count, ROWS_AT_ONCE)]
    mean = sum(vectors[span].sum(axis=0, dtype=np.float64) for span in spans) / count
    planes = np.random.default_rng(SEED).standard_normal((size, NUM_TABLES * CODE_BITS)).astype(np.float32)
    codes, radii = np.empty((count, NUM_TABLES), np.uint64), np.empty(count)
    for span in spans:
        centred = vectors[span].astype(np.float32) - mean.astype(np.float32)
        codes[span] = np.packbits(centred @ planes > 0, axis=1).view(">u8")
        radii[span] = (centred**2).sum(axis=1)
    # seen from the mean, at squared distance r, a chord of squared length 2 (1 - cosine) spans this angle
    angle = np.arccos(np.clip(1 - (1 - min_cosine) / np.maximum(radii, 1e-6), -1, 1))
    bits, share = FILTER_TABLES * CODE_BITS, angle / np.pi
    return codes, bits * share + 4 * np.sqrt(bits * share * (1 - share))


def _bits_apart(codes: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[n] bits that differ in the first FILTER_TABLES codes."""
    apart = np.zeros(len(first), np.int64)
    for table in range(FILTER_TABLES):
        apart += np.bitwise_count(codes[first, table] ^ codes[second, table])
    return apart


def cosines(vectors: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """[p] exact cosines, in fp32."""
    cosines = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), ROWS_AT_ONCE):
        first, second = pairs[start : start + ROWS_AT_ONCE].T
        cosines[start : start + ROWS_AT_ONCE] = np.einsum(
            "nd,nd->n", vectors[first].astype(np.float32), vectors[second].astype(np.float32)
        )
    return cosines
