"""What is declared of the rights in videos, carried to those that are cut already: an opt-out may come later.

In: the tables `collection`, which has what was declared last, and `videos`. Out: rows of `videos` that agree with it.
A video's rights are what the collection and its file say (`pipeline/rights/statements.py`); where they refuse nothing
and a video of the same bytes is refused, so is this one. Nothing is cut anew. Clips of videos that changed leave every
selection at once (`withdrawing.py`).

Design note: the two tables are compared whole, each time, instead of passing on what has changed. A run that was killed
between them needs no note of where it was, and the rows are the same whatever came before.
"""

import collections
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from pipeline.clips.copies import Copy
from pipeline.clips.cut_videos import cut_specs
from pipeline.clips.withdrawing import refuse_clips
from pipeline.errors import DataError
from pipeline.rights.statements import Statement, combine
from pipeline.rights.training_entries import TOO_MANY, read_entries, read_training_entries
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER
from pipeline.storage.locking import claim
from pipeline.storage.workspace import NUM_READERS, Workspace
from schemas.fields import from_rows
from schemas.videos import COLLECTION, DECLARED, VIDEOS

# How `rights_from` begins where no column of the collection says it: the file does, or a copy of it.
FROM_FILE, FROM_COPY = ("file ", "file,"), "copy "
MAX_REMOTE_BOXES = 200  # of a file in an object store, which has a request for each: six seconds
MAX_NAMED = 5
Columns = dict[str, Any]  # values by the names of DECLARED
Files = Mapping[str, tuple[str, int]]  # address and size in bytes, 0 where it is not known, by video_id
NO_FILES: Files = {}
CHANGED = pa.schema([*(VIDEOS.field(name) for name in ("video_id", "uri", *DECLARED)), pa.field("kind", pa.string())])


@dataclasses.dataclass(frozen=True, slots=True)
class Changes:
    """Videos of which something else is declared than their rows said."""

    num_by_kind: Mapping[str, int]
    """Their number by what changed: `train`, `no_train` or `unknown`, their rights now, where these are others, else
    the first column that is other, such as `license`."""
    examples: tuple[tuple[str, str], ...]
    """Address and kind of the first MAX_NAMED of them, in the order of parts and rows."""
    selections: tuple[str, ...]
    """Names of those that kept clips of some of them until then."""

    @property
    def num_videos(self) -> int:
        """How many they are."""
        return sum(self.num_by_kind.values())


@dataclasses.dataclass(slots=True)
class _Video:
    """What the tables say of one video."""

    uri: str
    size_bytes: int | None
    rows: list[Columns]
    """Of `videos`, one for each clip spec."""
    collection: Columns


def apply_declared(
    workspace: Workspace, copies: Sequence[Sequence[Copy]], other_files: Files = NO_FILES, moved_files: Files = NO_FILES
) -> Changes:
    """Make the rows of `videos` agree with what is declared.

    Takes about 300 bytes for each video that changes, and 200 for each that a selection kept clips of.

    Args:
        copies: groups of videos of the same bytes, from `find_copies`.
        other_files: files that are others than when their videos were cut. What such a file refuses counts: it is what
            its owner publishes now.
        moved_files: files that are elsewhere than when their videos were cut.
    Raises:
        ConfigError: another command is at work on a selection that has clips of such a video; nothing is changed then.
    """
    specs = cut_specs(workspace)
    changed = _find_changed(workspace, specs, copies, other_files, moved_files)
    with contextlib.ExitStack() as claimed:
        selections = [f"selections/{name}" for name in workspace.names("selections")] if changed else []
        places = {name: sorted(changed.keys() & workspace.parts(name)) for name in selections}
        for name in (name for name, parts in places.items() if parts):
            claimed.enter_context(claim(workspace, name))
        kept_by = [
            name.partition("/")[2]
            for name, parts in places.items()
            if refuse_clips(workspace, name, {part: changed[part]["video_id"].combine_chunks() for part in parts})
        ]
        for part, table in changed.items():
            for spec in specs[part]:
                _write(workspace, f"videos/{spec}", part, table)
    whole = pa.concat_tables([CHANGED.empty_table(), *changed.values()])
    examples = zip(*(whole[name][:MAX_NAMED].to_pylist() for name in ("uri", "kind")), strict=True)
    return Changes(collections.Counter(whole["kind"].to_pylist()), tuple(examples), tuple(kept_by))


def _find_changed(
    workspace: Workspace,
    specs: Mapping[str, Sequence[str]],
    copies: Sequence[Sequence[Copy]],
    other_files: Files,
    moved_files: Files,
) -> dict[str, pa.Table]:
    """By part, rows of CHANGED: what is declared now of each video of which a row says something else."""
    group_of = {copy.video_id: number for number, group in enumerate(copies) for copy in group}
    refused: dict[int, Statement] = {}  # by group of copies
    refusing: dict[str, Statement] = {}  # videos that are refused by themselves: what was read of them first counts
    wanted = group_of.keys() | other_files.keys()

    def compare(part: str) -> pa.Table:
        videos = dict(_read(workspace, part, specs[part], wanted))
        own = readers.map(
            lambda name: refusing.get(name) or _own(videos[name], other_files.get(name), moved_files.get(name)), videos
        )
        rows = []
        for (video_id, video), rights in zip(videos.items(), own, strict=True):
            if rights.rights == "no_train":
                refusing[video_id] = rights
            else:
                rights = refused.get(group_of.get(video_id, -1), rights)
            now = video.collection | {"rights": rights.rights, "rights_from": rights.read_from}
            if others := [row for row in video.rows if row != now]:
                rows.append({"video_id": video_id, "uri": video.uri, "kind": _kind(others[0], now)} | now)
        return pa.Table.from_pylist(rows, CHANGED)

    with ThreadPoolExecutor(NUM_READERS) as pool, ThreadPoolExecutor(NUM_READERS) as readers:
        changed = dict(zip(specs, pool.map(compare, specs), strict=True))
        for number, group in enumerate(copies):
            if first := next((copy.video_id for copy in group if copy.video_id in refusing), None):
                refused[number] = Statement("no_train", f"{FROM_COPY}{first}, {refusing[first].read_from}")
        again = sorted({copy.part for number in refused for copy in copies[number]})
        changed |= zip(again, pool.map(compare, again), strict=True)
    return {part: table for part, table in changed.items() if len(table)}


def _kind(before: Columns, now: Columns) -> str:
    """What changed of a video, as `Changes` counts it."""
    if before["rights"] != now["rights"]:
        return now["rights"]
    return next(name for name in DECLARED if before[name] != now[name])


def _read(workspace: Workspace, part: str, specs: Sequence[str], wanted: Set[str]) -> Iterator[tuple[str, _Video]]:
    """The videos of a part of which a row differs from the collection, and those that are wanted."""
    collection = workspace.read(COLLECTION_FOLDER, part, COLLECTION, ["video_id", "uri", "size_bytes", *DECLARED])
    tables = [workspace.read(f"videos/{spec}", part, VIDEOS, ["video_id", *DECLARED]) for spec in specs]
    said = collection.drop_columns(["uri", "size_bytes"])
    if wanted.isdisjoint(said["video_id"].to_pylist()) and all(table.equals(said) for table in tables):
        return  # of most parts, in a tenth of the time that rows take
    by_spec = [{row.pop("video_id"): row for row in table.to_pylist()} for table in tables]
    for row in collection.to_pylist():
        video_id, uri, size_bytes = row.pop("video_id"), row.pop("uri"), row.pop("size_bytes")
        rows = [of_spec[video_id] for of_spec in by_spec if video_id in of_spec]
        if rows and (video_id in wanted or any(found != row for found in rows)):
            yield video_id, _Video(uri, size_bytes, rows, row)


def _own(video: _Video, other_file: tuple[str, int] | None, moved_file: tuple[str, int] | None) -> Statement:
    """What the collection and the file say of a video, whatever copies there are."""
    said = Statement(video.collection["rights"], video.collection["rights_from"])
    before = [Statement(row["rights"], row["rights_from"]) for row in video.rows]
    of_file = [statement for statement in before if (statement.read_from or "").startswith(FROM_FILE)]
    own = combine([said, *of_file])
    if own.rights == "no_train":
        return own
    hidden = [
        statement
        for statement in before
        if statement.rights == "no_train" and not (statement.read_from or "").startswith(FROM_COPY)
    ]
    if hidden:  # the column refuses no longer; whether the file does was not written down then
        found = _read_file(*(other_file or moved_file or (video.uri, video.size_bytes)))
        return hidden[0] if found is None else combine([said, found])
    found = None if other_file is None else _read_file(*other_file)
    if found is not None and (found.rights == "no_train" or found == TOO_MANY):
        return combine([own, found])
    return own


def _read_file(uri: str, size_bytes: int | None) -> Statement | None:
    """What the assertions in a file say; None where it cannot be read. An object of a known size is read in pieces."""
    try:
        if not size_bytes or files.store_at(uri).is_local:
            with files.local_copy(uri) as path:
                path.open("rb").close()
                return read_training_entries(path)

        def read(start: int, size: int) -> bytes:
            return files.read_bytes(uri, start, max(0, min(size, size_bytes - start)))

        return read_entries(read, size_bytes, MAX_REMOTE_BOXES)
    except (OSError, DataError):
        return None


def _write(workspace: Workspace, videos: str, part: str, changed: pa.Table) -> None:
    """Put what is declared of videos now, rows of CHANGED, into their rows of a part."""
    columns = ["video_id", *DECLARED]
    now = {row["video_id"]: row for row in changed.select(columns).to_pylist()}
    rows = [row | now.get(row["video_id"], {}) for row in workspace.read(videos, part, VIDEOS).to_pylist()]
    workspace.commit(videos, part, from_rows(rows, VIDEOS, part), VIDEOS)
