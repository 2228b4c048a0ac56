"""A listing beside the videos that a workspace knows: which are new, which have changed, which are elsewhere.

A video is known by its id, or by its address if it was listed another way.

What a listing declares of a known video's rights may be other than before. What it leaves open, such as a licence in a
table that has no such column, stays as it was declared last: only what is said takes the place of what was said.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.storage.growing_tables import GrowingTable
from pipeline.storage.tombstones import TakenDown
from schemas.fields import schema_of
from schemas.videos import COLLECTION, DECLARED, CollectionRow, Span

NONE = TakenDown()
Declared = dict[str, str | None]  # what a collection declares of the rights in a video, by the names of DECLARED
DECLARATIONS = schema_of(COLLECTION, ["video_id", *DECLARED])
# Null where a listing leaves it open. `rights` never is: it counts where `rights_from` is given.
LEFT_OPEN_BY_NULL = ("license", "author", "source_url", "rights_from")


class Known(NamedTuple):
    """A video as the workspace knows it."""

    part: str
    uri: str
    size_bytes: int | None
    revision: str | None
    spans: int
    """Hash of its spans, valid in this process: the spans of 4.8 M rows would take much memory."""
    declared: int
    """Hash of what is declared of it, likewise."""


class Listing:
    """What a listing of the collection has shown so far, beside the videos that are known.

    Args:
        known: the workspace's videos by their id.
        again: what was declared last of those that are retried, by their ids.
        taken_down: videos that are left out.
    """

    def __init__(self, known: dict[str, Known], again: Mapping[str, Declared], taken_down: TakenDown = NONE) -> None:
        self._known, self._again, self._taken_down = known, again, taken_down
        self._id_at = {before.uri: video_id for video_id, before in known.items()}
        self.seen: set[str] = set()
        self.is_related = not known
        self.changed: list[str] = []
        self.other_files: dict[str, tuple[str, int]] = {}
        """Address and size of each of them whose file is another, by its id."""
        self.moved_files: dict[str, tuple[str, int]] = {}
        """Likewise of each video that is elsewhere and of whose rights the listing says something other than a refusal,
        which would count whatever the file says. About 200 bytes each, beside the 600 of a known video."""
        self._declared = GrowingTable(DECLARATIONS, "the collection")
        self.num_elsewhere, self.num_taken_down = 0, 0
        self.elsewhere: tuple[str, str] | None = None

    def declared(self) -> pa.Table:
        """What is declared of known videos and may be other than before: rows of DECLARATIONS."""
        return self._declared.table()

    def new_rows(self, videos: Iterable[CollectionRow]) -> Iterator[CollectionRow]:
        """The rows of videos that are new, as they are listed, or retried.

        Raises:
            ConfigError: two have one id.
        """
        for row in videos:
            if self._taken_down.has(row["video_id"], row["uri"]):
                self.num_taken_down += 1
                continue
            same = self._id_at.get(row["uri"])
            if row["video_id"] not in self._known and same is not None and same not in self.seen:
                row = row | {"video_id": same}  # listed another way: from a table instead of its folder
            if row["video_id"] in self.seen:
                raise ConfigError(f"{row['uri']}: two videos have the id {row['video_id']}. Give this one another.")
            self.seen.add(row["video_id"])
            before = self._known.get(row["video_id"])
            self.is_related = self.is_related or before is not None
            if before is None:
                yield row
            elif row["video_id"] in self._again:
                now = declared_now(self._again[row["video_id"]], declared_of(row))
                yield cast(CollectionRow, row | now)
            else:
                self._compare(before, row)

    def _compare(self, before: Known, row: CollectionRow) -> None:
        """Note what is other of a known video."""
        if before.uri != row["uri"]:
            self.num_elsewhere += 1
            self.elsewhere = self.elsewhere or (before.uri, row["uri"])
            if row["rights_from"] is not None and row["rights"] != "no_train":
                self.moved_files[row["video_id"]] = row["uri"], row["size_bytes"] or 0
        if _has_other_file(before, row):
            self.other_files[row["video_id"]] = row["uri"], row["size_bytes"] or 0
        if row["video_id"] in self.other_files or before.spans != hash_spans(row["spans"]):
            self.changed.append(row["uri"])
        declared = declared_of(row)
        if any(declared[name] is not None for name in LEFT_OPEN_BY_NULL) and before.declared != hash_declared(declared):
            self._declared.add({"video_id": row["video_id"], **declared})


def _has_other_file(before: Known, row: CollectionRow) -> bool:
    """Whether a video's file differs in what is known of it both times."""
    pairs: list[tuple[Any, Any]] = [(before.size_bytes, row["size_bytes"])]
    if before.uri == row["uri"]:  # a copy has its own time of change
        pairs.append((before.revision, row["revision"]))
    return any(old != new for old, new in pairs if None not in (old, new))


def hash_spans(spans: list[Span] | None) -> int:
    """A number for the spans of a video, valid in this process."""
    return hash(None if spans is None else tuple((span["start_s"], span["end_s"]) for span in spans))


def declared_of(row: Mapping[str, Any]) -> Declared:
    """What the row of a video declares."""
    return {name: row[name] for name in DECLARED}


def hash_declared(declared: Declared) -> int:
    """A number for what is declared of a video, valid in this process."""
    return hash(tuple(declared.values()))


def declared_now(before: Declared, listed: Declared) -> Declared:
    """What is declared of a video that was declared before and is listed now; what the listing leaves open stays.

    >>> before = {"license": "CC BY", "author": "ann", "source_url": None, "rights": "train", "rights_from": "a column"}
    >>> listed = {"license": None, "author": "bob", "source_url": None, "rights": "unknown", "rights_from": None}
    >>> declared_now(before, listed)
    {'license': 'CC BY', 'author': 'bob', 'source_url': None, 'rights': 'train', 'rights_from': 'a column'}
    """
    now = {name: listed[name] or before[name] for name in DECLARED}
    return now | {"rights": (listed if listed["rights_from"] else before)["rights"]}
