"""The rows of a collection's table, by the names that Earshot has for their columns.

A table is CSV or Parquet, in one file or several (`table_files.py`). Columns are taken by their usual names (NAMES),
whatever their case. Other columns are carried along as one JSON object, and messages on stderr say which column was
taken for which, what is carried and what cannot be.
"""

import csv
import datetime
import json
import math
import sys
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.collection.csv_rows import csv_rows
from pipeline.collection.source_urls import page_of
from pipeline.errors import ConfigError
from pipeline.rights.rights_columns import find_columns, read_columns
from pipeline.storage import files

# Usual names of each column; where a table has several of them, the first counts and the others are carried. `url` is
# the last of two: beside another address it is the page that a downloaded video is from.
NAMES = {
    "uri": ("uri", "path", "file_path", "file", "file_name", "filename", "video", "url"),
    "video_id": ("video_id",),
    "start_s": ("start_s", "start_seconds", "start"),
    "end_s": ("end_s", "end_seconds", "end"),
    "license": ("license", "licence"),
    "author": ("author", "creator", "uploader"),
    "source_url": ("source_url", "webpage_url", "page_url", "original_url", "url"),
    "split": ("split",),
}
BATCH_ROWS = 10_000  # of a Parquet table in memory at once
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
LARGE_BYTES = 10_000  # a value that is not carried, or the mean of a Parquet column that is not read
MAX_BYTES = 1 << 17  # a value of one of NAMES
MAX_NAMED = 10  # columns in a message


def table_rows(collection: str, uris: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where it is, row) of every row of a table.

    A row has the values of NAMES that are given, text or a number, `statements` of its columns of rights, and `extra`,
    a dict of all columns that are none of NAMES.

    Raises:
        ConfigError: not a readable table, or a column of another type than text and numbers.
    """
    said: set[str] = set()
    for uri in uris:
        where = f"collection {uri}"
        with files.local_copy(uri) as path:
            rows = _parquet_rows(path, where) if uri.endswith(".parquet") else _csv_rows(path, where)
            header = next(rows)
            if not header and uri != collection:  # Spark writes an empty file for a part without rows
                continue
            constants = _constants(uri, collection)
            columns, rights = _columns([*header, *constants], where), find_columns([*header, *constants])
            _say(where, columns, rights, [*header, *constants], said)
            for index, row in enumerate(rows):
                row_where = f"{where}, row {index + 1}"
                given = dict(zip(header, row, strict=True)) | constants
                found: dict[str, Any] = {"statements": read_columns(given, rights, row_where)}
                if "source_url" not in columns:
                    found["source_url"] = page_of(given)
                yield row_where, _named(given, columns, row_where, said) | found


def _constants(uri: str, collection: str) -> dict[str, Any]:
    """`{"split": "train"}` of a file below `split=train/`."""
    names = files.relative(uri, files.absolute(collection, follow_links=True)).split("/")[:-1]
    pairs = (name.partition("=") for name in names if "=" in name)
    return {name: None if value == NULL_PARTITION else urllib.parse.unquote(value) for name, _, value in pairs}


def _columns(header: list[str], where: str) -> dict[str, str]:
    """For each of NAMES that the table has, the name of its column.

    Raises:
        ConfigError: none is a uri, or one occurs twice.
    """
    lower = [name.strip().lower() for name in header]
    taken: dict[str, str] = {}
    for column, names in NAMES.items():
        name = next((name for name in names if name in lower and header[lower.index(name)] not in taken.values()), None)
        if name is not None:
            if lower.count(name) > 1:
                raise ConfigError(
                    f"{where}: {lower.count(name)} columns are named {name}, expected one. Remove others."
                )
            taken[column] = header[lower.index(name)]
    if "uri" not in taken:
        raise ConfigError(
            f"{where}: columns {', '.join(header) or 'none'}; expected one named {', '.join(NAMES['uri'])}, or path, "
            "start, end as in a published list."
        )
    return taken


def _say(where: str, columns: dict[str, str], rights: list[str], header: list[str], said: set[str]) -> None:
    """Print once what columns of other names are taken for, which say what is permitted, which are carried along."""
    renamed = [f"{name!r} as {column}" for column, name in columns.items() if name != column]
    carried = [repr(name) for name in header if name not in columns.values()]
    parts = [f"takes {', '.join(renamed)}"] if renamed else []
    more = f" and {len(carried) - MAX_NAMED} more" if len(carried) > MAX_NAMED else ""
    parts += [f"reads rights from {', '.join(map(repr, rights))}"] if rights else []
    parts += [f"carries {', '.join(carried[:MAX_NAMED])}{more} in `extra`"] if carried else []
    if parts and "; ".join(parts) not in said:
        said.add("; ".join(parts))
        print(f"{where}: {'; '.join(parts)}.", file=sys.stderr, flush=True)


def _named(given: dict[str, Any], columns: dict[str, str], where: str, said: set[str]) -> dict[str, Any]:
    """A row by the names of NAMES, with `extra`."""
    row = {column: _value(given.pop(name), name, where) for column, name in columns.items()}
    extra = row["extra"] = {}
    for name, value in given.items():
        kept = value if isinstance(value, str) else _json(value)
        if kept is None and isinstance(value, bytes):
            _say_left_out(f"{name!r} holds bytes that are no text: not carried.", where, said)
        elif _size_bytes(kept) > LARGE_BYTES:
            _say_left_out(f"{name!r} has values of more than {LARGE_BYTES} bytes: these are not carried.", where, said)
        elif kept not in (None, ""):
            extra[name] = kept
    return row


def _say_left_out(message: str, where: str, said: set[str]) -> None:
    """Print once what is not carried of a column, with the first row of which that is true."""
    if message not in said:
        said.add(message)
        print(f"{where}: {message}", file=sys.stderr, flush=True)


def _size_bytes(value: Any) -> int:
    """Bytes of a text, list or dict as JSON has it, without the quotes; 0 for a number."""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return 0
    return len(value) if value.isascii() else len(value.encode())


def _value(value: Any, name: str, where: str) -> Any:
    """A value of one of NAMES: text or a number.

    Raises:
        ConfigError: it is neither, bytes that are no text, or larger than MAX_BYTES.
    """
    if isinstance(value, str) and len(value) <= MAX_BYTES // 4:  # nearly all, and each takes time
        return value or None
    if isinstance(value, float):
        return None if math.isnan(value) else value  # a gap, as pandas has it
    found = _json(value)
    if (found is None and isinstance(value, bytes)) or isinstance(found, list | dict):
        raise ConfigError(f"{where}: {name} is {str(value)[:80]!r}, expected text or a number.")
    if _size_bytes(found) > MAX_BYTES:
        raise ConfigError(
            f"{where}: {name} has {_size_bytes(found)} bytes, expected {MAX_BYTES} or less. Mend the row, or give the "
            "column another name."
        )
    return found


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _json(value: Any) -> Any:
    """A value of a table as JSON has it; None for what is no number."""
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, dict):
        return {str(name): _json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value if isinstance(value, str | int | float | None) else str(value)


def _csv_rows(path: Path, where: str) -> Iterator[list[Any]]:
    """The header and the rows of a CSV as text: no type is guessed, so the id 007 does not become 7."""
    try:
        lines = csv_rows(path)
        header = next(lines, [])
        yield header
        for index, row in enumerate(filter(None, lines)):
            if len(row) != len(header):
                raise ConfigError(f"{where}, row {index + 1}: {len(row)} columns, expected {len(header)}.")
            yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{where}: not a readable table ({error}).") from error


def _parquet_rows(path: Path, where: str) -> Iterator[list[Any]]:
    """The header and the rows of a Parquet file."""
    try:
        with path.open("rb") as file:
            table = pq.ParquetFile(file)
            large = _large_columns(table.metadata)
            names = [name for name in table.schema_arrow.names if name not in large]
            if large:
                print(f"{where}: large, not carried: {', '.join(map(repr, large))}", file=sys.stderr, flush=True)
            yield names
            for batch in table.iter_batches(BATCH_ROWS, columns=names):
                yield from map(list, zip(*(column.to_pylist() for column in batch.columns), strict=True))
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{where}: not a readable table ({error}).") from error


def _large_columns(metadata: pq.FileMetaData) -> list[str]:
    """Columns of more than LARGE_BYTES a row, such as embedded media: a batch of them would fill the memory."""
    sizes: dict[str, int] = {}
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            name = column.path_in_schema.partition(".")[0]
            sizes[name] = sizes.get(name, 0) + column.total_uncompressed_size
    return [name for name, size in sizes.items() if size > LARGE_BYTES * max(metadata.num_rows, 1)]
