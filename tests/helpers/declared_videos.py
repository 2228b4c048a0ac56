"""Rows that cutting and filtering leave of videos that a collection declares something of, and what comes later."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.clips.copies import find_copies
from pipeline.clips.cut_videos import cut_parts
from pipeline.clips.declaring import Changes, apply_declared
from pipeline.collection.collecting import Planned
from pipeline.rights.statements import Statement, combine
from pipeline.rights.training_entries import read_training_entries
from pipeline.storage.layout import COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.selections import SELECTIONS
from schemas.videos import COLLECTION, DECLARED, VIDEOS


def apply(workspace: Workspace, planned: Planned | None = None) -> Changes:
    """What `earshot shard` does after it has planned; without a plan, of files that are as they were when cut."""
    copies = find_copies(workspace, cut_parts(workspace))
    if planned is None:
        return apply_declared(workspace, copies)
    return apply_declared(workspace, copies, planned.other_files, planned.moved_files)


def cut(
    workspace: Workspace,
    specs: tuple[str, ...] = ("base", "events"),
    hashes: Mapping[str, str] | None = None,
    can_read: bool = True,
) -> None:
    """The rows that cutting leaves of the parts that lack them, whether or not the videos can be read."""
    for part in workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER):
        rows = []
        for video in workspace.read(COLLECTION_FOLDER, part, COLLECTION).to_pylist():
            rights = Statement(video["rights"], video["rights_from"])
            if can_read:
                rights = combine([rights, read_training_entries(Path(video["uri"]))])
            row = {name: video[name] for name in ("video_id", "uri", *DECLARED)} | {"part": part, "num_clips": 1}
            row |= {"outcome": "kept", "rights": rights.rights, "rights_from": rights.read_from}
            rows.append(row | {"content_hash": (hashes or {}).get(Path(video["uri"]).stem)})
        for spec in specs:
            workspace.commit(f"videos/{spec}", part, from_rows(rows, VIDEOS, part), VIDEOS)


def select(workspace: Workspace, name: str = "s") -> None:
    """A selection that keeps a clip of each video."""
    for part in workspace.parts(VIDEOS_FOLDER):
        videos = workspace.read(VIDEOS_FOLDER, part, VIDEOS, ["video_id"])["video_id"].to_pylist()
        rows = [
            {"clip_id": f"{video}_00000000", "video_id": video, "part": part, "kept": True, "reason": "kept"}
            | {"split": "train", "unique_s": 5.0, "label": "on_screen"}
            for video in videos
        ]
        workspace.commit(f"selections/{name}", part, from_rows(rows, SELECTIONS, part), SELECTIONS)
