"""Tombstones: what a workspace remembers of videos that were taken down, so that no later run brings them back.

One file for each takedown, `tombstones/00000.json`: the reason, when it began and ended, and of each video its id, its
address and the hash of its bytes. It is written before anything is removed and marked as finished after everything is,
so a takedown that was stopped shows, and the same command goes on with it.
"""

import json
from typing import Any, NamedTuple

from pipeline.errors import ConfigError
from pipeline.storage import files
from pipeline.storage.layout import TOMBSTONES
from pipeline.storage.locking import holder
from pipeline.storage.workspace import Workspace

COLUMNS = ("video_id", "uri", "content_hash")


class TakenDown(NamedTuple):
    """By what a video that was taken down is recognised when a collection brings it again."""

    video_ids: frozenset[str] = frozenset()
    uris: frozenset[str] = frozenset()
    content_hashes: frozenset[str] = frozenset()
    """sha256 of their files, in hex: a copy under another name has the same."""

    def has(self, video_id: str, uri: str) -> bool:
        """Whether a video of a listing is one of them."""
        return video_id in self.video_ids or uri in self.uris


def read_tombstones(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """What each tombstone holds, by its name such as 00000, the first first."""
    folder, found = workspace.uri(TOMBSTONES), {}
    for entry in files.list_files(folder):
        name = files.relative(entry.uri, folder).removesuffix(".json")
        found[name] = json.loads(files.read_bytes(entry.uri))
    return found


def taken_down(workspace: Workspace) -> TakenDown:
    """All videos that were taken down from a workspace."""
    videos = [video for found in read_tombstones(workspace).values() for video in found["videos"]]
    columns = (frozenset(filter(None, (video[name] for video in videos))) for name in COLUMNS)
    return TakenDown(*columns)


def write_tombstone(workspace: Workspace, name: str, content: dict[str, Any]) -> None:
    """Put a tombstone in place, in one atomic step."""
    data = json.dumps(content, indent=1, sort_keys=True).encode()
    files.commit_bytes(workspace.uri(TOMBSTONES, f"{name}.json"), data)


def check_finished(workspace: Workspace) -> None:
    """Refuse to work on a root where a takedown is at work, or was stopped half way: tables and tars may not fit each
    other, and rows of the videos that are written now would stay.

    Raises:
        ConfigError: there is one; the topic is `takedown` where it was stopped.
    """
    if found := holder(workspace, TOMBSTONES):
        raise ConfigError(
            f"{workspace.uri(TOMBSTONES)}: process {found.get('pid')} on {found.get('host')!r} takes videos down since "
            f"{found.get('since')}, and nothing else may be at work. Wait until it has ended."
        )
    for name, found in read_tombstones(workspace).items():
        if "finished" not in found:
            raise ConfigError(
                f"{workspace.uri(TOMBSTONES, name)}.json: a takedown of {len(found['videos'])} videos began at "
                f"{found['begun']} and has not ended.",
                "takedown",
                root=workspace.root,
            )
