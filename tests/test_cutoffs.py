"""Cutoffs: exactly as many pass as were asked for, whatever the order of the parts and however many are equal."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.clips.splitting import SplittingConfig
from pipeline.selection import cutoffs
from pipeline.selection.cutoffs import (
    Candidates,
    compute_cutoffs,
    compute_score_cutoff,
    load_or_compute,
    passes,
)
from pipeline.selection.filtering import ClipRules, FilteringConfig
from pipeline.storage.workspace import Workspace


def candidates(seed: int, num_parts: int, levels: int) -> list[Candidates]:
    """Parts of 5 videos with 4 clips each, whose scores take `levels` values."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(num_parts):
        videos = np.repeat(np.arange(5), 4)
        scores = (rng.integers(levels, size=20) / levels).astype(np.float32)
        means = np.bincount(videos, scores) / 4
        found.append(Candidates(means, rng.integers(2**63, size=5, dtype=np.uint64), videos, scores, ids(rng, 20)))
    return found


def ids(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(2**64, size=count, dtype=np.uint64)


@pytest.mark.parametrize("levels", [1, 3, 1000])
@pytest.mark.parametrize("count", [1, 17, 199, 200])
def test_exactly_so_many_clips_pass_and_none_that_fails_is_better(levels: int, count: int) -> None:
    parts = candidates(levels, 10, levels)
    last = compute_cutoffs(0.0, None, count, parts).clip_cutoff
    is_in = np.concatenate([passes(part.scores, part.hashes, last) for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    assert is_in.sum() == count
    assert scores[is_in].min() >= scores[~is_in].max(initial=0)


def test_the_clips_of_the_best_videos_alone_compete_for_the_places_of_clips() -> None:
    parts = candidates(1, 10, 1000)
    found = compute_cutoffs(0.0, 6, 9, parts)
    ranked = sorted((mean, part, video) for part, p in enumerate(parts) for video, mean in enumerate(p.video_means))
    best = {(part, video) for _, part, video in ranked[-6:]}
    scores = sorted(
        score
        for part, p in enumerate(parts)
        for video, score in zip(p.videos, p.scores.tolist(), strict=True)
        if (part, video) in best
    )
    assert found.video_cutoff is not None
    assert found.clip_cutoff is not None
    assert found.video_cutoff[0] == ranked[-6][0]
    assert found.clip_cutoff[0] == scores[-9]


def test_the_order_of_the_parts_and_how_many_are_merged_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = candidates(2, 10, 4)
    found = compute_cutoffs(0.0, 20, 30, parts)
    monkeypatch.setattr(cutoffs, "PARTS_AT_ONCE", 2)
    assert compute_cutoffs(0.0, 20, 30, parts[::-1]) == found
    assert compute_cutoffs(0.0, 20, 30, iter(parts)) == found


@pytest.mark.parametrize("parts", [0, 1])
def test_where_there_are_fewer_than_asked_for_nothing_is_refused(parts: int) -> None:
    found = compute_cutoffs(0.5, 100, 100, candidates(0, parts, 10))
    assert (found.score_cutoff, found.video_cutoff, found.clip_cutoff) == (0.5, None, None)


@pytest.mark.parametrize(("fraction", "last"), [(1.0, 0.0), (0.5, 0.5), (0.21, 0.75), (1e-9, 0.875)])
def test_the_last_score_of_a_share_is_that_of_the_clip_at_its_end(fraction: float, last: float) -> None:
    scores = np.arange(8, dtype=np.float32) / 8  # 0.21 of them: 1.68, so two
    parts = np.split(np.random.default_rng(0).permutation(scores), [1, 1, 5])
    assert compute_score_cutoff(fraction, parts) == last


def test_a_share_of_nothing_refuses_nothing() -> None:
    assert compute_score_cutoff(0.5, []) == compute_score_cutoff(0.5, [np.zeros(0, np.float32)]) == 0.0


def test_cutoffs_are_computed_once_and_stay_when_clips_arrive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = FilteringConfig(min_score=0.25, top_videos=6, top_clips=9)
    rules = ClipRules(Workspace(str(tmp_path)), "s", "m", config, SplittingConfig())
    parts = {f"{number:05d}": found for number, found in enumerate(candidates(1, 10, 1000))}
    monkeypatch.setattr(cutoffs, "find_candidates", lambda rules, part, score_cutoff: parts[part])
    first = load_or_compute(rules, lambda step, work, todo: map(work, parts))
    assert first == compute_cutoffs(0.25, 6, 9, parts.values())
    assert load_or_compute(rules, lambda step, work, todo: pytest.fail("a second pass over the parts")) == first
