"""Scored clips -> groups of videos that are uploads of the same content: re-encoded, trimmed, under another name.

Two videos are one if at least half of the shorter one's clips have a counterpart in the other: a clip alike in sound
and in picture. Comparing all pairs is out of the question (200 000 videos: 2e10), and clips need not be compared to
find candidates, since whole videos are uploaded again. So each video first becomes one vector, the mean of its clips'
sound beside that of its picture; near vectors are found by `near_pairs`; only their clips are compared, exactly.

A video that has been decided on keeps its decision in a collection that grows: what arrives later and resembles it is
the duplicate, and its group keeps its name and split.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.artifacts import VIDEOS_FOLDER, Workspace
from pipeline.errors import ConfigError
from pipeline.neighbours import cosines, near_pairs
from pipeline.splitting import SplittingConfig, group_split, part_splits
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from schemas.scores import SCORES
from schemas.videos import VIDEOS

MIN_SHARED = 0.5  # of the shorter video's clips
MEAN_SLACK = 0.05  # a trimmed video's mean is a little further off than its clips
MAX_RESEMBLING = 0.1  # of random pairs of videos: above, the embeddings do not tell videos apart
MIN_VIDEOS = 20  # fewer say nothing of random pairs


@dataclasses.dataclass(frozen=True, slots=True)
class Video:
    """One scored video."""

    video_id: str
    part: str
    split: str
    """Its split by itself."""
    is_licensed: bool
    num_good: int
    """Clips that reach the least score."""
    vector: np.ndarray
    """[2 D] float16, unit: mean sound and mean picture, so that a cosine is the mean of the two."""


class VideoVectors:
    """Makes the videos of one part comparable: reads scores/<model>/00042, writes nothing."""

    def __init__(
        self, workspace: Workspace, model: str, splitting: SplittingConfig, licenses: tuple[str, ...], min_score: float
    ) -> None:
        self._workspace, self._model, self._splitting = workspace, model, splitting
        self._licenses, self._min_score = licenses, min_score

    def __call__(self, part: str) -> list[Video]:
        """The part's videos that have scored clips, by name."""
        splits = part_splits(self._workspace, part, self._splitting)
        rows = self._workspace.read(VIDEOS_FOLDER, part, VIDEOS, ["video_id", "license"]).to_pylist()
        licenses = {row["video_id"]: row["license"] for row in rows}
        videos = []
        for name, clips in sorted(read_embeddings(self._workspace, self._model, part).items()):
            means = [_unit(side.astype(np.float32).mean(axis=0)) for side in (clips.audio, clips.visual)]
            is_licensed = not self._licenses or licenses[name] in self._licenses
            num_good = int((clips.scores >= np.float32(self._min_score)).sum())
            vector = (np.concatenate(means) / np.sqrt(2)).astype(np.float16)
            videos.append(Video(name, part, splits[name], is_licensed, num_good, vector))
        return videos


def find_duplicates(workspace: Workspace, name: str, model: str, videos: Iterable[Video], similarity: float) -> None:
    """Write `duplicates/<name>/<part>` for every part of `scores/<model>` that has none yet.

    Args:
        workspace: where everything lies.
        name: of the selection.
        model: whose scores.
        videos: of all parts, also of those that were compared before, in any order.
        similarity: cosine from which two clips are one.
    Raises:
        ConfigError: random videos resemble one another as much: the embeddings cannot tell videos apart.
    """
    folder = f"duplicates/{name}"
    compared = set(workspace.parts(folder))
    known = {row["video_id"]: row for row in workspace.read_all(folder, DUPLICATES).to_pylist()}
    ordered = sorted(videos, key=lambda video: video.video_id)
    shared = _compare(workspace, model, ordered, similarity, compared)
    rows = _rows(ordered, shared, compared, known)
    for part in workspace.pending(f"scores/{model}", folder):
        workspace.commit(folder, part, from_rows(rows.get(part, []), DUPLICATES, part), DUPLICATES)


def _compare(
    workspace: Workspace, model: str, videos: list[Video], similarity: float, compared: set[str]
) -> dict[tuple[int, int], float]:
    """The share of clips in common of each pair of videos (numbers of `videos`) that are one."""
    if not videos:
        return {}
    vectors = np.stack([video.vector for video in videos])
    _check_resemblance(vectors, similarity, model)
    is_old = np.array([video.part in compared for video in videos])
    pairs = near_pairs(vectors, similarity - MEAN_SLACK)
    pairs = pairs[~is_old[pairs].all(axis=1)]
    clips: dict[str, Clips] = {}
    wanted = {videos[number].video_id for number in np.unique(pairs)}
    for part in sorted({videos[number].part for number in np.unique(pairs)}):
        found = read_embeddings(workspace, model, part)
        clips |= {name: found[name] for name in found.keys() & wanted}
    shares = {
        (int(a), int(b)): shared_fraction(clips[videos[a].video_id], clips[videos[b].video_id], similarity)
        for a, b in pairs
    }
    return {pair: share for pair, share in shares.items() if share >= MIN_SHARED}


@dataclasses.dataclass(frozen=True, slots=True)
class Clips:
    """The scored clips of one video: [k, D] float16 unit embeddings, and [k] scores."""

    audio: np.ndarray
    visual: np.ndarray
    scores: np.ndarray


def read_embeddings(workspace: Workspace, model: str, part: str) -> dict[str, Clips]:
    """The scored clips of each video of a part."""
    columns = ["clip_id", "video_id", "score", "audio_embedding", "visual_embedding"]
    table = workspace.read(f"scores/{model}", part, SCORES, columns).sort_by("clip_id")
    names = np.array(table["video_id"].to_pylist())
    audio, visual = (_matrix(table[f"{side}_embedding"]) for side in ("audio", "visual"))
    scores = table["score"].to_numpy()
    return {
        str(name): Clips(audio[names == name], visual[names == name], scores[names == name])
        for name in np.unique(names)
    }


def shared_fraction(first: Clips, second: Clips, similarity: float) -> float:
    """The share of the shorter video's clips that have a counterpart in the other: alike in sound and in picture."""
    sound = first.audio.astype(np.float32) @ second.audio.astype(np.float32).T
    picture = first.visual.astype(np.float32) @ second.visual.astype(np.float32).T
    alike = np.minimum(sound, picture) >= similarity
    return float(alike.any(axis=1).mean() if len(first.audio) <= len(second.audio) else alike.any(axis=0).mean())


def _rows(
    videos: list[Video], shared: dict[tuple[int, int], float], compared: set[str], known: dict[str, dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Rows of `DUPLICATES` by part, of the videos that are new."""
    closest: dict[int, tuple[float, int]] = {}
    for (a, b), share in sorted(shared.items()):
        for one, other in ((a, b), (b, a)):
            if share > closest.get(one, (0.0, 0))[0]:
                closest[one] = (share, other)
    number_of = {video.video_id: number for number, video in enumerate(videos)}
    links = [*shared, *((number_of[name], number_of[row["group_id"]]) for name, row in known.items())]
    rows: dict[str, list[dict[str, Any]]] = {}
    for group in _connected(links):
        new = [number for number in group if videos[number].part not in compared]
        # an old video without a row was alone when its part was decided: it names its group, and stays its best
        old = [
            known.get(video.video_id, {"group_id": video.video_id, "split": video.split, "is_best": True})
            for video in (videos[number] for number in group)
            if video.part in compared
        ]
        by_itself = {"group_id": videos[group[0]].video_id, "split": group_split(videos[n].split for n in group)}
        facts = min(old, key=lambda row: row["group_id"], default=by_itself)
        standing = [number for number in new if videos[number].split == facts["split"]]
        if any(row["is_best"] for row in old):
            standing = []
        best = max(standing, key=lambda n: (videos[n].is_licensed, videos[n].num_good, -n), default=None)
        for number in new:
            share, other = closest[number]
            row = {"video_id": videos[number].video_id, "group_id": facts["group_id"], "split": facts["split"]}
            row |= {"is_best": number == best, "like_video_id": videos[other].video_id, "shared_fraction": share}
            rows.setdefault(videos[number].part, []).append(row)
    return rows


def _connected(links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Numbers that links join, directly or through others: each group in order, the groups by their first."""
    root: dict[int, int] = {}

    def find(number: int) -> int:
        while root.setdefault(number, number) != number:
            root[number] = number = root[root[number]]
        return number

    for a, b in links:
        low, high = sorted((find(a), find(b)))
        root[high] = low
    groups: dict[int, list[int]] = {}
    for number in sorted(root):
        groups.setdefault(find(number), []).append(number)
    return list(groups.values())


def _check_resemblance(vectors: np.ndarray, similarity: float, model: str) -> None:
    """Refuse embeddings with which most of the corpus would be one video."""
    if len(vectors) < MIN_VIDEOS:
        return
    first, second = np.random.default_rng(0).integers(len(vectors), size=(2, 10_000))
    pairs = np.stack([first, second], axis=1)[first != second]
    share = float((cosines(vectors, pairs) >= similarity).mean())
    if share > MAX_RESEMBLING:
        raise ConfigError(
            f"filtering.duplicate_similarity = {similarity}: {share:.0%} of random pairs of videos are that similar to "
            f"the model `{model}`, expected at most {MAX_RESEMBLING:.0%}. Set it higher, train the model for longer, "
            "or look for no duplicates (none)."
        )


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    """[n, D] float16 from a list column."""
    values = column.combine_chunks().flatten().to_numpy()
    return values.reshape(len(column), -1) if len(column) else np.zeros((0, 1), np.float16)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
