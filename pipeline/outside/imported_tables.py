"""Columns that other tools computed for clips -> a table of their own, part by part beside the clips.

In: Parquet, CSV or JSON lines files with a row for each clip, keyed by `clip_id`, or by `uri` and `start_s` (and
`end_s` if it is there). Out: `tables/imported/name=<name>/`, a row for each clip that a file has, under the columns'
own names and types: whole numbers, floats, truth values, texts, and vectors of one length. Dates and times become text
(ISO 8601, in UTC where they have a time zone).

A key that occurs twice, a type that changes half way, and vectors of two lengths are refused before anything is
written. Keys of no clip are counted and left out. A float that is no finite number becomes null, and is counted.
"""

import contextlib
import dataclasses
import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError, DataError
from pipeline.outside.clip_listing import LISTING, OWN
from pipeline.outside.imported_types import KEYS, MAX, MIN, NUMBERS, WIDE, schema_of, stored_type
from pipeline.storage import files
from pipeline.storage.layout import IMPORTED
from pipeline.storage.sql_files import TABLE_NAME, as_pattern, literal, select_from_file
from pipeline.storage.workspace import Workspace

MAX_NAMED = 5
MEMORY = "700MB"  # of DuckDB; 7.2 M rows of 8 columns then take 1.3 GB in all, and 1.6 GB with 1GB
BATCH_ROWS = 50_000
NO_KEY = "no key"  # what a row is called that names no clip


@dataclasses.dataclass(frozen=True)
class Imported:
    """What came of an import."""

    num_rows: int
    """Clips with a row."""
    num_clips: int
    """Kept clips that there are."""
    num_unknown: int
    """Rows of the files whose key is no kept clip's."""
    unknown: tuple[str, ...]
    """The first few of those keys."""
    num_not_finite: dict[str, int]
    """Floats that are no finite number, by column."""


class ImportFiles:
    """Files of one import, opened and checked.

    Args:
        workspace: whose clips they are about.
        name: of the table.
        uris: the files, which have the same columns.
        spec: clip spec of the clips.
    Raises:
        ConfigError: a name, file, column or key cannot be used; the message says which, and where.
    """

    def __init__(self, workspace: Workspace, name: str, uris: Sequence[str], spec: str) -> None:
        self._workspace, self.name, self.spec = workspace, name, spec
        self.columns: dict[str, str] = {}
        """Types of the columns but for the keys, as `schema_of` takes them."""
        self.content: dict[str, str] = {}
        """Hash of each file, by its name."""
        with contextlib.ExitStack() as stack:
            self._stack = stack
            self._database = stack.enter_context(duckdb.connect())
            spill = stack.enter_context(tempfile.TemporaryDirectory(prefix="earshot-import-"))
            self._database.execute(f"SET temp_directory = {literal(spill)}")
            self._database.execute(f"SET memory_limit = '{MEMORY}'")
            self._database.execute("SET TimeZone = 'UTC'")  # of times that become text
            self._read(uris)
            self.columns = self._settle_types()
            self._match()
            self._check_vectors()
            self._stack = stack.pop_all()  # what is refused above is closed here, the rest by `__exit__`

    def __enter__(self) -> "ImportFiles":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, parts: Sequence[str]) -> Imported:
        """Commit these parts, also those without a row; return what came of the files as a whole."""
        schema, partition, left = schema_of(self.name, self.columns), f"{IMPORTED}/{self.name}", set(parts)
        for part, rows in self._by_part(schema):
            if part in left:
                self._workspace.commit(partition, part, rows, schema)
                left.remove(part)
        for part in sorted(left):
            self._workspace.commit(partition, part, schema.empty_table(), schema)
        num_rows = self._value("SELECT count(clip_id) FROM given")
        unknown = self._database.execute(
            f"SELECT DISTINCT _key FROM given WHERE clip_id IS NULL ORDER BY _key LIMIT {MAX_NAMED}"
        ).fetchall()
        return Imported(
            num_rows=num_rows,
            num_clips=self._value("SELECT count(*) FROM clips"),
            num_unknown=self._value("SELECT count(*) FROM given") - num_rows,
            unknown=tuple(key for (key,) in unknown),
            num_not_finite=self._not_finite(),
        )

    def _read(self, uris: Sequence[str]) -> None:
        """Make the view `raw` of all files, which must have the same columns."""
        if not re.fullmatch(TABLE_NAME, self.name):
            raise ConfigError(f"name {self.name}: expected a-z, 0-9 and _, beginning with a letter.")
        selects, first = [], None
        for uri in uris:
            select_from_file(uri, uri)  # refuses a name before it is fetched
            if not files.exists(uri):
                raise ConfigError(f"{uri}: no such file.")
            path = str(self._stack.enter_context(files.local_copy(uri)))
            if (base := uri.rpartition("/")[2]) in self.content:
                raise ConfigError(f"{uri}: a second file of the name {base}. Expected each to have its own.")
            with open(path, "rb") as file:
                self.content[base] = hashlib.file_digest(file, "sha256").hexdigest()[:12]
            select = select_from_file(path, uri)
            with _as_refusal(uri):
                found = self._database.sql(select)
            columns = dict(zip(found.columns, map(str, found.types), strict=True))
            if first is None:
                first = columns
            elif columns != first:
                other = {name: kind for name, kind in columns.items() if first.get(name) != kind}
                missing = sorted(first.keys() - columns.keys())
                raise ConfigError(
                    f"{uri}: other columns than {uris[0]}: {other or ''}{' without ' if missing else ''}"
                    f"{', '.join(missing)}. Expected the same names and types in all files."
                )
            selects.append(select)
        with _as_refusal(" ".join(uris)):
            self._database.execute(f"CREATE TABLE raw AS {' UNION ALL BY NAME '.join(selects)}")

    def _settle_types(self) -> dict[str, str]:
        """Type that each column is stored as, but for the keys."""
        found = self._database.sql("FROM raw")
        if "clip_id" not in found.columns and not {"uri", "start_s"} <= set(found.columns):
            raise ConfigError(
                f"import {self.name}: columns {', '.join(found.columns)}: expected clip_id, or uri and start_s, which "
                "say what clip a row is about."
            )
        is_listing = set(LISTING.names) <= set(found.columns)  # from here: what was added to it is what it says
        columns = {}
        for column, kind in zip(found.columns, map(str, found.types), strict=True):
            if column in KEYS:
                if (
                    column in ("start_s", "end_s")
                    and stored_type(kind) not in NUMBERS
                    and "clip_id" not in found.columns
                ):
                    raise ConfigError(f"import {self.name}: column {column} is {kind}: expected seconds, as numbers.")
                continue
            if is_listing and column in OWN:
                continue
            if not re.fullmatch(TABLE_NAME, column.lower()):
                raise ConfigError(f"import {self.name}: column {column!r}: expected a name of a-z, 0-9 and _.")
            stored = stored_type(kind)
            if stored is None:
                raise ConfigError(
                    f"import {self.name}: column {column} is {kind}: expected numbers, text, truth values or vectors "
                    "of numbers."
                )
            if kind in WIDE and self._value(f'SELECT count(*) FROM raw WHERE "{column}" NOT BETWEEN {MIN} AND {MAX}'):
                raise ConfigError(
                    f"import {self.name}: column {column} has whole numbers beyond {MIN} to {MAX}: expected none."
                )
            columns[column.lower()] = stored
        if not columns:
            raise ConfigError(f"import {self.name}: no column beside the key. Expected at least one.")
        return columns

    def _match(self) -> None:
        """Make the table `given`: raw rows with the clip that each is about, its `_part` and `_key`; no clip twice."""
        database = self._database
        kept = f"SELECT clip_id, video_id, part, start_s, duration_s FROM {self._table('clips')} WHERE outcome = 'kept'"
        database.execute(f"CREATE TABLE clips AS {kept}")
        found = database.sql("FROM raw").columns
        if "clip_id" in found:
            database.execute(f"""
                CREATE TABLE given AS
                SELECT raw.* EXCLUDE (clip_id), coalesce(nullif(raw.clip_id::VARCHAR, ''), '{NO_KEY}') AS _key,
                    clips.clip_id, clips.part AS _part
                FROM raw LEFT JOIN clips ON clips.clip_id = raw.clip_id::VARCHAR
            """)
        else:
            until = "AND round(1000 * raw.end_s) = round(1000 * (c.start_s + c.duration_s))" if "end_s" in found else ""
            database.execute(f"""
                CREATE TABLE given AS
                SELECT raw.*, coalesce(raw.uri || ' at ' || raw.start_s || ' s', '{NO_KEY}') AS _key, c.clip_id,
                    c.part AS _part
                FROM raw LEFT JOIN (
                    SELECT clips.*, uri
                    FROM clips JOIN (SELECT video_id, uri FROM {self._table("videos")}) USING (video_id)
                ) AS c ON c.uri = raw.uri AND round(1000 * c.start_s) = round(1000 * raw.start_s) {until}
            """)
        self._check_twice()
        if not self._value("SELECT count(clip_id) FROM given"):
            example = self._value("SELECT min(_key) FROM given") or "no row"
            there = self._value("SELECT min(clip_id) FROM clips") or "no clip"
            raise ConfigError(
                f"import {self.name}: no row is about a kept clip of clips/{self.spec}. Found {example}; expected such "
                f"as {there}."
            )

    def _check_twice(self) -> None:
        """Refuse rows of one key, and of one clip under two keys: starts of 1.0 and 1.0004 s are one millisecond."""
        for column in ("_key", "clip_id"):
            twice = self._database.execute(f"""
                SELECT string_agg(DISTINCT _key, ' and ' ORDER BY _key) AS keys, count(*)
                FROM given SEMI JOIN (
                    SELECT {column} FROM given WHERE _key <> '{NO_KEY}' AND {column} IS NOT NULL
                    GROUP BY {column} HAVING count(*) > 1 ORDER BY {column} LIMIT {MAX_NAMED}
                ) USING ({column})
                GROUP BY {column} ORDER BY keys
            """).fetchall()
            if twice:
                named = ", ".join(f"{keys} ({count} rows)" for keys, count in twice)
                raise ConfigError(f"import {self.name}: several rows are about one clip: {named}. Expected one.")

    def _table(self, kind: str) -> str:
        """SQL that reads all parts of a table of the clip spec."""
        partition = f"{kind}/{self.spec}"
        uris = [self._workspace.part_uri(partition, part) for part in self._workspace.require(partition)]
        paths = [str(self._stack.enter_context(files.local_copy(uri))) for uri in uris]
        return f"read_parquet({literal([*map(as_pattern, paths)])}, hive_partitioning = false)"

    def _check_vectors(self) -> None:
        for column, kind in self.columns.items():
            if kind.endswith("[]"):
                lengths = self._database.execute(
                    f'SELECT len("{column}") AS n, min(_key), count(*) FROM given WHERE "{column}" IS NOT NULL '
                    "GROUP BY n ORDER BY 3 DESC, n"
                ).fetchall()
                if len(lengths) > 1:
                    (usual, *_), (other, key, _) = lengths[:2]
                    raise ConfigError(
                        f"import {self.name}: {key}: {column} has {other} numbers, most have {usual}: expected vectors "
                        "of one length."
                    )
                key = self._value(
                    f'SELECT min(_key) FROM given WHERE len(list_filter("{column}", '
                    "lambda x: x IS NULL OR NOT isfinite(x::DOUBLE))) > 0"
                )
                if key is not None:
                    raise ConfigError(
                        f"import {self.name}: {key}: {column} has a number that is none. Expected finite ones, or null "
                        "in place of the whole vector."
                    )

    def _by_part(self, schema: pa.Schema) -> Iterator[tuple[str, pa.Table]]:
        """Part and its rows by clip_id, in order of the parts."""
        columns = ", ".join(_value(column, kind) for column, kind in self.columns.items())
        relation = self._database.sql(
            f"SELECT _part, clip_id, {columns} FROM given WHERE clip_id IS NOT NULL ORDER BY _part, clip_id"
        )
        waiting: list[pa.Table] = []
        current = ""
        for batch in relation.to_arrow_reader(BATCH_ROWS):
            table = pa.Table.from_batches([batch])
            parts = table["_part"].combine_chunks().dictionary_encode()
            for number, part in enumerate(parts.dictionary.to_pylist()):
                rows = table.filter(pc.equal(parts.indices, number)).drop_columns("_part")
                if part != current and waiting:
                    yield current, pa.concat_tables(waiting)
                    waiting = []
                current = part
                waiting.append(rows.cast(schema))
        if waiting:
            yield current, pa.concat_tables(waiting)

    def _not_finite(self) -> dict[str, int]:
        floats = [column for column, kind in self.columns.items() if kind in ("DOUBLE", "FLOAT")]
        counts = {
            column: self._value(f'SELECT count(*) FROM given WHERE NOT isfinite("{column}"::DOUBLE)')
            for column in floats
        }
        return {column: count for column, count in counts.items() if count}

    def _value(self, sql: str) -> Any:
        ((value,),) = self._database.execute(sql).fetchall()  # to its end: DuckDB 2 runs nothing beside an open result
        return value


def _value(column: str, kind: str) -> str:
    """SQL of a column as it is stored."""
    quoted = f'"{column}"'
    if kind in ("DOUBLE", "FLOAT"):
        return f"CASE WHEN isfinite({quoted}::{kind}) THEN {quoted}::{kind} END AS {quoted}"
    return f"{quoted}::{kind} AS {quoted}"


@contextlib.contextmanager
def _as_refusal(uri: str) -> Iterator[None]:
    """What DuckDB finds wrong in a file, as a DataError that names it; its message has the line."""
    try:
        yield
    except duckdb.Error as error:
        raise DataError(f"{uri}: {error}") from error
