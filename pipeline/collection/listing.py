"""A collection -> one row per video, each with a stable id.

A collection is a folder, an s3:// prefix, a table or a published clip list. A table is CSV or Parquet with a column
`uri` and optional `video_id`, `start_s`, `end_s`, `license`, `author`, `split`; a list (`published_lists.py`) has path,
start and end. Rows of one address, or of one `video_id`, are one video with several spans.

A video's id depends only on its address below the collection, so it stays when the collection moves. Only hidden files
are left out silently: a link to a folder, a link to nowhere or a pipe is a video that will be `missing`.
"""

import array
import csv
import dataclasses
import hashlib
import itertools
import math
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.collection.published_lists import MEDIA, SPLIT_OF, is_list, read_list
from pipeline.errors import ConfigError
from pipeline.storage import files
from pipeline.storage.workspace import SETTINGS_FILE
from schemas.videos import SPLITS, CollectionRow, Span

TEXTS = ("license", "author", "split")
COLUMNS = ("uri", "video_id", "start_s", "end_s", *TEXTS)
EXPECTED = "Expected a folder of videos, an s3:// prefix, or a .csv or .parquet table with a column `uri`."
BATCH_ROWS = 10_000  # of a Parquet table in memory at once


@dataclasses.dataclass(slots=True)
class _Listed:
    """One video, merged from its rows of a table."""

    video_id: str
    address: str
    texts: list[str | None]
    spans: array.array | None = dataclasses.field(default_factory=lambda: array.array("d"))
    """start, end, start, end, ... in seconds, infinity for the video's end. None: the whole video."""

    def add_span(self, span: tuple[float, float] | None) -> None:
        """Add the span of another row; None is the whole video, which contains every span."""
        if span is None or self.spans is None:
            self.spans = None
        else:
            self.spans.extend(span)

    def row(self, uri: str, size_bytes: int | None = None, revision: str | None = None) -> CollectionRow:
        """The video's row of the collection, its spans each once and in order."""
        license, author, split = self.texts
        spans: list[Span] | None = None
        if self.spans is not None:
            pairs = sorted(set(zip(self.spans[::2], self.spans[1::2], strict=True)))
            spans = [{"start_s": start_s, "end_s": None if end_s == math.inf else end_s} for start_s, end_s in pairs]
        return {
            "video_id": self.video_id,
            "uri": uri,
            "size_bytes": size_bytes,
            "revision": revision,
            "license": license,
            "author": author,
            "split": split,
            "extra": None,
            "spans": spans,
        }


def video_id(relative: str) -> str:
    """A stable id of at most 41 characters: the readable stem, and 12 hex digits of sha256 of the relative address.

    >>> video_id("holiday/Dog barks.mp4")
    'dog_barks-769c3886ca83'
    """
    stem = posixpath.splitext(posixpath.basename(relative))[0]
    readable = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:28] or "video"
    return f"{readable}-{hashlib.sha256(relative.encode()).hexdigest()[:12]}"


def list_videos(collection: str, root: str | None = None, media: str | None = None) -> Iterator[CollectionRow]:
    """One row of `schemas.videos.COLLECTION` per video, in a stable order.

    The call itself finds the first video, so it raises most errors before the caller writes anything. A folder or
    prefix then streams. A table is read once, in batches, but its videos are held: about 500 bytes each, and 16 a span.

    Args:
        collection: a folder, an s3:// prefix, a table or a published list.
        root: of the workspace: if it is inside the collection's folder, its files are no videos. Neither are those of
            other workspaces in a local folder.
        media: folder or s3:// prefix of a table's relative addresses. Default: the table's own folder, and
            s3://multimedia-commons/ for a published list.
    Raises:
        ConfigError: the collection does not exist, is empty, or has a row that cannot be right; the message names it.
    """
    if collection.endswith((".csv", ".parquet")):
        rows = _from_table(collection, media)
    elif media is None:
        rows = _from_files(collection, root)
    else:
        raise ConfigError(f"media {media}: only a table or list has relative addresses, not {collection}. Drop it.")
    first = next(rows, None)
    if first is None:
        if collection.endswith((".csv", ".parquet")):
            raise ConfigError(f"collection {collection}: a table without rows. Expected one row or more per video.")
        raise ConfigError(f"collection {collection}: no files there. {EXPECTED}")
    return itertools.chain([first], rows)


def _from_files(collection: str, root: str | None) -> Iterator[CollectionRow]:
    if not files.store_at(collection).has_folder(collection):
        found = "a file that is no table" if files.exists(collection) else "nothing"
        raise ConfigError(f"collection {collection}: found {found}. {EXPECTED}")
    absolute = files.absolute(collection, follow_links=True)
    if root == absolute:
        raise ConfigError(f"collection {collection}: is the root too. Choose another root, inside it or elsewhere.")
    own = f"{root}/" if root is not None and f"{root}/".startswith(f"{absolute}/") else None
    try:
        if files.exists(files.join(absolute, SETTINGS_FILE)):
            raise ConfigError(
                f"collection {collection}: a workspace, as its {SETTINGS_FILE} says; expected a folder of videos. "
                "Give the one that it was made from."
            )
        for uri, size_bytes, revision in files.list_files(absolute, barred=SETTINGS_FILE):
            relative = files.relative(uri, absolute)
            if (own is None or not uri.startswith(own)) and not posixpath.basename(relative).startswith("."):
                yield _Listed(video_id(relative), uri, [None] * 3, None).row(uri, size_bytes, revision)
    except OSError as error:
        raise ConfigError(f"collection {collection}: cannot be listed ({error}).") from error


def _from_table(uri: str, media: str | None) -> Iterator[CollectionRow]:
    where = f"collection {uri}"
    if not files.exists(uri):
        raise ConfigError(f"{where}: no such file.")
    with files.local_copy(uri) as path:
        if is_list(uri, path):
            media = media or MEDIA
            split = SPLIT_OF.get(posixpath.basename(uri))
            videos = _group_list(read_list(where, uri, path), split, where)
        elif uri.endswith(".parquet"):
            videos = _group_table(_parquet_rows(path, where), where)
        else:
            videos = _group_table(_csv_rows(path, where), where)
    base = files.absolute(media or posixpath.dirname(uri) or ".")
    for video in videos:
        yield video.row(_resolve(video.address, base))


def _group_list(rows: Iterable[tuple[str, float, float]], split: str | None, where: str) -> Iterable[_Listed]:
    """A list's videos in the order in which they appear first, all in the split that its name says."""
    videos: dict[str, _Listed] = {}
    for address, start_s, end_s in rows:
        video = videos.get(address)
        if video is None:
            _check_address(address, where)
            video = videos[address] = _Listed(video_id(address), address, [None, None, split])
        video.add_span((start_s, end_s))
    return videos.values()


def _group_table(rows: Iterable[dict[str, Any]], where: str) -> Iterable[_Listed]:
    """A table's videos in the order in which they appear first.

    Raises:
        ConfigError: a row that cannot be right, or rows of one video that contradict each other.
    """
    videos: dict[str, _Listed] = {}
    for index, row in enumerate(rows):
        row_where = f"{where}, row {index + 1}"
        address, given, *texts = (
            None if row.get(name) in (None, "") else str(row[name]) for name in ("uri", "video_id", *TEXTS)
        )
        if address is None:
            raise ConfigError(f"{row_where}: no uri. Give one, or remove the row.")
        key = given or f"/{address}"  # no id has a slash
        video = videos.get(key)
        if video is None:
            _check_address(address, row_where)
            video = videos[key] = _Listed(_check_id(given, row_where) or video_id(address), address, texts)
        if address != video.address:
            raise ConfigError(f"{row_where}: two videos have the id {given}: {video.address} and {address}.")
        for place, (name, text) in enumerate(zip(TEXTS, texts, strict=True)):
            if text is not None and text != (video.texts[place] or text):
                raise ConfigError(
                    f"{row_where}: {name} `{text}`, but `{video.texts[place]}` in another row of the same video. "
                    "Give it one."
                )
            video.texts[place] = text or video.texts[place]
        if texts[-1] not in (None, *SPLITS):
            raise ConfigError(f"{row_where}: split `{texts[-1]}`, expected one of {SPLITS}.")
        video.add_span(_span(row, row_where))
    return videos.values()


def _csv_rows(path: Path, where: str) -> Iterator[dict[str, Any]]:
    """The rows of a CSV as text: no type is guessed, so the id 007 does not become 7."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            header = next(lines, [])
            _check_columns(header, where)
            for index, row in enumerate(filter(None, lines)):
                if len(row) != len(header):
                    raise ConfigError(f"{where}, row {index + 1}: {len(row)} columns, expected {len(header)}.")
                yield dict(zip(header, row, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{where}: not a readable table ({error}).") from error


def _parquet_rows(path: Path, where: str) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            table = pq.ParquetFile(file)
            names = table.schema_arrow.names
            _check_columns(names, where)
            for batch in table.iter_batches(BATCH_ROWS, columns=[name for name in COLUMNS if name in names]):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{where}: not a readable table ({error}).") from error


def _check_columns(names: list[str], where: str) -> None:
    if "uri" not in names:
        raise ConfigError(
            f"{where}: columns {', '.join(names) or 'none'}; expected one named `uri`, or path, start, end as in a "
            "published list."
        )


def _check_address(address: str, where: str) -> None:
    if "://" in address and not address.startswith(files.SCHEMES):
        raise ConfigError(f"{where}: {address}; expected a path, file:// or s3://.")
    if not files.names_file(address):
        raise ConfigError(f"{where}: {address} lacks a bucket or a key; expected s3://bucket/key.")
    if _is_relative(address) and ".." in address.split("/"):
        raise ConfigError(
            f"{where}: {address} leads out of its folder. Give the whole path, or another folder as its media."
        )


def _check_id(given: str | None, where: str) -> str | None:
    if given is not None and not re.fullmatch(r"[a-z0-9_-]{1,100}", given):
        raise ConfigError(f"{where}: video_id {given!r}; expected 1 to 100 of a-z, 0-9, _ and -.")
    return given


def _is_relative(address: str) -> bool:
    return "://" not in address and not address.startswith("/")


def _resolve(address: str, base: str) -> str:
    return files.to_uri(files.absolute(files.join(base, address) if _is_relative(address) else address))


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
