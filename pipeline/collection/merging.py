"""Rows of a table or list -> its videos: rows of one resolved address are one video with several spans.

Rows of a video may leave open what another row gives. Rows that contradict each other are refused, both named.
"""

import array
import dataclasses
import hashlib
import json
import math
import posixpath
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.collection.addresses import Resolver, is_relative
from pipeline.errors import ConfigError
from pipeline.rights.statements import NOTHING, Statement, combine
from pipeline.storage import files
from schemas.videos import SPLITS, CollectionRow, Span

TEXTS = ("license", "author", "split")
MAX_VALUES = 10  # of one other column, that the rows of a video may have


@dataclasses.dataclass(slots=True)
class Listed:
    """One video, merged from its rows of a table."""

    video_id: str
    uri: str
    texts: list[str | None]
    """Of each of TEXTS."""
    spelling: str = ""
    """Its address as its first row has it."""
    is_named: bool = False
    """Whether a row gives it a video_id."""
    wheres: list[str] = dataclasses.field(default_factory=list)
    """Where its id and each of its texts were first given."""
    source_url: str | None = None
    """Page that it is from, as its first row that gives one has it: pages may name a place within the video."""
    statement: Statement = NOTHING
    """Whether it may be used for training, by all of its rows."""
    extra: str | None = None
    """JSON: for each other column that has a value, the list of its different values."""
    spans: array.array | None = dataclasses.field(default_factory=lambda: array.array("d"))
    """start, end, start, end, ... in seconds, infinity for the video's end. None: the whole video."""

    def add_span(self, span: tuple[float, float] | None) -> None:
        """Add the span of another row; None is the whole video, which contains every span."""
        if span is None or self.spans is None:
            self.spans = None
        else:
            self.spans.extend(span)

    def add_extra(self, columns: dict[str, Any]) -> set[str]:
        """Add the other columns of another row: where rows differ, up to MAX_VALUES values stay, in order.

        Returns:
            Columns that have more of them now, so that they describe spans, not the video: they are left out.
        """
        if not columns:
            return set()
        values: dict[str, list[Any] | None] = json.loads(self.extra or "{}")
        left_out = set()
        for name, value in columns.items():
            found = values.setdefault(name, [])
            if found is not None and value not in found:
                values[name] = [*found, value] if len(found) < MAX_VALUES else None
                left_out |= {name} if len(found) == MAX_VALUES else set()
        self.extra = json.dumps(values, sort_keys=True, ensure_ascii=False)
        return left_out

    def row(self, size_bytes: int | None = None, revision: str | None = None) -> CollectionRow:
        """The video's row of the collection, its spans each once and in order."""
        license, author, split = self.texts
        spans: list[Span] | None = None
        if self.spans is not None:
            pairs = sorted(set(zip(self.spans[::2], self.spans[1::2], strict=True)))
            spans = [{"start_s": start_s, "end_s": None if end_s == math.inf else end_s} for start_s, end_s in pairs]
        return {
            "video_id": self.video_id,
            "uri": self.uri,
            "size_bytes": size_bytes,
            "revision": revision,
            "license": license,
            "author": author,
            "source_url": self.source_url,
            "rights": self.statement.rights,
            "rights_from": self.statement.read_from,
            "split": split,
            "extra": _merged(self.extra),
            "spans": spans,
        }


def _merged(extra: str | None) -> str | None:
    """The JSON object of a video's other columns: a list for a column in which its rows differ."""
    if extra is None:
        return None
    values = {name: found[0] if len(found) == 1 else found for name, found in json.loads(extra).items() if found}
    return json.dumps(values, sort_keys=True, ensure_ascii=False) if values else None


def video_id(relative: str) -> str:
    """A stable id of at most 41 characters: the readable stem, and 12 hex digits of sha256 of the relative address.

    >>> video_id("holiday/Dog barks.mp4")
    'dog_barks-769c3886ca83'
    """
    stem = posixpath.splitext(posixpath.basename(relative))[0]
    readable = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:28] or "video"
    return f"{readable}-{hashlib.sha256(relative.encode()).hexdigest()[:12]}"


def group_list(
    rows: Iterable[tuple[str, float, float]], split: str | None, where: str, resolve: Callable[[str], str]
) -> Iterable[Listed]:
    """A list's videos in the order in which they appear first, all in the split that its name says."""
    videos: dict[str, Listed] = {}
    by_uri: dict[str, Listed] = {}
    for address, start_s, end_s in rows:
        video = videos.get(address)
        if video is None:
            check_address(address, where)
            uri = resolve(address)
            video = videos[address] = by_uri.setdefault(uri, Listed(video_id(address), uri, [None, None, split]))
        video.add_span((start_s, end_s))
    return by_uri.values()


def group_table(collection: str, rows: Iterable[tuple[str, dict[str, Any]]], resolve: Resolver) -> Iterable[Listed]:
    """A table's videos in the order in which they appear first.

    Raises:
        ConfigError: a row that cannot be right, or rows of one video that contradict each other.
    """
    videos: dict[str, Listed] = {}  # by resolved address
    named: dict[str, Listed] = {}  # by the id that a row gives
    left_out: set[str] = set()
    for where, row in rows:
        values = [row.get(name) for name in ("uri", "video_id", *TEXTS)]
        address, given, *texts = [None if value is None else str(value) for value in values]
        if address is None:
            raise ConfigError(f"{where}: no uri. Give one, or remove the row.")
        uri = _resolved(address, resolve, where)
        video = videos.get(uri)
        if video is None:
            video = videos[uri] = Listed(video_id(address), uri, [None] * 3, address, wheres=[where] * 4)
        elif address != video.spelling and not video.is_named:  # one id, whichever spelling comes first
            video.video_id = video_id(resolve.relative(uri))
        if given is not None:
            _name(video, given, where, named)
        for place, (name, text) in enumerate(zip(TEXTS, texts, strict=True)):
            if text is not None:
                _agree(video, name, text, video.texts[place], where, video.wheres[place])
                if video.texts[place] is None:
                    video.texts[place], video.wheres[place] = text, where
        if texts[-1] not in (None, *SPLITS):
            raise ConfigError(f"{where}: split `{texts[-1]}`, expected one of {SPLITS}.")
        video.source_url = video.source_url or row.get("source_url")
        if row["statements"]:
            video.statement = combine([video.statement, *row["statements"]])
        video.add_span(_span(row, where))
        left_out |= video.add_extra(row["extra"])
    if left_out:
        names = ", ".join(map(repr, sorted(left_out)))
        print(
            f"{collection}: more than {MAX_VALUES} values of one video, left out: {names}", file=sys.stderr, flush=True
        )
    return videos.values()


def _resolved(address: str, resolve: Resolver, where: str) -> str:
    check_address(address, where)
    return resolve(address)


def _name(video: Listed, given: str, where: str, named: dict[str, Listed]) -> None:
    """Give a video the id of a row.

    Raises:
        ConfigError: it is no id, another row gives it another, or another video has it.
    """
    if not re.fullmatch(r"[a-z0-9_-]{1,100}", given):
        raise ConfigError(f"{where}: video_id {given!r}; expected 1 to 100 of a-z, 0-9, _ and -.")
    _agree(video, "video_id", given, video.video_id if video.is_named else None, where, video.wheres[-1])
    other = named.setdefault(given, video)
    if other is not video:
        raise ConfigError(
            f"{where}: two videos have the id {given}: {other.spelling} and {video.spelling}. The first is in "
            f"{_other_row(other.wheres[-1], where)}."
        )
    if not video.is_named:
        video.video_id, video.is_named, video.wheres[-1] = given, True, where


def _agree(video: Listed, name: str, text: str | None, before: str | None, where: str, where_before: str) -> None:
    if None not in (text, before) and text != before:
        raise ConfigError(
            f"{where}: {name} `{text}`, but `{before}` in {_other_row(where_before, where)}, another row of the same "
            f"video {video.uri}. Give it one {name}."
        )


def _other_row(other: str, where: str) -> str:
    """`row 3`, or with its file where that is another."""
    file, _, row = other.rpartition(", ")
    return row if where.startswith(f"{file}, ") else other


def check_address(address: str, where: str) -> None:
    """Refuse an address of another scheme, without a key, or that leads out of its folder."""
    if "://" in address and not address.startswith(files.SCHEMES):
        raise ConfigError(f"{where}: {address}; expected a path, file:// or s3://.")
    if not files.names_file(address):
        raise ConfigError(f"{where}: {address} lacks a bucket or a key; expected s3://bucket/key.")
    if is_relative(address) and ".." in address.split("/"):
        raise ConfigError(
            f"{where}: {address} leads out of its folder. Give the whole path, or another folder as its media."
        )


def _span(row: dict[str, Any], where: str) -> tuple[float, float] | None:
    """Start and end in seconds, infinity for the video's end; None if the row gives neither."""
    given = [None if row.get(name) in (None, "") else row[name] for name in ("start_s", "end_s")]
    if given == [None, None]:
        return None
    try:
        start_s, end_s = float(given[0] or 0.0), math.inf if given[1] is None else float(given[1])
    except (ValueError, TypeError):
        start_s, end_s = math.nan, math.nan
    if not 0 <= start_s < end_s:
        raise ConfigError(
            f"{where}: start_s = {given[0]}, end_s = {given[1]}; expected two times in seconds, 0 or more, the end "
            "after the start."
        )
    return start_s, end_s
