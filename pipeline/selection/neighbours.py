"""Unit vectors -> what is near each, in sub-quadratic time: cells around some of them, and products within cells.

About sqrt(n) of the vectors, spread evenly, are the centres of cells, so a crowded region has more cells, not larger
ones. A vector is compared, exactly, with all that have its nearest centre among their NUM_PROBED nearest: in all
NUM_PROBED * n**1.5 products. Of 20 000 vectors all pairs near enough to be uploads made again are found, and 92 % or
more of all that reach a cosine which whole regions reach (16 and 8 effective dimensions, 0.9). Only vectors that are
equal share one cell however many they are, and cost the square of their number.
"""

from collections.abc import Iterator

import numpy as np

NUM_PROBED = 8
CLIP_PAIRS_AT_ONCE = 1 << 21  # 8 MB of cosines, and four times that to rank them


def near_pairs(vectors: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Pairs (i, j), i < j, in order, whose cosine is at least `least` of both; a function of the arguments alone.

    Args:
        vectors: [n, D] unit vectors, float16 to save memory.
        least: [n] the least cosine of a pair that holds the vector.
    Returns:
        [p, 2] int64
    """
    found = [np.zeros(0, np.int64)]
    for rows, members, cosines in _blocks(vectors):
        near, other = np.nonzero(cosines >= least[rows, None].astype(np.float32))
        first, second = rows[near], members[other]
        is_pair = (first != second) & (cosines[near, other] >= least[second])
        found.append((np.minimum(first, second) * len(vectors) + np.maximum(first, second))[is_pair])
    keys = np.unique(np.concatenate(found))
    return np.stack(np.divmod(keys, max(len(vectors), 1)), axis=1)


def neighbour_distances(vectors: np.ndarray, owners: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Distances from each vector to its nearest other owners: 1 - cosine to the nearest vector of each.

    Args:
        vectors: [n, D] unit vectors, float16 to save memory.
        owners: [n] number of the owner of each vector, ascending.
        places: which of the nearest others to return, ascending; 1 is the nearest. There are at least that many.
    Returns:
        [n, len(places)] fp32; where the cells have fewer others, the distance to the last of them, 2 if there is none.
    """
    distances = np.empty((len(vectors), len(places)), np.float32)
    for rows, members, cosines in _blocks(vectors):
        starts = np.flatnonzero(np.diff(owners[members], prepend=owners[members[0]] - 1))
        nearest = 1 - np.maximum.reduceat(cosines, starts, axis=1)
        nearest[owners[rows, None] == owners[members[starts]]] = 2
        ranks = np.clip(np.array(places) - 1, 0, max(len(starts) - 2, 0))  # a row's own owner is among them
        distances[rows] = np.partition(nearest, ranks, axis=1)[:, ranks]
    return distances


def _blocks(vectors: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(rows [r], members [m], both ascending; their cosines [r, m] fp32); each vector is in the rows of one block."""
    if not len(vectors):
        return
    num_cells = int(np.ceil(np.sqrt(len(vectors))))
    centres = vectors[np.linspace(0, len(vectors) - 1, num_cells).round().astype(np.int64)].astype(np.float32)
    num_probed = min(NUM_PROBED, num_cells)
    rows_per_block = max(1, CLIP_PAIRS_AT_ONCE // num_cells)
    own, near = np.empty(len(vectors), np.int32), np.empty((len(vectors), num_probed), np.int32)
    for start in range(0, len(vectors), rows_per_block):
        span = slice(start, start + rows_per_block)
        cosines = vectors[span].astype(np.float32) @ centres.T
        near[span] = nearest = np.argpartition(cosines, -num_probed, axis=1)[:, -num_probed:]
        # the nearest of these, not of all: of more than NUM_PROBED equal centres it would be another one
        best = np.argmax(np.take_along_axis(cosines, nearest, axis=1), axis=1)
        own[span] = nearest[np.arange(len(best)), best]
    cell_rows, cell_members = _grouped(own, num_cells), _grouped(near.ravel(), num_cells)
    for rows, places in zip(cell_rows, cell_members, strict=True):
        members = places // num_probed
        columns = vectors[members].astype(np.float32).T
        rows_per_block = max(1, CLIP_PAIRS_AT_ONCE // max(len(members), 1))
        for start in range(0, len(rows), rows_per_block):
            some = rows[start : start + rows_per_block]
            yield some, members, vectors[some].astype(np.float32) @ columns


def _grouped(cells: np.ndarray, num_cells: int) -> list[np.ndarray]:
    """For each cell, the places in `cells` that hold it, ascending."""
    order = np.argsort(cells, kind="stable")
    return np.split(order, np.searchsorted(cells[order], np.arange(1, num_cells)))
