"""Matching of sources and references, and which pairs count."""

import itertools

import numpy as np
import pytest
import torch

from pipeline.metrics.source_matching import match_sources
from tests.helpers.si_snr import si_snr


def products_of(references: np.ndarray, sources: np.ndarray) -> np.ndarray:
    waveforms = np.concatenate([references, sources])
    return waveforms @ waveforms.T / waveforms.shape[1]


@pytest.mark.parametrize(("num_references", "num_sources"), [(1, 4), (2, 4), (3, 3), (4, 4), (4, 2)])
def test_the_matching_has_the_highest_sum_of_si_snr(num_references: int, num_sources: int) -> None:
    rng = np.random.default_rng(num_references)
    for _ in range(5):
        references = rng.normal(size=(num_references, 300))
        mixing = rng.normal(size=(num_sources, num_references))
        sources = mixing @ references + 0.3 * rng.normal(size=(num_sources, 300))
        value = np.array([[float(si_snr(*map(torch.from_numpy, (r, s)))) for s in sources] for r in references])
        if num_references <= num_sources:
            ways = (list(enumerate(way)) for way in itertools.permutations(range(num_sources), num_references))
        else:
            ways = (
                [(r, s) for s, r in enumerate(way)]
                for way in itertools.permutations(range(num_references), num_sources)
            )
        best = max(ways, key=lambda way: sum(value[r, s] for r, s in way))
        assert match_sources(products_of(references, sources), num_references) == sorted(best)


@pytest.mark.parametrize(("level_db", "counts"), [(-19.9, True), (-20.1, False)])
def test_a_source_counts_above_20_db_below_the_quietest_reference(level_db: float, counts: bool) -> None:
    references = np.array([[1.0, -1.0, 1.0, -1.0], [0.1, 0.1, -0.1, -0.1]])
    sources = np.stack([references[0], references[1] * 10 ** (level_db / 20)])
    found = match_sources(products_of(references, sources), 2)
    assert found == [(0, 0), (1, 1)][: 1 + counts]


def test_silent_references_have_no_pair() -> None:
    references = np.array([[0.0, 0.0], [1.0, -1.0]])
    sources = np.array([[1.0, 1.0], [0.5, -0.5]])
    assert match_sources(products_of(references, sources), 2) == [(1, 1)]
    assert match_sources(products_of(0 * references, sources), 2) == []
