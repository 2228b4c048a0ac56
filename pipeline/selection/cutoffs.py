"""Cutoffs of a selection: what a clip needs to be among the best of the whole corpus, computed once and written down.

One pass over the parts collects candidates; only the best are kept in memory, and the last of them is the cutoff.
Values are ordered first, then a hash of the id. So the result does not depend on the order of the parts, exactly as
many clips pass as asked for, and ties break by the hash, not by the name. Clips of one video tie by clip_id.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa

from pipeline.config import config_dataclass, from_dict
from pipeline.hashing import hash_text
from pipeline.selection.filtering import ClipRules
from pipeline.storage import files

PARTS_AT_ONCE = 500  # merged at a time: 17 MB of candidates where no cap applies

R = TypeVar("R")
Ranked = tuple[np.ndarray, np.ndarray]  # [n] values, higher is better, and [n] uint64 hashes, lower is better


class Each(Protocol):
    """How a pass over the parts is run, here or on a cluster."""

    def __call__(self, step: str, work: Callable[[str], R], parts: list[str]) -> Iterable[R]:
        """The result of `work` for every part, in any order; `step` is the name of the pass."""


@config_dataclass
class Cutoffs:
    """What a clip needs to be kept, given all other clips. Stored with the selection, for parts that arrive later."""

    score_cutoff: float = 0.0
    """min_score, or the score of the last clip of keep_fraction where that is higher."""
    video_cutoff: tuple[float, int] | None = None
    """Mean score and hash of the last of top_videos."""
    clip_cutoff: tuple[float, int] | None = None
    """Score and hash of the last of top_clips."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidates:
    """The clips and videos of one part that compete for top_clips and top_videos."""

    video_means: np.ndarray
    """[V] mean score of each video's clips that passed every rule before top_videos."""
    video_hashes: np.ndarray
    """[V] uint64"""
    videos: np.ndarray
    """[n] number of the video of each clip; clips over the video's cap are left out."""
    scores: np.ndarray
    """[n] float32"""
    hashes: np.ndarray
    """[n] uint64"""


def load_or_compute(rules: ClipRules, each: Each) -> Cutoffs:
    """The cutoffs of a selection: the stored ones, else computed from all scored parts and stored.

    Stored before any part is decided: a killed run continues with the same cutoffs, and the parts that arrive later in
    a growing collection are compared with the cutoffs of the first run.
    """
    uri = rules.workspace.record_uri(f"selections/{rules.name}", "cutoffs")
    if files.exists(uri):
        return from_dict(Cutoffs, json.loads(files.read_bytes(uri)))
    cutoffs = compute(rules, each)
    files.commit_bytes(uri, json.dumps(dataclasses.asdict(cutoffs), indent=1).encode())
    return cutoffs


def compute(rules: ClipRules, each: Each) -> Cutoffs:
    """The cutoffs of a selection, from all scored parts."""
    config = rules.config
    parts, score_cutoff = rules.workspace.parts(rules.source), config.min_score
    if config.keep_fraction < 1:
        scores = each("survey", lambda part: rules.passing(part, 0.0)["score"].to_numpy(), parts)
        score_cutoff = max(score_cutoff, compute_score_cutoff(config.keep_fraction, scores))
    cutoffs = Cutoffs(score_cutoff=score_cutoff)
    if config.top_videos is not None or config.top_clips is not None:
        candidates = each("rank", lambda part: find_candidates(rules, part, score_cutoff), parts)
        cutoffs = compute_cutoffs(score_cutoff, config.top_videos, config.top_clips, candidates)
    return cutoffs


def find_candidates(rules: ClipRules, part: str, score_cutoff: float) -> Candidates:
    """The part's candidates: clips that every rule before top_videos accepts."""
    clips = rules.passing(part, score_cutoff)
    names, videos, scores = group_by_video(clips)
    within_cap = rank_within_video(videos, scores) < (rules.config.max_clips_per_video or len(clips) + 1)
    hashes = hash_ids(clips["clip_id"], within_cap)[within_cap]
    video_hashes = hash_ids(names, np.ones(len(names), bool))
    return Candidates(mean_scores(videos, scores), video_hashes, videos[within_cap], scores[within_cap], hashes)


def compute_score_cutoff(fraction: float, parts: Iterable[np.ndarray]) -> float:
    """The lowest score among the best `fraction` of all clips, at least one clip; 0 where there is none.

    Clips of equal score are all kept or all refused. `parts` are [n] float32 scores; needs 4 bytes per clip.
    """
    scores = np.concatenate([np.zeros(0, np.float32), *parts])
    last = len(scores) - max(1, round(fraction * len(scores)))
    return float(np.partition(scores, last)[last]) if len(scores) else 0.0


def compute_cutoffs(
    score_cutoff: float, top_videos: int | None, top_clips: int | None, candidates: Iterable[Candidates]
) -> Cutoffs:
    """The cutoffs that exactly `top_videos` videos and `top_clips` clips pass, or all where there are fewer.

    Without top_videos, memory is bounded by `top_clips`; with it, each candidate takes 16 bytes.
    """
    video_cutoff = None
    if top_videos is not None:
        candidates = list(candidates)
        video_cutoff = _last([(part.video_means, part.video_hashes) for part in candidates], top_videos)
    clip_cutoff = None
    if top_clips is not None:
        best: list[Ranked] = []
        for part in candidates:
            is_in = passes(part.video_means, part.video_hashes, video_cutoff)[part.videos]
            best.append((part.scores[is_in], part.hashes[is_in]))
            if len(best) > PARTS_AT_ONCE:
                best = [_best(best, top_clips)]
        clip_cutoff = _last(best, top_clips)
    return Cutoffs(score_cutoff=score_cutoff, video_cutoff=video_cutoff, clip_cutoff=clip_cutoff)


def passes(values: np.ndarray, hashes: np.ndarray, last: tuple[float, int] | None) -> np.ndarray:
    """[n] whether each is at least as good as `last`; `hashes` decide only between equal values."""
    if last is None:
        return np.ones(len(values), bool)
    return (values > last[0]) | ((values == last[0]) & (hashes <= np.uint64(last[1])))


def group_by_video(clips: pa.Table) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """Names of the videos [V]; for each clip [n] the number of its video, and its score."""
    encoded = clips["video_id"].combine_chunks().dictionary_encode()
    return encoded.dictionary, encoded.indices.to_numpy(), clips["score"].to_numpy()


def mean_scores(videos: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[V] mean score of each video's clips."""
    return np.bincount(videos, scores) / np.bincount(videos)


def rank_within_video(videos: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[n] rank of each clip within its video, the best 0; of equal scores the earlier clip is better."""
    order = np.lexsort((-scores, videos))
    ordered = videos[order]
    ranks = np.empty(len(videos), np.int64)
    ranks[order] = np.arange(len(videos)) - np.searchsorted(ordered, ordered)
    return ranks


def hash_ids(ids: pa.Array | pa.ChunkedArray, wanted: np.ndarray) -> np.ndarray:
    """[n] uint64 hash of each wanted id, 0 for the others: to hash all of them would double the time of a pass."""
    hashes = np.zeros(len(ids), np.uint64)
    hashes[wanted] = [hash_text(f"rank {name}") for name in ids.filter(pa.array(wanted)).to_pylist()]
    return hashes


def _best(ranked: list[Ranked], count: int) -> Ranked:
    values, hashes = (np.concatenate(arrays) for arrays in zip(*ranked, strict=True))
    order = np.lexsort((hashes, -values))[:count]
    return values[order], hashes[order]


def _last(ranked: list[Ranked], count: int) -> tuple[float, int] | None:
    """The last of the best `count`; None where there are fewer: then clips that arrive later are not refused either."""
    values, hashes = _best(ranked, count) if ranked else (np.zeros(0), np.zeros(0))
    return (float(values[-1]), int(hashes[-1])) if len(values) == count else None
