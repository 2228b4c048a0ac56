"""What it takes to be among the best of the whole corpus, found without holding the corpus.

Every part gives its candidates. The best of them are kept as the parts come in, and the last one kept is the cutoff.
Order is total, value first and then a hash of the id: the parts may come in any order, exactly as many pass as were
asked for, and ties break by the hash, not by the name.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable

import numpy as np

from pipeline.config import config_dataclass, from_dict
from pipeline.storage import files
from pipeline.storage.workspace import Workspace

CUTOFFS_FILE = "_cutoffs.json"
PARTS_AT_ONCE = 500  # merged at a time: 17 MB of candidates where no cap applies

Ranked = tuple[np.ndarray, np.ndarray]  # [n] values, higher is better, and [n] uint64 hashes, lower is better


@config_dataclass
class Cutoffs:
    """What a clip needs because of what the others are. Stored with the selection, for parts that arrive later."""

    score_cutoff: float = 0.0
    """min_score, or the score of the last clip of keep_fraction where that is higher."""
    video_cutoff: tuple[float, int] | None = None
    """Mean score and hash of the last of top_videos."""
    clip_cutoff: tuple[float, int] | None = None
    """Score and hash of the last of top_clips."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidates:
    """What one part candidates."""

    video_means: np.ndarray
    """[V] mean score of each video's clips that passed every rule before top_videos."""
    video_hashes: np.ndarray
    """[V] uint64"""
    videos: np.ndarray
    """[n] which of the V each clip is of; clips over the video's cap are left out."""
    scores: np.ndarray
    """[n] float32"""
    hashes: np.ndarray
    """[n] uint64"""


def load_or_compute(workspace: Workspace, name: str, compute_cutoffs: Callable[[], Cutoffs]) -> Cutoffs:
    """What the corpus asks of a clip of the selection `name`, settled once and stored before any part is decided.

    A run that was killed goes on with the same cutoffs, and a collection that grows is judged by those of its first
    run, not by others each night.
    """
    uri = workspace.uri(f"selections/{name}", CUTOFFS_FILE)
    if files.exists(uri):
        return from_dict(Cutoffs, json.loads(files.read_bytes(uri)))
    cutoffs = compute_cutoffs()
    files.commit_bytes(uri, json.dumps(dataclasses.asdict(cutoffs), indent=1).encode())
    return cutoffs


def compute_score_cutoff(fraction: float, candidates: Iterable[np.ndarray]) -> float:
    """The score of the last of the best `fraction` of all clips, at least one; 0 where there is none.

    Clips of equal score share their fate. `candidates` are [n] float32 scores, part by part; holds 4 bytes per clip.
    """
    scores = np.concatenate([np.zeros(0, np.float32), *candidates])
    last = len(scores) - max(1, round(fraction * len(scores)))
    return float(np.partition(scores, last)[last]) if len(scores) else 0.0


def compute_cutoffs(
    lowest: float, top_videos: int | None, top_clips: int | None, candidates: Iterable[Candidates]
) -> Cutoffs:
    """The cutoffs that let exactly `top_videos` videos and `top_clips` clips through, or all there are.

    Without top_videos, memory is bounded by `top_clips`; with it, it is 16 bytes per clip that is offered.
    """
    video_cutoff = None
    if top_videos is not None:
        candidates = list(candidates)
        video_cutoff = _last([(offer.video_means, offer.video_hashes) for offer in candidates], top_videos)
    clip_cutoff = None
    if top_clips is not None:
        best: list[Ranked] = []
        for offer in candidates:
            is_in = passes(offer.video_means, offer.video_hashes, video_cutoff)[offer.videos]
            best.append((offer.scores[is_in], offer.hashes[is_in]))
            if len(best) > PARTS_AT_ONCE:
                best = [_best(best, top_clips)]
        clip_cutoff = _last(best, top_clips)
    return Cutoffs(score_cutoff=lowest, video_cutoff=video_cutoff, clip_cutoff=clip_cutoff)


def passes(values: np.ndarray, hashes: np.ndarray, last: tuple[float, int] | None) -> np.ndarray:
    """[n] whether each is at least as good as the last that is let through; `hashes` count at equal values only."""
    if last is None:
        return np.ones(len(values), bool)
    return (values > last[0]) | ((values == last[0]) & (hashes <= np.uint64(last[1])))


def _best(ranked: list[Ranked], count: int) -> Ranked:
    values, hashes = (np.concatenate(arrays) for arrays in zip(*ranked, strict=True))
    order = np.lexsort((hashes, -values))[:count]
    return values[order], hashes[order]


def _last(ranked: list[Ranked], count: int) -> tuple[float, int] | None:
    """The last of `count`; None where there are fewer: then what arrives later is not refused for want of place."""
    values, hashes = _best(ranked, count) if ranked else (np.zeros(0), np.zeros(0))
    return (float(values[-1]), int(hashes[-1])) if len(values) == count else None
