"""A listing beside the videos that a workspace knows: which are new, which have changed, which are elsewhere.

A video is known by its id, or by its address if it was listed another way.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pipeline.errors import ConfigError
from pipeline.storage.tombstones import TakenDown
from schemas.videos import CollectionRow, Span

NONE = TakenDown()


class Known(NamedTuple):
    """A video as the workspace knows it."""

    part: str
    uri: str
    size_bytes: int | None
    revision: str | None
    spans: int
    """Hash of its spans, valid in this process: the spans of 4.8 M rows would take much memory."""


class Listing:
    """What a listing of the collection has shown so far, beside the videos that are known.

    Args:
        known: the workspace's videos by their id.
        again: ids of those that are retried.
        taken_down: videos that are left out.
    """

    def __init__(self, known: dict[str, Known], again: set[str], taken_down: TakenDown = NONE) -> None:
        self._known, self._again, self._taken_down = known, again, taken_down
        self._id_at = {before.uri: video_id for video_id, before in known.items()}
        self.seen: set[str] = set()
        self.is_related = not known
        self.changed: list[str] = []
        self.num_elsewhere, self.num_taken_down = 0, 0
        self.elsewhere: tuple[str, str] | None = None

    def new_rows(self, videos: Iterable[CollectionRow]) -> Iterator[CollectionRow]:
        """The rows of videos that are new or retried.

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
            if before is None or row["video_id"] in self._again:
                yield row
            else:
                self._compare(before, row)

    def _compare(self, before: Known, row: CollectionRow) -> None:
        """Note what is other of a known video."""
        if before.uri != row["uri"]:
            self.num_elsewhere += 1
            self.elsewhere = self.elsewhere or (before.uri, row["uri"])
        if _has_changed(before, row):
            self.changed.append(row["uri"])


def _has_changed(before: Known, row: CollectionRow) -> bool:
    """Whether a video has other spans, or its file differs in what is known of it both times."""
    pairs: list[tuple[Any, Any]] = [(before.size_bytes, row["size_bytes"])]
    if before.uri == row["uri"]:  # a copy has its own time of change
        pairs.append((before.revision, row["revision"]))
    is_other = any(old != new for old, new in pairs if None not in (old, new))
    return is_other or before.spans != hash_spans(row["spans"])


def hash_spans(spans: list[Span] | None) -> int:
    """A number for the spans of a video, valid in this process."""
    return hash(None if spans is None else tuple((span["start_s"], span["end_s"]) for span in spans))
