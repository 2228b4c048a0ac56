"""Proof that nothing a model trains on comes back in its evaluation: every video, and every group of uploads of the
same content, is in one split, wherever the workspace uses its clips.

Looked at are the clips that a stage may draw: of each selection the kept ones and the labelled ones (`load_clips`), the
frozen mixtures, the materialized shards. Memory holds one word per video, not per clip.
"""

import dataclasses
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.artifacts import Workspace
from pipeline.errors import DataError
from schemas.duplicates import DUPLICATES
from schemas.materialized import MATERIALIZED
from schemas.mixtures import MIXTURES
from schemas.selections import SELECTIONS, VIDEO_REASONS


@dataclasses.dataclass(frozen=True, slots=True)
class Audit:
    """What was looked at, and found to be in one split each."""

    num_videos: int
    num_groups: int
    """Groups of near-duplicate videos, of all selections."""
    num_uses: int
    """Pairs of a video and a part that uses it."""

    def __str__(self) -> str:
        return (
            f"{self.num_videos} videos, {self.num_groups} groups of duplicates, {self.num_uses} uses: "
            "none in two splits"
        )


def audit(workspace: Workspace) -> Audit:
    """Check every use of every video.

    Raises:
        DataError: a video, or a group of duplicates, is in two splits; the message names both places.
    """
    group_of: dict[str, dict[str, str]] = {}  # by selection: two of them may group differently
    for selection in _names(workspace, "duplicates"):
        rows = workspace.read_all(f"duplicates/{selection}", DUPLICATES, ["video_id", "group_id"])
        group_of[selection] = dict(zip(rows["video_id"].to_pylist(), rows["group_id"].to_pylist(), strict=True))
    groups = {(selection, group) for selection, found in group_of.items() for group in found.values()}
    num_uses = 0
    seen: dict[str, tuple[str, str]] = {}
    seen_groups: dict[str, tuple[str, str]] = {}
    for selection, place, video, split in _uses(workspace):
        num_uses += 1
        _once(seen, video, split, place, f"video {video}")
        group = group_of.get(selection, {}).get(video, video)
        if (selection, group) in groups:
            _once(seen_groups, f"{selection} {group}", split, place, f"the group of duplicates {group}")
    return Audit(len(seen), len(groups), num_uses)


def _once(seen: dict[str, tuple[str, str]], name: str, split: str, place: str, what: str) -> None:
    """Note the split of `name`, unless it is in another one already."""
    found, where = seen.setdefault(name, (split, place))
    if found != split:
        raise DataError(
            f"{what}: {found} in {where}, {split} in {place}. What one model trains on would evaluate another, or "
            "itself. Make all of a workspace with the same --set splitting and duplicate_similarity, each part once."
        )


def _uses(workspace: Workspace) -> Iterator[tuple[str, str, str, str]]:
    """(selection, part, video, split), each once."""
    for selection in _names(workspace, "selections"):
        columns = ["video_id", "split", "kept", "label", "reason"]
        for place, rows in _parts(workspace, f"selections/{selection}", SELECTIONS, columns):
            is_drawn = pc.or_(rows["kept"], pc.and_(pc.is_valid(rows["label"]), _may_be_drawn(rows["reason"])))
            for video, split in _distinct(rows.filter(is_drawn)):
                yield selection, place, video, split
    for name in _names(workspace, "mixtures"):
        inputs = workspace.stage(f"mixtures/{name}")["inputs"]
        selection = next(folder.partition("/")[2] for folder in inputs if folder.startswith("selections/"))
        columns = ["first_clip_id", "sound_clip_id", "second_clip_id", "split"]
        for place, rows in _parts(workspace, f"mixtures/{name}", MIXTURES, columns):
            for column in columns[:3]:
                clips = rows.filter(pc.is_valid(rows[column]))
                videos = pc.replace_substring_regex(clips[column], "_[0-9]+$", "")  # clip_id: <video_id>_<ms>
                for video, split in _distinct(pa.table({"video_id": videos, "split": clips["split"]})):
                    yield selection, place, video, split
    for selection in _names(workspace, "materialized"):
        for place, rows in _parts(workspace, f"materialized/{selection}", MATERIALIZED, ["video_id", "split"]):
            for video, split in _distinct(rows):
                yield selection, place, video, split


def _may_be_drawn(reasons: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.invert(pc.is_in(reasons, pa.array(VIDEO_REASONS)))


def _parts(workspace: Workspace, folder: str, schema: pa.Schema, columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
    for part in workspace.parts(folder):
        yield f"{folder}/{part}", workspace.read(folder, part, schema, columns)


def _distinct(rows: pa.Table) -> Iterator[tuple[str, str]]:
    """Each (video_id, split) of the rows once."""
    found = rows.group_by(["video_id", "split"], use_threads=False).aggregate([])
    yield from zip(found["video_id"].to_pylist(), found["split"].to_pylist(), strict=True)


def _names(workspace: Workspace, kind: str) -> list[str]:
    """What stands side by side in a folder of the workspace: the names of selections, of mixtures, and so on."""
    uri = workspace.uri(kind)
    return sorted({storage.relative(entry.uri, uri).partition("/")[0] for entry in storage.list_files(uri)})
