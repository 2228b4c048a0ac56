"""Files of rows about spans of videos -> columns, for label files and span files alike.

Files are found by address or pattern and read in the order of their names. Values are read as text, and a row that
cannot be right is refused by its number. Columns stay columns: 600 000 rows take 18 MB, and 500 MB as Python objects.
"""

import contextlib
import csv
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.collection.csv_rows import csv_rows
from pipeline.errors import ConfigError
from pipeline.hashing import hash_bytes
from pipeline.storage import files

BLOCK_BYTES = 1 << 24  # of a CSV parsed at a time: no row is longer
SECONDS = r"^(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$"
Columns = dict[str, pa.ChunkedArray]


@dataclass(frozen=True, slots=True)
class FileRows:
    """The rows of some files of one kind."""

    kind: str
    """For messages: labels file, spans file."""
    table: pa.Table
    """One row per row of the files, by file and row: `video` and `file` and what the kind has; text is
    dictionary-encoded, and each column is one chunk."""
    contents: dict[str, str]
    """Hash of each file's bytes, by its name."""

    def codes(self, name: str) -> np.ndarray:
        """[n] number of each row's value in the dictionary of a column of text."""
        return self.table[name].chunk(0).indices.to_numpy()

    def where(self, *rows: int) -> str:
        """`labels file votes.csv, row 3 and other.csv, row 1`, for rows of the table."""
        of_file = self.codes("file")
        places = [
            f"{self.table['file'][row].as_py()}, row {row - np.argmax(of_file == of_file[row]) + 1}" for row in rows
        ]
        return f"{self.kind} {' and '.join(places)}"


@dataclass(frozen=True, slots=True)
class LabelFile:
    """One file, as its kind's reader gets it."""

    kind: str
    uri: str
    path: Path
    """A local copy."""

    @property
    def here(self) -> str:
        """The begin of a message about the file."""
        return f"{self.kind} {self.uri}"

    @property
    def is_parquet(self) -> bool:
        """Whether its name says so; any other file is text."""
        return self.uri.lower().endswith(".parquet")

    def header(self) -> list[str]:
        """The names of the columns; of a file without a header, the values of its first row.

        Raises:
            ConfigError: the file cannot be read.
        """
        try:
            if self.is_parquet:
                with self.path.open("rb") as file:
                    return pq.read_schema(file).names
            with contextlib.closing(csv_rows(self.path)) as rows:
                return next(filter(None, rows), [])
        except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
            raise self._unreadable(error) from error

    def texts(self, header: list[str], known: Sequence[str]) -> Columns:
        """The `known` columns as text without space around it, "" where a value or a column is missing.

        No type is guessed: the video 007 must not become 7.

        Raises:
            ConfigError: two columns have one name, or the file cannot be read.
        """
        names = [name.strip().lower() for name in header]
        for name in known:
            if names.count(name) > 1:
                raise ConfigError(
                    f"{self.here}: {names.count(name)} columns are named {name}, expected one. Remove others."
                )
        places = {name: header[names.index(name)] for name in known if name in names}
        as_text = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(places.values(), pa.string()), include_columns=list(places.values())
        )
        try:
            with self.path.open("rb") as file:
                if self.is_parquet:
                    table = pq.ParquetFile(file).read(columns=list(places.values()))
                else:
                    blocks = pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES)
                    lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
                    table = pa.csv.read_csv(file, blocks, lines, as_text)
            blank = pa.chunked_array([pa.repeat("", len(table))])
            columns = {name: table[places[name]].cast(pa.string()) if name in places else blank for name in known}
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error
        return {name: pc.utf8_trim_whitespace(pc.fill_null(column, "")) for name, column in columns.items()}

    def require(self, holds: pa.ChunkedArray, texts: Columns, names: list[str], expected: str) -> None:
        """Refuse the first row for which `holds` is false, and quote its values.

        Raises:
            ConfigError: there is one.
        """
        row = pc.index(holds, False).as_py()
        if row >= 0:
            found = ", ".join(f"{name} = {texts[name][row].as_py()!r}" for name in names)
            raise ConfigError(f"{self.here}, row {row + 1}: {found}, expected {expected}.")

    def _unreadable(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"{self.here}: not a readable table ({error}). Expected Parquet, or CSV in UTF-8 with commas."
        )


def read_files(
    uris: Sequence[str], kind: str, example: str, read: Callable[[LabelFile], Columns], what: str
) -> FileRows:
    """The rows of some files, whatever their order.

    Args:
        uris: addresses; a `*` in the last name matches any letters.
        kind: for messages, such as `labels file`.
        example: a pattern, for messages.
        read: the columns of one file, `video` among them; raises ConfigError.
        what: one row, for messages, such as `judgement`.
    Raises:
        ConfigError: no such file, two of one name, or one without a row.
    """
    by_name: dict[str, str] = {}
    for uri in _find(uris, kind, example):
        other = by_name.setdefault(posixpath.basename(uri), uri)
        if other != uri:
            raise ConfigError(f"{kind} {uri}: has the name of {other}, and a row names its file. Rename one.")
    tables, contents = [], {}
    for name, uri in sorted(by_name.items()):
        with files.local_copy(uri) as path:
            file = LabelFile(kind, uri, path)
            columns = read(file)
            contents[name] = hash_bytes(path.read_bytes())
        num_rows = len(columns["video"])
        if not num_rows:
            raise ConfigError(f"{file.here}: no rows, expected one {what} or more. Give another file, or leave it out.")
        columns["file"] = pa.repeat(name, num_rows)
        tables.append(pa.table({name: _encoded(column) for name, column in columns.items()}))
    return FileRows(kind, pa.concat_tables(tables).unify_dictionaries().combine_chunks(), contents)


def _find(uris: Sequence[str], kind: str, example: str) -> list[str]:
    """The addresses of the files that are meant."""
    found: list[str] = []
    for uri in uris:
        matches = files.store_at(uri).glob(uri) if "*" in posixpath.basename(uri) else [uri]
        if not matches or not all(files.exists(match) for match in matches):
            raise ConfigError(
                f"{kind} {uri}: no such file. Expected a CSV or Parquet file, or several by a pattern in quotes, such "
                f"as '{example}'."
            )
        found += matches
    return found


def _encoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.dictionary_encode() if pa.types.is_string(column.type) else column
