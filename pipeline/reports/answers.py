"""The answer of a query -> a file that other programs read: every value as it is stored.

    csv       RFC 4180: a number as short as it is exact, an empty field for null and "" for an empty text; lists and
              structs as JSON
    json      one array, a row on each line; null for what is no finite number, because JSON has no other
    jsonl     the same rows without the array
    markdown  a table for a page; at most MAX_MARKDOWN_ROWS rows
    parquet   Arrow's own

Design note: DuckDB writes CSV and JSON, in batches as they come, so an answer of millions of rows needs the memory of a
few. What it would write inexactly is settled in the SELECT before: bare NaN, and 0.1 of 32 bits as 0.10000000149011612.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, EarshotError
from pipeline.storage.sql_files import literal, quoted

AnswerFormat = Literal["csv", "json", "jsonl", "markdown", "parquet"]
FORMATS: tuple[str, ...] = get_args(AnswerFormat)
MAX_MARKDOWN_ROWS = 10_000
SUFFIXES: Mapping[str, AnswerFormat] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".md": "markdown",
    ".parquet": "parquet",
}


def format_of(name: str) -> AnswerFormat:
    """The format that a file's name asks for.

    Raises:
        ConfigError: it has none of SUFFIXES.
    """
    found = next((form for suffix, form in SUFFIXES.items() if name.lower().endswith(suffix)), None)
    if found is None:
        raise ConfigError(f"{name}: expected a name that ends with {', '.join(SUFFIXES)}, or a format.", "format")
    return found


def write_answer(reader: pa.RecordBatchReader, form: AnswerFormat, path: Path) -> int:
    """Write all rows to a new file; return how many they were.

    Raises:
        ConfigError: more rows than Markdown is read with, or a column that Parquet has no type for.
        EarshotError: what the reader raises.
    """
    counted = _Counted(reader)
    try:
        if form == "parquet":
            _write_parquet(counted.reader, path)
        elif form == "markdown":
            path.write_text(_markdown(counted.reader))
        else:
            _copy(counted.reader, form, path)
    except duckdb.Error:
        if counted.error is not None:
            raise counted.error from None
        raise
    return counted.num_rows


class _Counted:
    """A reader that counts the rows that pass."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self.num_rows = 0
        self.error: EarshotError | None = None
        """What the reader has raised: DuckDB makes an error of its own of it."""
        self.reader = pa.RecordBatchReader.from_batches(reader.schema, self._count(reader))

    def _count(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                self.num_rows += batch.num_rows
                yield batch
        except EarshotError as error:
            self.error = error
            raise


def _copy(reader: pa.RecordBatchReader, form: AnswerFormat, path: Path) -> None:
    value = _csv_value if form == "csv" else _json_value
    columns = ", ".join(f"{value(quoted(item.name), item.type)} AS {quoted(item.name)}" for item in reader.schema)
    options = {"csv": "FORMAT csv, HEADER", "json": "FORMAT json, ARRAY true", "jsonl": "FORMAT json, ARRAY false"}
    with duckdb.connect() as database, tempfile.TemporaryDirectory(prefix="earshot-answer-") as spill:
        database.execute(f"SET temp_directory = {literal(spill)}")
        database.execute("SET threads = 1")  # with two, 7.2 M rows that wait for their turn took 1.1 GB, and not 0.2
        database.register("answer", reader)
        database.execute(f"COPY (SELECT {columns} FROM answer) TO {literal(str(path))} ({options[form]})")


def _csv_value(value: str, kind: pa.DataType) -> str:
    """SQL of a column as CSV has it: what is nested as JSON."""
    if pa.types.is_nested(kind):
        return f"to_json({_json_value(value, kind)})::VARCHAR"
    return value


def _json_value(value: str, kind: pa.DataType, depth: int = 0) -> str:
    """SQL of a value as JSON can have it: null for a float that is not finite, at any depth."""
    if pa.types.is_float32(kind):
        return f"CASE WHEN isfinite({value}) THEN {value}::VARCHAR::DOUBLE END"
    if pa.types.is_floating(kind):
        return f"CASE WHEN isfinite({value}) THEN {value} END"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        item = f"x{depth}"
        inner = _json_value(item, kind.value_type, depth + 1)
        return value if inner == item else f"list_transform({value}, lambda {item}: {inner})"
    if pa.types.is_map(kind):
        entry = f"x{depth}"
        inner = _json_value(f"{entry}.value", kind.item_type, depth + 1)
        packed = f"struct_pack(key := {entry}.key, value := {inner})"
        return f"map_from_entries(list_transform(map_entries({value}), lambda {entry}: {packed}))"
    if pa.types.is_struct(kind):
        fields = ((item.name, _json_value(f"({value}).{quoted(item.name)}", item.type, depth)) for item in kind)
        packed = ", ".join(f"{quoted(name)} := {inner}" for name, inner in fields)
        return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({packed}) END"
    return value


def _write_parquet(reader: pa.RecordBatchReader, path: Path) -> None:
    try:
        with pq.ParquetWriter(path, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
    except pa.ArrowNotImplementedError as error:
        raise ConfigError(
            f"query: a column is of a type that Parquet has not: {error}. CAST it in the SELECT."
        ) from error


def _markdown(reader: pa.RecordBatchReader) -> str:
    names = [_markdown_cell(name) for name in reader.schema.names]
    align = [
        right if pa.types.is_primitive(item.type) and not pa.types.is_temporal(item.type) else "---"
        for right in ("---:",)
        for item in reader.schema
    ]  # numbers to the right
    rows = [names, align]
    for batch in reader:
        rows += [[_markdown_cell(value) for value in row.values()] for row in batch.to_pylist()]
        if len(rows) - 2 > MAX_MARKDOWN_ROWS:
            raise ConfigError(
                f"query: more than {MAX_MARKDOWN_ROWS} rows: expected fewer in Markdown. Use csv or parquet."
            )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _markdown_cell(value: Any) -> str:
    """A value in one line of a table, whose text is no markup: what Markdown or HTML would obey is escaped."""
    text = "" if value is None else str(value)
    for letter in "\\`*_[]<>|&#~":
        text = text.replace(letter, f"\\{letter}")
    return "".join(letter if letter.isprintable() else " " for letter in text)
