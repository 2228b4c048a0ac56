"""What is asked to be taken down: a file of names -> videos of a workspace, and the copies of their bytes.

The file has a name in each line, or is a CSV with a column of them. A name is a video_id, an address or the end of one,
as in label files. A video whose file has the same bytes, or the same address, is the same video under another name, and
goes too.
"""

import contextlib
import csv
import functools
import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError, DataError, MissingError
from pipeline.labels.video_names import fit_names
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER, SPANS_FOLDER
from pipeline.storage.tombstones import read_tombstones
from pipeline.storage.workspace import NUM_READERS, Workspace
from pipeline.takedown.names import CLIP_ENDING

COLUMNS = ("video_id", "uri", "video", "file", "name")  # of a CSV, the first that it has
MAX_NAMED = 5
Video = dict[str, Any]
T = TypeVar("T")


class Request(NamedTuple):
    """The videos that a takedown removes."""

    videos: list[Video]
    """video_id, uri, content_hash and part of each, None where unknown, by video_id; tombstones' too."""
    num_named: int
    num_videos: int
    """That the workspace has."""
    others: list[str]
    """Ids of videos that stay and look like clips of these."""

    def warnings(self) -> Iterator[str]:
        """What the file does not say: copies go too, and some may not be recognised."""
        more = len(self.videos) - self.num_named
        if more > 0:
            yield f"{more} videos more have the same bytes or address under other names, and go too"
        unknown = sum(video["content_hash"] is None for video in self.videos)
        if unknown:
            yield (
                f"of {unknown} videos no hash is known, as they were not cut and their file cannot be read: a copy "
                "under another name will not be recognised"
            )


def read_names(uri: str) -> list[str]:
    """The names in a file, each once.

    Raises:
        ConfigError: there is none.
        DataError: it cannot be read.
    """
    text = files.read_bytes(uri).decode("utf-8-sig", "surrogateescape")
    rows = list(csv.reader(io.StringIO(text)))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((header.index(name) for name in COLUMNS if name in header), None)
    if column is None:
        names = [line.strip() for line in text.splitlines()]
    else:
        names = [row[column].strip() for row in rows[1:] if len(row) > column]
    found = list(dict.fromkeys(filter(None, names)))
    if not found:
        raise ConfigError(f"{uri}: no name of a video. Expected one in each line, or a column {', '.join(COLUMNS)}.")
    return found


def find_videos(workspace: Workspace, uri: str) -> Request:
    """The videos that a file names, and the copies of their bytes and addresses.

    Raises:
        ConfigError: a name is no video's, or fits two; nothing is to be changed then.
    """
    given = read_names(uri)
    earlier = [row for tombstone in read_tombstones(workspace).values() for row in tombstone["videos"]]
    num_videos = 0

    def known() -> Iterator[Video]:
        nonlocal num_videos
        for part, table in _read_known(workspace):
            num_videos += len(table)
            yield from (row | {"part": part} for row in table.to_pylist())
        yield from ({"video_id": row["video_id"], "uri": row["uri"], "part": None} for row in earlier)

    fits = fit_names(given, known())
    unknown = [name for name, videos in zip(given, fits, strict=True) if not videos]
    if unknown:
        raise ConfigError(
            f"{uri}: {len(unknown)} of {len(given)} names are no video of {workspace.root}: "
            f"{', '.join(unknown[:MAX_NAMED])}. Expected video_ids, addresses or file names; nothing was changed."
        )
    for name, videos in zip(given, fits, strict=True):
        if len(videos) > 1:
            first, second = (video["uri"] for video in videos)
            raise ConfigError(f"{uri}: `{name}` fits two videos, {first} and {second}. Give more of its path.")
    chosen = {video["video_id"]: video for videos in fits for video in videos}
    hashes = {row["video_id"]: row["content_hash"] for row in earlier}
    chosen, others = _with_copies(workspace, chosen, hashes)
    return Request([chosen[name] for name in sorted(chosen)], len(given), num_videos, others)


def each_part(workspace: Workspace, partition: str, read: Callable[[str], T]) -> Iterator[tuple[str, T]]:
    """What `read` gives for each part of a table's partition, in order, several at a time."""
    parts = workspace.parts(partition)
    with ThreadPoolExecutor(NUM_READERS) as pool:
        yield from zip(parts, pool.map(read, parts), strict=True)


def read_columns(workspace: Workspace, partition: str, part: str, columns: list[str]) -> pa.Table:
    """Columns of a part as it is there, whatever the version of its schema; those that it lacks are null."""
    import pyarrow.parquet as pq

    with files.local_copy(workspace.part_uri(partition, part)) as path, path.open("rb") as file:
        parquet = pq.ParquetFile(file)
        there = [name for name in columns if name in parquet.schema_arrow.names]
        table = parquet.read(columns=there, use_threads=False)
    for name in set(columns) - set(there):
        table = table.append_column(name, pa.nulls(len(table), pa.string()))
    return table.select(columns)


def _read_known(workspace: Workspace) -> Iterator[tuple[str | None, pa.Table]]:
    """video_id and uri of all videos with their part; those of features and spans in a root without a collection."""
    columns = ["video_id", "uri"]
    if workspace.parts(COLLECTION_FOLDER):
        yield from each_part(
            workspace, COLLECTION_FOLDER, lambda part: read_columns(workspace, COLLECTION_FOLDER, part, columns)
        )
        return
    seen: set[str] = set()
    for partition in (*(f"features/{name}" for name in workspace.names("features")), SPANS_FOLDER):
        read = functools.partial(read_columns, workspace, partition, columns=["video_id"])
        for _, table in each_part(workspace, partition, read):
            new = [name for name in table["video_id"].unique().to_pylist() if name not in seen]
            seen.update(new)
            yield None, pa.table({"video_id": pa.array(new, pa.string()), "uri": pa.array(new, pa.string())})


def _with_copies(
    workspace: Workspace, chosen: dict[str, Video], hashes: dict[str, str | None]
) -> tuple[dict[str, Video], list[str]]:
    """The videos and all others of the same bytes or address; and ids of others that look like clips of theirs."""
    columns = ["video_id", "uri", "content_hash", "outcome"]
    found = {name: row | {"content_hash": hashes.get(name)} for name, row in chosen.items()}
    ids = pa.array(sorted(chosen), pa.string())

    def read(partition: str, part: str) -> pa.Table:
        try:
            return read_columns(workspace, partition, part, columns)
        except MissingError:
            return pa.table({name: pa.nulls(0, pa.string()) for name in columns})

    tables = [f"videos/{spec}" for spec in workspace.names("videos")]
    places = [(table, part) for table in tables for part in workspace.parts(table)]
    for partition, part in places:
        table = read(partition, part)
        for row in table.filter(pc.is_in(table["video_id"], ids)).to_pylist():
            found[row["video_id"]]["content_hash"] = row["content_hash"] or found[row["video_id"]]["content_hash"]
    for row in found.values():
        row["content_hash"] = row["content_hash"] or _hash_source(row["uri"])
    bytes_of = pa.array(sorted({row["content_hash"] for row in found.values() if row["content_hash"]}), pa.string())
    uris = pa.array(sorted({row["uri"] for row in found.values()}), pa.string())
    for partition, part in places:
        table = read(partition, part)
        is_copy = pc.or_(pc.is_in(table["content_hash"], bytes_of), pc.is_in(table["uri"], uris))
        is_copy = pc.and_(is_copy, pc.fill_null(pc.not_equal(table["outcome"], "taken_down"), True))
        for row in table.filter(is_copy).to_pylist():
            row["content_hash"] = row["content_hash"] or _hash_source(row["uri"])
            found.setdefault(row["video_id"], {name: row[name] for name in columns[:3]} | {"part": part})
    return found, _looking_alike(workspace, set(found))


def _hash_source(uri: str | None) -> str | None:
    """The hash of the bytes of a video that no table has one of, as it was not cut yet; None where it is not there."""
    if uri is not None:
        with contextlib.suppress(DataError, OSError), files.local_copy(uri) as path, path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return None


def _looking_alike(workspace: Workspace, video_ids: set[str]) -> list[str]:
    """Ids of videos that stay whose name is that of a clip of these."""
    ids, found = pa.array(sorted(video_ids), pa.string()), []
    for _, table in _read_known(workspace):
        names = table["video_id"].combine_chunks()
        stripped = pc.replace_substring_regex(names, CLIP_ENDING, "")
        alike = pc.and_(pc.is_in(stripped, ids), pc.invert(pc.is_in(names, ids)))
        found += names.filter(alike).to_pylist()
    return sorted(found)
