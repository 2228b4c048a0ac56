"""Scored clips -> groups of videos that are uploads of the same content: re-encoded, trimmed, under another name.

Two videos are linked if at least half of the shorter one's clips have a counterpart in the other: a clip alike in sound
and in picture, or in the one imported vector that clips are compared by (S, below, is 2 or 1), and nearer than others
are by chance. Without the second condition thousands of videos of a few kinds would be linked, because a trained model
puts videos of one kind beside one another. So similarity is compared with the local density of neighbours
(`LocalDensity`), for each of the S. Content shown by more than NUM_NEAR videos links nothing: black, a title card, or
one upload copied that often.

Comparing all pairs is out of the question (200 000 videos: 2e10). So each segment of about ten clips becomes one vector
of sound and one of picture; `near_pairs` finds the near ones; only their videos are compared, with all their clips.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline.clips.copies import find_copies
from pipeline.clips.cut_videos import cut_parts
from pipeline.clips.splitting import SplittingConfig, part_splits, shared_splits
from pipeline.config import config_dataclass
from pipeline.hashing import as_dict
from pipeline.selection.cutoffs import Each
from pipeline.selection.duplicate_groups import Links, Video, alone, group_rows, merge_settled
from pipeline.selection.embeddings import Compared
from pipeline.selection.neighbours import near_pairs, neighbour_distances
from pipeline.storage.workspace import Workspace
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows

MIN_SHARED = 0.5  # of the shorter video's clips
MAX_BY_CHANCE = 0.1  # others expected that near: geometric mean of those in sound and in picture
NUM_NEAR = 32
MIN_VIDEOS = 20  # fewer are too few to measure what is near by chance
MIN_DISTANCE = 1e-4  # the resolution of float16 near 1
SEGMENT_CLIPS = 10
SEGMENT_SLACK = 2.0  # segments of a trimmed video begin elsewhere, and are further off than its clips
VECTOR_SIZE = 64  # longer ones are projected, which changes distances by 18 %, and 7.2 million clips take 0.4 GB
SEED = 20260102
CLIP_PAIRS_AT_ONCE = 1 << 20  # of clips: 30 MB
SEGMENT_PAIRS_AT_ONCE = 1 << 15  # pairs of them: 30 MB


@config_dataclass
class DuplicatesConfig:
    """Which videos count as uploads of the same content."""

    similarity: Annotated[float | None, Field(gt=0, lt=1)] = None
    """Cosine below which two clips are never one, in sound or in picture; None looks for no duplicates. Where many are
    that near, they must be nearer than by chance. Lower finds uploads that are brighter or noisier, and takes a few
    videos for uploads that only resemble one another: of 3 600 that differ 1 at 0.95, 6 at 0.9 and at 0.8."""


def check_settings(workspace: Workspace, name: str, config: DuplicatesConfig, splitting: SplittingConfig) -> None:
    """Refuse to use duplicates/<name> for a selection of other settings, by whichever vectors they were found.

    Raises:
        ConfigError: the duplicates were found with another similarity or other splits; the topic is `refused`.
    """
    folder = f"duplicates/{name}"
    settings, wanted = workspace.stage(folder)["settings"], as_dict({"duplicates": config, "splitting": splitting})
    found = {name: settings[name] for name in wanted}
    if found != wanted:
        raise workspace.error(folder, f"found with {found}, expected {wanted} as in the selection.", "refused")


def read_videos(
    workspace: Workspace, compared: Compared, splitting: SplittingConfig, part: str, shared: Mapping[str, str]
) -> list[Video]:
    """The videos of one part that have clips to compare, with the vectors by which they are compared."""
    splits, found = part_splits(workspace, part, splitting, shared), compared.read(part)
    return [Video(name, part, splits[name], *segments(clips)) for name, clips in found.items()]


def segments(clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and medoid of each segment of about SEGMENT_CLIPS clips, from [k, S, D] vectors.

    The mean finds a video that begins elsewhere; the medoid measures how near others are to a clip, not to a mean.

    Returns:
        means and medoids, [segments, S, VECTOR_SIZE or D] float16, unit.
    """
    size = clips.shape[2]
    rows = clips.astype(np.float32)
    if size > VECTOR_SIZE:
        rows = unit(rows @ np.random.default_rng(SEED).standard_normal((size, VECTOR_SIZE), np.float32))
    parts = np.array_split(rows, max(1, round(len(rows) / SEGMENT_CLIPS)))
    means = np.stack([part.mean(axis=0) for part in parts])
    medoids = [part[np.argmax((part * mean).sum(axis=(1, 2)))] for part, mean in zip(parts, means, strict=True)]
    return unit(means).astype(np.float16), np.stack(medoids).astype(np.float16)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of zeros stay zeros."""
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


@dataclasses.dataclass(frozen=True, slots=True)
class LocalDensity:
    """How near others are to each segment, in each of the S vectors.

    Below `radii` the number of videos is taken to grow with distance to one power, that by which it grows between the
    16th and the 32nd: half of the embedding's dimension, as it is around the median video.
    """

    radii: np.ndarray
    """[n, S] 1 - cosine to the `num_near`-th nearest other video; 1e9 in a corpus of fewer than MIN_VIDEOS."""
    powers: np.ndarray
    """[S]"""
    num_near: int

    def within(self, num_by_chance: float) -> np.ndarray:
        """[n, S] distance within which so many others are expected."""
        return self.radii * (num_by_chance / self.num_near) ** (1 / self.powers)

    def is_rare(self, distances: np.ndarray, radii: np.ndarray) -> np.ndarray:
        """Whether at most MAX_BY_CHANCE others are expected that near, by the geometric mean of the S.

        Args:
            distances: [..., S]
            radii: [..., S] those of the segment around which there are more.
        """
        numbers = self.powers * np.log(np.maximum(distances, MIN_DISTANCE) / radii)
        return numbers.mean(axis=-1) <= np.log(MAX_BY_CHANCE / self.num_near)


def measure_density(vectors: np.ndarray, owners: np.ndarray) -> LocalDensity:
    """The density around [n, S, D] unit vectors of the videos `owners` [n], ascending from 0."""
    num_videos = int(owners[-1]) + 1 if len(owners) else 0
    if num_videos < MIN_VIDEOS:
        return LocalDensity(np.full(vectors.shape[:2], 1e9), np.ones(vectors.shape[1]), 1)
    num_near = min(NUM_NEAR, num_videos // 2)
    found = [
        neighbour_distances(vectors[:, side], owners, (num_near // 2, num_near)) for side in range(vectors.shape[1])
    ]
    half, last = np.maximum(np.stack(found, axis=1), MIN_DISTANCE).transpose(2, 0, 1)
    growth = np.maximum(np.median(np.log(last / half), axis=0), 1e-3)
    return LocalDensity(last, np.log(num_near / (num_near // 2)) / growth, num_near)


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """The pairs of videos to compare, as arrays. Sent whole to every worker: 20 MB at 200 000 videos of 36 clips."""

    names: list[str]
    """[V] their video_id."""
    parts: np.ndarray
    """[V] str"""
    starts: np.ndarray
    """[V + 1] where the segments of each begin."""
    density: LocalDensity
    pairs: np.ndarray
    """[p, 2] numbers of two videos, the part of the first never later than that of the second."""


def plan_comparison(videos: list[Video], similarity: float, decided: set[str]) -> Comparison:
    """The pairs of videos whose segments may hold a counterpart, without pairs of two decided parts: those are done."""
    names, parts = [video.video_id for video in videos], np.array([video.part for video in videos])
    starts = np.cumsum([0, *(len(video.means) for video in videos)])
    if not videos:
        empty = LocalDensity(np.zeros((0, 2)), np.ones(2), 1)
        return Comparison(names, parts, starts, empty, np.zeros((0, 2), np.int64))
    owners = np.repeat(np.arange(len(videos)), np.diff(starts))
    density = measure_density(np.concatenate([video.medoids for video in videos]), owners)
    means = np.concatenate([video.means for video in videos])
    # a pair that is rare by the mean of sound and picture is rare in one of them; below MIN_DISTANCE, in the other
    furthest = np.minimum(1 - similarity, density.within(MAX_BY_CHANCE))
    least = np.where(furthest >= MIN_DISTANCE, 1 - SEGMENT_SLACK * furthest, 2)
    near = np.unique(
        np.concatenate([near_pairs(means[:, side], least[:, side]) for side in range(means.shape[1])]), axis=0
    )
    is_decided = np.isin(parts, sorted(decided))[owners]
    near = near[(owners[near[:, 0]] != owners[near[:, 1]]) & ~is_decided[near].all(axis=1)]
    is_near = np.zeros(len(near), bool)
    for start in range(0, len(near), SEGMENT_PAIRS_AT_ONCE):
        first, second = near[start : start + SEGMENT_PAIRS_AT_ONCE].T
        distances = 1 - np.einsum("psd,psd->ps", means[first].astype(np.float32), means[second].astype(np.float32))
        is_rare = density.is_rare(distances / SEGMENT_SLACK, np.minimum(density.radii[first], density.radii[second]))
        is_alike = distances.max(axis=1) <= SEGMENT_SLACK * (1 - similarity)
        is_near[start : start + SEGMENT_PAIRS_AT_ONCE] = is_rare & is_alike
    pairs = np.unique(owners[near[is_near]], axis=0)
    is_swapped = parts[pairs[:, :1]] > parts[pairs[:, 1:]]
    return Comparison(names, parts, starts, density, np.where(is_swapped, pairs[:, ::-1], pairs))


class ComparePart:
    """Compares, clip by clip, the pairs whose first video is in one part. Holds the clips of two parts at a time."""

    def __init__(self, compared: Compared, similarity: float, comparison: Comparison) -> None:
        self._compared, self._similarity, self._comparison = compared, similarity, comparison

    def __call__(self, part: str) -> Links:
        """The shared fraction of each pair that shares at least MIN_SHARED of the shorter video's clips."""
        plan, links = self._comparison, {}
        pairs = plan.pairs[plan.parts[plan.pairs[:, 0]] == part]
        firsts = self._compared.read(part)
        others = plan.parts[pairs[:, 1]]
        for other in np.unique(others).tolist():
            seconds = firsts if other == part else self._compared.read(other)
            for a, b in pairs[others == other].tolist():
                share = self.share(a, firsts[plan.names[a]], b, seconds[plan.names[b]])
                if share >= MIN_SHARED:
                    links[min(a, b), max(a, b)] = share
        return links

    def share(self, a: int, first: np.ndarray, b: int, second: np.ndarray) -> float:
        """The share of the shorter video's clips that have a counterpart in the other, from the clips of both."""
        if len(first) > len(second):
            return self.share(b, second, a, first)
        shorter, longer = (clips.astype(np.float32).transpose(1, 0, 2) for clips in (first, second))
        radii, others = self._radii(a, len(first))[:, None], self._radii(b, len(second))
        has_counterpart = np.zeros(len(first), bool)
        rows_per_block = max(1, CLIP_PAIRS_AT_ONCE // len(second))
        for start in range(0, len(first), rows_per_block):
            span = slice(start, start + rows_per_block)
            distances = np.moveaxis(1 - shorter[:, span] @ longer.transpose(0, 2, 1), 0, -1)
            alike = self._comparison.density.is_rare(distances, np.minimum(radii[span], others))
            has_counterpart[span] = (alike & (distances.max(axis=-1) <= 1 - self._similarity)).any(axis=1)
        return float(has_counterpart.mean())

    def _radii(self, number: int, num_clips: int) -> np.ndarray:
        """[k, 2] density radii of each clip: those of its segment."""
        first, end = self._comparison.starts[number : number + 2]
        lengths = [len(clips) for clips in np.array_split(np.arange(num_clips), end - first)]
        return np.repeat(self._comparison.density.radii[first:end], lengths, axis=0)


def find_duplicates(
    workspace: Workspace, name: str, compared: Compared, similarity: float, splitting: SplittingConfig, each: Each
) -> list[float] | None:
    """Write `duplicates/<name>/<part>`, of the selection `name`, for every part of `compared` that has none yet.

    Args:
        similarity: as in `DuplicatesConfig`.
        each: runs the two passes over the parts: `compare` over all, `match` over those with pairs to match.
    Returns:
        The cosine in each of the S vectors (sound, picture) above which it alone separates an upload of the median
        segment from videos that are near by chance; close to 1 where vectors separate little. None without a clip.
    """
    folder = f"duplicates/{name}"
    decided = set(workspace.parts(folder))
    known = {row["video_id"]: row for row in workspace.read_all(folder, DUPLICATES).to_pylist()}
    parts_there = workspace.parts(compared.folder)
    shared = shared_splits(workspace, splitting, cut_parts(workspace))
    found = each("compare", lambda part: read_videos(workspace, compared, splitting, part, shared), parts_there)
    ordered = sorted(itertools.chain.from_iterable(found), key=lambda video: video.video_id)
    plan = plan_comparison(ordered, similarity, decided)
    links: Links = {}
    parts = np.unique(plan.parts[plan.pairs[:, 0]]).tolist()
    for part_links in each("match", ComparePart(compared, similarity, plan), parts):
        links |= part_links
    copies = _copies(workspace, ordered)
    grouped = sorted({number for pair in (*links, *copies) for number in pair})
    settled = _settled_elsewhere(workspace, name, [ordered[number] for number in grouped])
    rows = group_rows(ordered, links, copies, decided, known, settled)
    for part in workspace.pending(compared.folder, folder):
        workspace.commit(folder, part, from_rows(rows.get(part, []), DUPLICATES, part), DUPLICATES)
    furthest = np.minimum(1 - similarity, plan.density.within(MAX_BY_CHANCE))
    return (1 - np.median(furthest, axis=0)).round(5).tolist() if ordered else None


def _copies(workspace: Workspace, videos: list[Video]) -> list[tuple[int, int]]:
    """Pairs of numbers of videos that are copies of each other, which together join all copies of one content."""
    number_of = {video.video_id: number for number, video in enumerate(videos)}
    groups = find_copies(workspace, cut_parts(workspace))
    numbers = (sorted(number_of[row.video_id] for row in group if row.video_id in number_of) for group in groups)
    return [pair for same in numbers for pair in itertools.pairwise(same)]


def _settled_elsewhere(workspace: Workspace, name: str, videos: list[Video]) -> dict[str, dict[str, Any]]:
    """By video_id what other selections than `name` have decided on the videos, with duplicates or without."""
    folders = ("duplicates", "selections")
    columns = ["video_id", "group_id", "split", "bridged_groups"]
    settled: dict[str, dict[str, Any]] = {}
    for other in sorted({other for folder in folders for other in workspace.names(folder)} - {name}):
        parts = {part for folder in folders for part in workspace.parts(f"{folder}/{other}")}
        rows = workspace.read_all(f"duplicates/{other}", DUPLICATES, columns).to_pylist()
        known = {row["video_id"]: row for row in rows}
        more = {video.video_id: known.get(video.video_id) or alone(video) for video in videos if video.part in parts}
        settled = merge_settled(settled, more)
    return settled
