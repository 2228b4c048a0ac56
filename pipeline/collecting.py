"""A collection -> its videos, each with a stable id, split into parts.

A collection is a folder, an s3:// prefix, or a table (CSV or Parquet) with a column `uri` and optional `video_id`,
`start_s`, `end_s`, `license`, `author`, `split`. A video's id depends on its address below the collection alone, so a
part keeps its names when the collection moves. A collection may grow: videos seen before keep their part, and new ones
get new parts.
"""

import dataclasses
import hashlib
import math
import posixpath
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.artifacts import COLLECTION_FOLDER, Workspace
from pipeline.errors import ConfigError
from pipeline.splitting import SPLITS
from schemas.fields import from_rows
from schemas.videos import COLLECTION

TEXTS = ("license", "author", "split")
# A column of digits is text all the same: the id 007 must not become 7.
AS_TEXT = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(("uri", "video_id", *TEXTS), pa.string()))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CollectingConfig:
    """How a collection is split into parts."""

    videos_per_part: int = 80
    """Videos in a part: the unit of retry and of parallelism. 80 videos of 45 s make a tar of about 320 MB."""

    def __post_init__(self) -> None:
        if self.videos_per_part < 1:
            raise ValueError(f"collecting.videos_per_part = {self.videos_per_part}: expected 1 or more.")


def video_id(relative: str) -> str:
    """A stable id of at most 41 characters: the readable stem, and 12 hex digits of sha256 of the relative address.

    >>> video_id("holiday/Dog barks.mp4")
    'dog_barks-769c3886ca83'
    """
    stem = posixpath.splitext(posixpath.basename(relative))[0]
    readable = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:28] or "video"
    return f"{readable}-{hashlib.sha256(relative.encode()).hexdigest()[:12]}"


def list_videos(collection: str, root: str | None = None) -> Iterator[dict[str, Any]]:
    """One row of `schemas.videos.COLLECTION` per video, in a stable order.

    Args:
        collection: a folder, an s3:// prefix or a table.
        root: of the workspace: where it lies inside the collection's folder, its files are not taken for videos.
    Raises:
        ConfigError: the collection does not exist, is empty, or its table has no `uri` column.
    """
    is_table = collection.endswith((".csv", ".parquet"))
    rows = _from_table(collection) if is_table else _from_files(collection, root)
    first = next(rows, None)
    if first is None:
        raise ConfigError(
            f"--collection {collection}: no files there. Expected a folder, an s3:// prefix, or a .csv or .parquet "
            "table with a column `uri`."
        )
    yield first
    yield from rows


def _from_files(collection: str, root: str | None) -> Iterator[dict[str, Any]]:
    if not storage.is_s3(collection) and not storage.local_path(collection).is_dir():
        found = "a file that is no table" if storage.exists(collection) else "nothing"
        raise ConfigError(
            f"--collection {collection}: found {found}. Expected a folder of videos, an s3:// prefix, or a .csv or "
            ".parquet table with a column `uri`."
        )
    absolute = collection.rstrip("/") if storage.is_s3(collection) else str(storage.local_path(collection).resolve())
    if root == absolute:
        raise ConfigError(
            f"--collection {collection}: is the --root too. Choose another --root, inside it or elsewhere."
        )
    own = f"{root}/" if root is not None and f"{root}/".startswith(f"{absolute}/") else None
    for entry in storage.list_files(absolute):
        if own is not None and entry.uri.startswith(own):
            continue
        relative = storage.relative(entry.uri, absolute)
        if not posixpath.basename(relative).startswith("."):
            known = {"video_id": video_id(relative), "uri": entry.uri, "size_bytes": entry.size_bytes}
            yield dict.fromkeys(COLLECTION.names) | known


def _from_table(uri: str) -> Iterator[dict[str, Any]]:
    if not storage.exists(uri):
        raise ConfigError(f"--collection {uri}: no such file.")
    with storage.local_copy(uri) as path:
        try:
            table = (
                pq.read_table(path) if uri.endswith(".parquet") else pyarrow.csv.read_csv(path, convert_options=AS_TEXT)
            )
        except pa.ArrowInvalid as error:
            raise ConfigError(f"--collection {uri}: not a readable table ({error}).") from error
    if "uri" not in table.column_names:
        raise ConfigError(f"--collection {uri}: columns {', '.join(table.column_names)}; expected one named `uri`.")
    base = uri.rpartition("/")[0] or "."
    for index, row in enumerate(table.to_pylist()):
        if row["uri"] in (None, ""):
            raise ConfigError(f"--collection {uri}, row {index + 1}: no uri. Give one, or remove the row.")
        address = str(row["uri"])
        if "://" in address and not address.startswith((storage.S3, "file://")):
            raise ConfigError(f"--collection {uri}, row {index + 1}: {address}; expected a path, file:// or s3://.")
        whole = address if "://" in address or address.startswith("/") else storage.join(base, address)
        if not storage.is_s3(whole):
            whole = storage.to_uri(storage.local_path(whole).absolute())
        item: dict[str, Any] = {
            "video_id": _given_id(row, index, uri) or video_id(address),
            "uri": whole,
            "size_bytes": None,
        }
        for name in TEXTS:
            item[name] = None if row.get(name) in (None, "") else str(row[name])
        item["start_s"], item["end_s"] = _span(row, index, uri)
        if item["split"] not in (None, *SPLITS):
            raise ConfigError(
                f"--collection {uri}, row {index + 1}: split `{item['split']}`, expected one of {SPLITS}."
            )
        yield item


def _span(row: dict[str, Any], index: int, uri: str) -> tuple[float | None, float | None]:
    try:
        start_s, end_s = (None if row.get(name) in (None, "") else float(row[name]) for name in ("start_s", "end_s"))
    except ValueError:
        start_s, end_s = math.nan, math.nan
    first_s, last_s = start_s or 0.0, math.inf if end_s is None else end_s
    if not 0 <= first_s < last_s:
        raise ConfigError(
            f"--collection {uri}, row {index + 1}: start_s = {row.get('start_s')}, end_s = {row.get('end_s')}; "
            "expected two times in seconds, 0 or more, the end after the start."
        )
    return start_s, end_s


def _given_id(row: dict[str, Any], index: int, uri: str) -> str | None:
    given = row.get("video_id")
    if given in (None, ""):
        return None
    if not re.fullmatch(r"[a-z0-9_-]{1,100}", str(given)):
        raise ConfigError(
            f"--collection {uri}, row {index + 1}: video_id {given!r}; expected 1 to 100 of a-z, 0-9, _ and -."
        )
    return str(given)


def plan_parts(workspace: Workspace, collection: str, config: CollectingConfig) -> int:
    """Write the parts of `collection/` that the workspace lacks; return how many videos are new.

    Raises:
        ConfigError: the collection cannot be listed, or two of its videos have one id.
    """
    known = set(workspace.read_all(COLLECTION_FOLDER, COLLECTION, ["video_id"]).column("video_id").to_pylist())
    next_part = int(max(workspace.parts(COLLECTION_FOLDER), default="-1")) + 1
    seen: set[str] = set()
    new: list[dict[str, Any]] = []
    num_new = 0
    for row in list_videos(collection, workspace.root):
        if row["video_id"] in seen:
            raise ConfigError(
                f"--collection {collection}: two videos have the id {row['video_id']} (one: {row['uri']})."
            )
        seen.add(row["video_id"])
        if row["video_id"] in known:
            continue
        new.append(row)
        num_new += 1
        if len(new) == config.videos_per_part:
            _commit(workspace, next_part, new)
            next_part, new = next_part + 1, []
    if new:
        _commit(workspace, next_part, new)
    return num_new


def _commit(workspace: Workspace, part: int, rows: list[dict[str, Any]]) -> None:
    workspace.commit(COLLECTION_FOLDER, f"{part:05d}", from_rows(rows, COLLECTION, COLLECTION_FOLDER), COLLECTION)
