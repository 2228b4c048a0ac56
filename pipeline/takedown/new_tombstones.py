"""The tombstone of a takedown: written before anything is removed, with all that is known of its videos by then.

It has their ids, addresses and hashes, their clips with a hash of each sound, the groups of near-duplicates and the
models that had them. The takedown, a repeat of it and the proof find by it what names the videos.
"""

import functools
import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.clips.tars import parse_sample
from pipeline.formatting import format_now
from pipeline.storage import files
from pipeline.storage.tombstones import read_tombstones, write_tombstone
from pipeline.storage.workspace import Workspace
from pipeline.takedown.lessons import lessons
from pipeline.takedown.names import Names
from pipeline.takedown.requests import Request, each_part, read_columns
from pipeline.takedown.row_removal import OF_GROUPS, new_group_names


def add_tombstone(workspace: Workspace, request: Request, reason: str) -> list[str]:
    """Write the tombstone of videos that have none; return the names of all that are to be worked on."""
    tombstones = read_tombstones(workspace)
    known = {row["video_id"] for tombstone in tombstones.values() for row in tombstone["videos"]}
    videos = [row for row in request.videos if row["video_id"] not in known]
    if videos:
        name = f"{max(map(int, tombstones), default=-1) + 1:05d}"
        write_tombstone(workspace, name, _new_content(workspace, videos, request.others, reason))
    return unfinished(workspace)


def reopen_tombstones(workspace: Workspace, wanted: Mapping[str, Any]) -> None:
    """Mark tombstones, given by their name, as those of takedowns that have not ended."""
    for name, tombstone in wanted.items():
        write_tombstone(workspace, name, {key: value for key, value in tombstone.items() if key != "finished"})


def unfinished(workspace: Workspace) -> list[str]:
    """Names of the tombstones whose takedown has not ended."""
    return [name for name, tombstone in read_tombstones(workspace).items() if "finished" not in tombstone]


def find_tombstones(workspace: Workspace, names: Collection[str], request: Request | None) -> dict[str, Any]:
    """The tombstones of these names, and those that have a video of the request, by name."""
    asked = {video["video_id"] for video in request.videos} if request is not None else set()
    return {
        name: tombstone
        for name, tombstone in read_tombstones(workspace).items()
        if name in names or asked & {video["video_id"] for video in tombstone["videos"]}
    }


def names_of(workspace: Workspace, wanted: Mapping[str, Any]) -> Names:
    """What names the videos of some tombstones, given by their name."""
    rows = [row for tombstone in wanted.values() for row in tombstone["videos"]]
    clips = [clip for tombstone in wanted.values() for clip in tombstone["clips"]]
    others = [name for tombstone in wanted.values() for name in tombstone["others"]]
    return Names([row["video_id"] for row in rows], clips, [row["uri"] for row in rows], others)


def sounds_of(wanted: Mapping[str, Any]) -> dict[str, str]:
    """By the hash of its sound each clip of the videos of some tombstones."""
    return {sound: clip for tombstone in wanted.values() for clip, sound in tombstone["clips"].items() if sound}


def hash_sound(members: Mapping[str, bytes]) -> list[str]:
    """A short hash of each sound of a sample."""
    return [hashlib.sha256(data).hexdigest()[:16] for name, data in sorted(members.items()) if name.endswith("flac")]


def _new_content(workspace: Workspace, videos: list[dict[str, Any]], others: list[str], reason: str) -> dict[str, Any]:
    """What a tombstone holds when its takedown begins."""
    names = Names([row["video_id"] for row in videos], (), [row["uri"] for row in videos])
    clips = _clips(workspace, names, {row["part"] for row in videos if row["part"]})
    names = Names(names.video_ids, clips, names.uris, others)
    groups = []
    for partition in (f"duplicates/{name}" for name in workspace.names("duplicates")):
        read = functools.partial(_groups, workspace, partition)
        groups += [table for _, table in each_part(workspace, partition, read)]
    return {
        "reason": reason,
        "begun": format_now(),
        "videos": [{name: row.get(name) for name in ("video_id", "uri", "content_hash")} for row in videos],
        "clips": clips,
        "others": others,
        "groups": new_group_names(groups, names),
        "models": lessons(workspace, names),
        "tars": [],
    }


def _groups(workspace: Workspace, partition: str, part: str) -> pa.Table:
    with files.local_copy(workspace.part_uri(partition, part)) as path, path.open("rb") as file:
        return pq.ParquetFile(file).read(columns=["video_id", *OF_GROUPS[:2]], use_threads=False)


def _clips(workspace: Workspace, names: Names, parts: set[str]) -> dict[str, str | None]:
    """Every clip of the videos, with a hash of its sound where it is in a tar.

    Args:
        parts: that may have some; all, if empty.
    """
    found: dict[str, str | None] = {}
    columns = ["video_id", "clip_id"]
    for kind in ("clips", "features"):
        for spec in workspace.names(kind):
            stage = f"{kind}/{spec}"
            for part in workspace.parts(stage):
                if parts and part not in parts:
                    continue
                table = read_columns(workspace, stage, part, columns)
                is_theirs = names.are_videos(table["video_id"].combine_chunks())
                ids = table.filter(is_theirs)["clip_id"].to_pylist()
                found |= dict.fromkeys((name for name in ids if name not in found), None)
                if kind == "clips" and ids:
                    found |= _sounds(workspace, stage, part, is_theirs)
    return dict(sorted(found.items()))


def _sounds(workspace: Workspace, stage: str, part: str, is_theirs: pa.Array) -> dict[str, str]:
    """A hash of the sound of each kept clip, by clip_id."""
    with files.local_copy(workspace.part_uri(stage, part)) as path, path.open("rb") as file:
        table = pq.ParquetFile(file).read(columns=["tar_offset", "tar_bytes"], use_threads=False)
    uri, found = workspace.tar_uri(stage, part), dict[str, str]()
    for row in table.filter(is_theirs).to_pylist():
        if row["tar_offset"] is not None and files.exists(uri):
            place = row["tar_offset"], row["tar_bytes"]
            key, members = parse_sample(files.read_bytes(uri, *place), uri, f"offset {place[0]}")
            found[key] = next(iter(hash_sound(members)), "")
    return found
