"""Kept clips as a listing for other tools: which they are, of which video and seconds, and where their bytes lie.

A part of clips is read at a time, so the listing of millions takes the memory of one. Rows are in the order of the
parts and of their tars: same clips, same listing. What another tool adds to its rows is taken in by `clip_id`.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError, DataError
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS

_COLUMNS = {
    "clip_id": (pa.string(), "the clip"),
    "video_id": (pa.string(), "the video it was cut from"),
    "uri": (pa.string(), "path or s3:// address of the video"),
    "tar": (pa.string(), "path or s3:// address of the tar that holds the clip"),
    "key": (pa.string(), "the clip's key there: its members are <key>.flac, <key>.0.jpg, ..., <key>.json"),
    "tar_offset": (pa.int64(), "where its first tar header begins, in bytes"),
    "tar_bytes": (pa.int64(), "bytes from there to the end of its last member"),
    "start_s": (pa.float64(), "start of the clip on the video's clock"),
    "end_s": (pa.float64(), "its end there"),
}
LISTING = pa.schema([pa.field(name, kind, metadata={"doc": doc}) for name, (kind, doc) in _COLUMNS.items()])
PATH = pa.field("path", pa.string(), metadata={"doc": "the clip as a file of its own; null if it is damaged"})
OWN = (*LISTING.names, PATH.name)
"""Columns that a listing may have by itself: a file with all of LISTING is one, and these say nothing new."""


def list_clips(workspace: Workspace, spec: str, selection: str | None = None) -> Iterator[tuple[str, pa.Table]]:
    """Each part of clips with its rows of LISTING, also where it has none.

    Args:
        spec: clip spec of the clips.
        selection: only what this selection keeps; a selection is of the spec base.
    Raises:
        ConfigError: no clip was cut, or there is no such selection.
        DataError: a part is damaged, or does not belong to the others.
    """
    if selection is not None and f"clips/{spec}" != CLIPS_FOLDER:
        raise ConfigError(f"selection {selection}: selections are of {CLIPS_FOLDER}, expected no other clips.")
    parts = workspace.require(f"clips/{spec}")
    decided = set(workspace.require(f"selections/{selection}")) if selection is not None else set(parts)
    for part in parts:
        if part not in decided:
            raise ConfigError(
                f"selection {selection}: part {part} was cut after it was made: expected one that has decided on all."
            )
    return ((part, _list_part(workspace, spec, part, selection)) for part in parts)


def _list_part(workspace: Workspace, spec: str, part: str, selection: str | None) -> pa.Table:
    columns = ["clip_id", "video_id", "start_s", "duration_s", "tar_offset", "tar_bytes", "outcome"]
    clips = workspace.read(f"clips/{spec}", part, CLIPS, columns)
    clips = clips.filter(pc.equal(clips["outcome"], "kept")).sort_by("tar_offset")
    if selection is not None:
        decided = workspace.read(f"selections/{selection}", part, SELECTIONS, ["clip_id", "kept"])
        clips = clips.filter(pc.is_in(clips["clip_id"], decided.filter(decided["kept"])["clip_id"]))
    videos = workspace.read(f"videos/{spec}", part, VIDEOS, ["video_id", "uri"])
    places = pc.index_in(clips["video_id"], videos["video_id"])
    if places.null_count:
        uri = workspace.part_uri(f"videos/{spec}", part)
        raise DataError(f"{uri}: lacks a video that clips of the part are of. Cut the part again.")
    starts = clips["start_s"].to_numpy()
    found = {name: clips[name] for name in ("clip_id", "video_id", "tar_offset", "tar_bytes", "start_s")} | {
        "uri": videos["uri"].take(places),
        "tar": pa.array([workspace.tar_uri(f"clips/{spec}", part)] * len(clips), pa.string()),
        "key": clips["clip_id"],
        "end_s": pa.array(np.round(starts + clips["duration_s"].to_numpy(), 6)),
    }
    return pa.table([found[name] for name in LISTING.names], LISTING)
