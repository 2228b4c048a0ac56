"""Recall counts who is ahead; equal scores are settled by chance."""

import itertools

import numpy as np
import pytest

from pipeline.metrics.retrieval import found_among, recall_at


def test_recall_counts_partners_among_the_k_best() -> None:
    # ranks of the partners: 1, 2, 3, 4
    scores = np.array([[4, 1, 2, 3], [9, 8, 1, 2], [5, 6, 4, 0], [3, 4, 2, 1]])
    assert [recall_at(scores, k) for k in (1, 2, 3, 4, 10)] == [0.25, 0.5, 0.75, 1, 1]


def test_the_other_direction_is_the_transpose() -> None:
    scores = np.array([[2.0, 0.0], [3.0, 1.0]])
    assert recall_at(scores, 1) == 0.5  # query 1 finds 0
    assert recall_at(scores.T, 1) == 0.5  # partner 0 is found by 1
    assert recall_at(np.array([[1.0, 0.0], [2.0, 3.0]]).T, 1) == 0.5


def test_a_score_that_says_nothing_is_at_chance() -> None:
    for k in (1, 5, 10):
        assert recall_at(np.zeros((50, 50)), k) == pytest.approx(k / 50)


def test_recall_of_noise_is_the_mean_over_ways_to_break_ties() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, (40, 40)).astype(float)
    broken = [recall_at(scores + 1e-3 * rng.random(scores.shape), 5) for _ in range(2000)]
    assert recall_at(scores, 5) == pytest.approx(np.mean(broken), abs=0.01)


def test_found_among_is_the_recall_of_all_galleries() -> None:
    scores = np.random.default_rng(1).integers(0, 4, (7, 7)).astype(float)
    for query, found in enumerate(found_among(scores, 2, gallery=4)):
        others = itertools.combinations(sorted({*range(7)} - {query}), 3)
        ranks = [scores[query, list(each)] for each in others]
        chances = [
            (2 - (rank > scores[query, query]).sum()) / ((rank == scores[query, query]).sum() + 1) for rank in ranks
        ]
        assert found == pytest.approx(np.mean(np.clip(chances, 0, 1)))


def test_a_gallery_of_more_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 3"):
        found_among(np.eye(3), 1, gallery=4)


@pytest.mark.parametrize("scores", [np.zeros((2, 3)), np.zeros((0, 0)), np.zeros(4), np.array([[np.nan]])])
def test_scores_without_a_ranking_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        recall_at(scores, 1)


def test_the_best_none_are_refused() -> None:
    with pytest.raises(ValueError, match="k = 0"):
        recall_at(np.zeros((2, 2)), 0)
