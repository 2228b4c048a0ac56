"""What is declared of the rights in videos, carried to those that are cut already: an opt-out may come later.

In: the tables `collection`, which has what was declared last, and `videos`. Out: rows of `videos` that agree with it.
A video's rights are what the collection and its file say (`pipeline/rights/statements.py`); where they refuse nothing
and a video of the same bytes is refused, so is this one. Nothing is cut anew. Clips of videos that changed leave every
selection at once, as RIGHTS_CHANGED, until it is decided again: no learner draws them meanwhile.

Design note: the two tables are compared whole, each time, instead of passing on what has changed. A run that was killed
between them needs no note of where it was, and the rows are the same whatever came before.
"""

import collections
import contextlib
import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clips.copies import find_copies
from pipeline.clips.cut_videos import cut_specs
from pipeline.errors import DataError
from pipeline.rights.statements import Statement, combine
from pipeline.rights.training_entries import TOO_MANY, read_entries, read_training_entries
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER
from pipeline.storage.locking import claim
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.selections import RIGHTS_CHANGED, SELECTIONS
from schemas.videos import COLLECTION, DECLARED, VIDEOS

NUM_READERS = 16  # parts read at once: an object store answers in 30 ms
WITHDRAWN = "withdrawn"  # what a selection's record of it is named
OF_FILES, OF_COPIES = (
    ("file ", "file,"),
    "copy ",
)  # begin rights_from of statements that no column of the collection makes
MAX_REMOTE_BOXES = 200  # of a file in an object store, which has a request for each: six seconds
Columns = dict[str, Any]  # values by the names of DECLARED


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A video of which something else is declared than its row said."""

    uri: str
    before: Columns
    now: Columns
    selections: tuple[str, ...] = ()
    """Names of those that kept clips of it until then."""

    @property
    def what(self) -> str:
        """Its rights now where they are others, else the first column that is other."""
        changed = [name for name in ("rights", *DECLARED) if self.before[name] != self.now[name]]
        return self.now["rights"] if changed[0] == "rights" else changed[0]


@dataclasses.dataclass(slots=True)
class _Video:
    """What the tables say of one video."""

    part: str
    uri: str
    size_bytes: int | None
    rows: list[Columns]
    """Of `videos`, one for each clip spec."""
    collection: Columns


def apply_declared(workspace: Workspace, other_files: Mapping[str, tuple[str, int]]) -> list[Change]:
    """Make the rows of `videos` agree with what is declared; return what changed, in the order of parts and rows.

    Args:
        other_files: address and size in bytes of each file that is another than when its video was cut, by video_id.
            What such a file refuses counts: it is what its owner publishes now.
    Raises:
        ConfigError: another command is at work on a selection that has clips of such a video; nothing is changed then.
    """
    specs = cut_specs(workspace)
    copies = {
        copy.video_id: number for number, group in enumerate(find_copies(workspace, list(specs))) for copy in group
    }
    wanted = copies.keys() | other_files.keys()
    with ThreadPoolExecutor(NUM_READERS) as pool:
        found = pool.map(lambda part: list(_read(workspace, part, specs[part], wanted)), specs)
        videos = dict(itertools.chain.from_iterable(found))
        own = dict(zip(videos, pool.map(lambda name: _own(videos[name], other_files.get(name)), videos), strict=True))
    refused: dict[int, Statement] = {}
    for video_id in sorted(copies.keys() & videos, key=lambda name: (int(videos[name].part), name)):
        if own[video_id].rights == "no_train":
            first = Statement("no_train", f"{OF_COPIES}{video_id}, {own[video_id].read_from}")
            refused.setdefault(copies[video_id], first)
    changes: dict[str, Change] = {}
    by_part: dict[str, dict[str, Columns]] = collections.defaultdict(dict)
    for video_id, video in videos.items():
        rights = own[video_id]
        if rights.rights != "no_train":
            rights = refused.get(copies.get(video_id, -1), rights)
        now = video.collection | {"rights": rights.rights, "rights_from": rights.read_from}
        if others := [row for row in video.rows if row != now]:
            changes[video_id] = Change(video.uri, others[0], now)
            by_part[video.part][video_id] = now
    with contextlib.ExitStack() as claimed:
        selections = [f"selections/{name}" for name in workspace.names("selections")] if by_part else []
        places = {name: sorted(by_part.keys() & workspace.parts(name)) for name in selections}
        for name in (name for name, parts in places.items() if parts):
            claimed.enter_context(claim(workspace, name))
        for name, parts in places.items():
            for part in parts:
                for video_id in _refuse(workspace, name, part, list(by_part[part])):
                    change = changes[video_id]
                    kept_by = (*change.selections, name.partition("/")[2])
                    changes[video_id] = dataclasses.replace(change, selections=kept_by)
        for part, rows in by_part.items():
            for spec in specs[part]:
                _write(workspace, f"videos/{spec}", part, rows)
    return list(changes.values())


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
            yield video_id, _Video(part, uri, size_bytes, rows, row)


def _own(video: _Video, other_file: tuple[str, int] | None) -> Statement:
    """What the collection and the file say of a video, whatever copies there are."""
    said = Statement(video.collection["rights"], video.collection["rights_from"])
    before = [Statement(row["rights"], row["rights_from"]) for row in video.rows]
    of_file = [statement for statement in before if (statement.read_from or "").startswith(OF_FILES)]
    own = combine([said, *of_file])
    if own.rights == "no_train":
        return own
    hidden = [
        statement
        for statement in before
        if statement.rights == "no_train" and not (statement.read_from or "").startswith(OF_COPIES)
    ]
    if hidden:  # the column refuses no longer; whether the file does was not written down then
        found = _read_file(*(other_file or (video.uri, video.size_bytes)))
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


def read_withdrawn(workspace: Workspace, selection: str) -> list[str]:
    """Ids of the videos of which a selection kept clips before their declared rights changed: models made of it until
    then may have learnt from them."""
    uri = workspace.record_uri(selection, WITHDRAWN)
    return json.loads(files.read_bytes(uri)) if files.exists(uri) else []


def _refuse(workspace: Workspace, selection: str, part: str, video_ids: list[str]) -> set[str]:
    """Take the clips of videos out of a part of a selection, until it is decided anew; remember and return of which
    some were kept, also by a run that was killed after this."""
    table = workspace.read(selection, part, SELECTIONS)
    is_theirs = pc.is_in(table["video_id"], pa.array(video_ids, pa.string()))
    kept = set(table.filter(pc.and_(is_theirs, table["kept"]))["video_id"].to_pylist())
    if kept - set(known := read_withdrawn(workspace, selection)):
        names = json.dumps(sorted(kept.union(known)), indent=1)
        files.commit_bytes(workspace.record_uri(selection, WITHDRAWN), names.encode())
    waits = pc.or_(table["kept"], pc.equal(table["reason"], RIGHTS_CHANGED))
    left = set(table.filter(pc.and_(is_theirs, waits))["video_id"].to_pylist())
    for name, value in (("kept", False), ("reason", RIGHTS_CHANGED), ("unique_s", None)):
        field = SELECTIONS.field(name)
        changed = pc.if_else(is_theirs, pa.scalar(value, field.type), table[name])
        table = table.set_column(table.schema.get_field_index(name), field, changed)
    workspace.commit(selection, part, table, SELECTIONS)
    return left & set(known).union(kept)


def _write(workspace: Workspace, videos: str, part: str, now: Mapping[str, Columns]) -> None:
    """Put what is declared of videos into their rows of a part."""
    rows = [row | now.get(row["video_id"], {}) for row in workspace.read(videos, part, VIDEOS).to_pylist()]
    workspace.commit(videos, part, from_rows(rows, VIDEOS, part), VIDEOS)
