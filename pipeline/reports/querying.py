"""SQL over the workspace's Parquet: one view per table, with every part of it, read by DuckDB, and a few over these.

A view has the partition columns and the columns of its schema, also where the stage behind it has not run (it is empty
then), so a query never fails for lack of work. Parts on S3 of the tables that the query names are downloaded first.

Design note: a query cannot write, not even beside the parts. A part is finished work, and `COPY` over one would change
it behind its hash. So a query is one SELECT, and once the views are made, DuckDB opens no other file.
"""

import concurrent.futures
import contextlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, DataError
from pipeline.learners import LEARNERS
from pipeline.outside.imported_types import imported_schemas
from pipeline.reports.convenience_views import AGGREGATES, VIEWS, create_aggregates, view_schemas
from pipeline.storage import files
from pipeline.storage.layout import IMPORTED, TABLES
from pipeline.storage.sql_files import TABLE_NAME, as_pattern, literal, select_from_file
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.duplicates import DUPLICATES
from schemas.features import FEATURES
from schemas.fields import SchemaError, check, partition_columns, table_name
from schemas.labels import LABELS
from schemas.masks import MASKS
from schemas.materialized import MATERIALIZED
from schemas.mixtures import MIXTURES
from schemas.reports import SUMMARY, TRAINING
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.spans import SPANS
from schemas.tracks import TRACKS
from schemas.usage import USAGE
from schemas.videos import COLLECTION, VIDEOS

# The tables that are no learner's own, in the order of the data's flow.
SHARED_TABLES = (
    *(COLLECTION, VIDEOS, CLIPS, TRACKS, SCORES, FEATURES, LABELS, SPANS, MASKS, DUPLICATES),
    *(SELECTIONS, MATERIALIZED, MIXTURES, TRAINING, SUMMARY, USAGE),
)
# No extension is fetched, and no variable of this process is a table.
PRIVATE: dict[str, bool | str | int | float | list[str]] = {
    **dict.fromkeys(("autoinstall_known_extensions", "autoload_known_extensions", "python_enable_replacements"), False)
}
NUM_DOWNLOADS = 16  # at once: a part takes 50 ms of waiting and hardly any work
NONE: Mapping[str, str] = MappingProxyType({})
BATCH_ROWS = 100_000
SQL_TYPES = {pa.string(): "VARCHAR", pa.binary(): "BLOB", pa.bool_(): "BOOLEAN", pa.int32(): "INTEGER"}
SQL_TYPES |= {pa.int64(): "BIGINT", pa.float32(): "FLOAT", pa.float64(): "DOUBLE"}
READ_ONLY = ("SELECT", "MULTI")  # DuckDB's names; MULTI is a PIVOT, which asks for its columns first


def tables() -> list[pa.Schema]:
    """The schema of every table: the shared ones, then those of the evaluations."""
    evaluations = [kind for entry in LEARNERS.values() for kind in reversed(entry.evaluations())]
    own = [schema for kind in evaluations for schema in (*kind.tables, *kind.derived)]
    return list({table_name(schema): schema for schema in (*SHARED_TABLES, *own)}.values())  # two may share one


def taken_names() -> set[str]:
    """Names that no other view may have: of views and aggregates, and words of SQL that name no table."""
    with duckdb.connect() as database:
        words = database.sql(
            "FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
        ).fetchall()
    return {*map(table_name, tables()), *VIEWS, *AGGREGATES, *(word for word, _ in words)}


def describe() -> list[tuple[str, str, str, str, str]]:
    """(view, column, type, unit, doc) of every column of every view, in the order of the data's flow."""
    rows = []
    for schema in tables():
        view = table_name(schema)
        rows += [(view, name, "string", "", doc) for name, doc in partition_columns(schema).items()]
        rows += [(view, item.name, str(item.type), _text(item, b"unit"), _text(item, b"doc")) for item in schema]
    of_views = view_schemas(tables())
    return rows + [row for name in VIEWS for row in _describe_convenience(name, of_views[name], rows)]


def describe_table(workspace: Workspace) -> pa.Table:
    """The rows of `describe`, and those of the workspace's imported tables, as a table."""
    rows = describe()
    for view, schema in imported_schemas(workspace).items():
        rows += [(view, item.name, str(item.type), "", _text(item, b"doc")) for item in schema]
    names = ("view", "column", "type", "unit", "meaning")
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})


def query(workspace: Workspace, sql: str, own: Mapping[str, str] = NONE) -> pa.Table:
    """The result of one SELECT over the views that `describe` lists.

    Args:
        workspace: whose tables are read.
        sql: the SELECT.
        own: further views by name: addresses of CSV or Parquet files, which are only read.
    Raises:
        ConfigError: the SQL is wrong or no SELECT, no stage has run below the root, or a name or file of `own` cannot
            be used.
        DataError: a part or file is damaged, or a part of another version of its schema.
    """
    with stream(workspace, sql, own) as reader:
        return reader.read_all()


@contextlib.contextmanager
def stream(workspace: Workspace, sql: str, own: Mapping[str, str] = NONE) -> Iterator[pa.RecordBatchReader]:
    """The result of one SELECT, read while the context is open. Arguments and errors as of `query`."""
    with _opened(workspace, sql, own) as database:
        relation = database.sql(_checked(database, sql))
        reader = relation.to_arrow_reader(BATCH_ROWS)
        names = distinct_names(reader.schema.names)
        schema = pa.schema([item.with_name(name) for item, name in zip(reader.schema, names, strict=True)])
        yield pa.RecordBatchReader.from_batches(schema, (batch.rename_columns(names) for batch in reader))


def query_all(workspace: Workspace, queries: Mapping[str, str]) -> dict[str, pa.Table]:
    """The result of each query by its name: parts are listed, and on S3 downloaded, once for all. Raises as `query`."""
    with _opened(workspace, "\n".join(queries.values()), NONE) as database:
        tables = {name: database.sql(_checked(database, sql)).to_arrow_table() for name, sql in queries.items()}
        return {name: table.rename_columns(distinct_names(table.column_names)) for name, table in tables.items()}


def explain(workspace: Workspace, sql: str, own: Mapping[str, str] = NONE) -> str:
    """How DuckDB would answer one SELECT: its plan, as text. Arguments and errors as of `query`."""
    with _opened(workspace, sql, own) as database:
        rows = database.execute(f"EXPLAIN {_checked(database, sql)}").fetchall()
        return "\n".join(str(text).rstrip() for _, text in rows)


@contextlib.contextmanager
def _opened(workspace: Workspace, text: str, own: Mapping[str, str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked database with the views that SQL names; what DuckDB raises in the context becomes an error of ours."""
    paths: dict[str, str] = {}  # where each part lies on this machine: its address
    derived = _needed(text, VIEWS)
    text = "\n".join([text, *(VIEWS[name].sql for name in derived)])
    imported = imported_schemas(workspace)
    with (
        tempfile.TemporaryDirectory(prefix="earshot-query-") as folder,
        contextlib.ExitStack() as copies,
        duckdb.connect(config=PRIVATE) as database,
    ):
        try:
            needed = _needed(text, map(table_name, tables()))
            for schema in tables():
                if table_name(schema) in needed:
                    parts = _parts(workspace, table_name(schema))
                    paths |= _create_view(database, schema, parts, Path(folder), copies)
                else:
                    _create_empty_view(database, schema)
            if not any(paths.values()):
                _require_stage(workspace)
            for name, schema in imported.items():
                if _needed(text, [name]):
                    parts = {
                        (): [
                            workspace.part_uri(f"{IMPORTED}/{name}", part)
                            for part in workspace.parts(f"{IMPORTED}/{name}")
                        ]
                    }
                    paths |= _create_view(database, schema, parts, Path(folder), copies)
            for name, uri in own.items():
                if name in imported:
                    raise ConfigError(f"table {name}: an imported table has this name. Choose another.")
                paths |= _create_own_view(database, name, uri, copies)
            for name in derived:
                database.execute(f"CREATE VIEW {name} AS {VIEWS[name].sql}")
            create_aggregates(database, _needed(text, AGGREGATES))
            _lock(database, list(paths), folder)
            yield database
        except duckdb.Error as error:
            for path, uri in paths.items():
                if path in str(error) or as_pattern(path) in str(error):
                    raise DataError(f"{uri or path}: {error}") from error
            known = {name: schema.names for name, schema in imported.items()}
            raise ConfigError(f"query: {error}\n{_views(known)}") from error


def _needed(text: str, names: Iterable[str]) -> list[str]:
    """Those of the names that occur in SQL. One that occurs by chance costs only the listing of its parts."""
    return [name for name in names if re.search(rf"\b{name}\b", text, re.IGNORECASE)]


def _checked(database: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The SQL, if it is one SELECT."""
    statements = database.extract_statements(sql)
    if len(statements) != 1 or statements[0].type.name not in READ_ONLY:
        raise ConfigError(f"query: expected one SELECT.\n{_views()}")
    return sql


def distinct_names(names: Sequence[str]) -> list[str]:
    """The names with a second `video_id` made `video_id_1`, because rows become dicts later."""
    found: list[str] = []
    for name in names:
        taken = sum(re.fullmatch(rf"{re.escape(name)}(_\d+)?", other) is not None for other in found)
        found.append(f"{name}_{taken}" if name in found else name)
    return found


def _create_own_view(
    database: duckdb.DuckDBPyConnection, name: str, uri: str, copies: contextlib.ExitStack
) -> dict[str, str]:
    """Make a view of a file of the user's; return its path on this machine, with its address."""
    if not re.fullmatch(TABLE_NAME, name) or name in taken_names():
        raise ConfigError(
            f"table {name}: expected a name of its own of a-z, 0-9 and _, beginning with a letter, that is no word of "
            f"SQL and no view of the workspace: {', '.join(sorted({*map(table_name, tables()), *VIEWS}))}."
        )
    select_from_file(uri, uri)  # refuses a name before it is fetched
    if not files.exists(uri):
        raise ConfigError(f"table {name}: {uri}: no such file.")
    path = str(copies.enter_context(files.local_copy(uri)))
    try:
        database.execute(f"CREATE VIEW {name} AS {select_from_file(path, uri)}")
    except duckdb.Error as error:
        raise DataError(f"{uri}: {error}") from error
    return {path: uri}


def _parts(workspace: Workspace, table: str) -> dict[tuple[str, ...], list[str]]:
    """Addresses of a table's parts, in order, by the values of its partition columns."""
    uri = workspace.uri(TABLES, table)
    parts: dict[tuple[str, ...], list[str]] = {}
    for entry in files.list_files(uri):
        *folders, name = files.relative(entry.uri, uri).split("/")
        if name.endswith(".parquet"):
            parts.setdefault(tuple(folder.partition("=")[2] for folder in folders), []).append(entry.uri)
    return parts


def _create_view(
    database: duckdb.DuckDBPyConnection,
    schema: pa.Schema,
    parts: Mapping[tuple[str, ...], list[str]],
    folder: Path,
    copies: contextlib.ExitStack,
) -> dict[str, str]:
    """Make the view of one table; return the files it reads, local path to address ("" if the file is no part).

    A partition's values are written into its SELECT, because the copy of an object has another path.
    """
    name, keys = table_name(schema), list(partition_columns(schema))
    # Without rows: a table without parts is a view too. It is the first file of every list, because of a list of one
    # DuckDB 2.0 believes Parquet's statistics, which leave NaN out: NOT isnan(score) let NaN pass.
    first = folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_batches([], schema), first)  # empty_table() would import pandas: 0.4 s
    read, selects = {str(first): ""}, [_select_from([str(first)], schema, dict.fromkeys(keys, ""))]
    for values, uris in parts.items():
        if len(values) != len(keys):
            raise DataError(f"{uris[0]}: expected a path below {name}/ of {', '.join(keys)}. Move it away.")
        with concurrent.futures.ThreadPoolExecutor(NUM_DOWNLOADS) as pool:
            local = list(pool.map(lambda uri: str(copies.enter_context(files.local_copy(uri))), uris))
        try:  # one part of each partition is enough: one stage wrote them all
            check(pa.Table.from_batches([], pq.read_schema(local[0])), schema, uris[0])
        except (pa.ArrowInvalid, SchemaError) as error:
            raise DataError(f"{uris[0]}: {error}") from error
        selects.append(_select_from([str(first), *local], schema, dict(zip(keys, values, strict=True))))
        read |= dict(zip(local, uris, strict=True))
    database.execute(f"CREATE VIEW {name} AS {' UNION ALL '.join(selects)}")
    return read


def _create_empty_view(database: duckdb.DuckDBPyConnection, schema: pa.Schema) -> None:
    """Make the view of a table that SQL does not name, which DuckDB lists: half the time of one that reads a file."""
    types = dict.fromkeys(partition_columns(schema), "VARCHAR") | {item.name: sql_type(item.type) for item in schema}
    columns = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in types.items())
    database.execute(f"CREATE VIEW {table_name(schema)} AS SELECT {columns} WHERE false")


def sql_type(kind: pa.DataType) -> str:
    """What DuckDB calls the type of a column of a schema, where it reads Parquet."""
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{item.name} {sql_type(item.type)}' for item in kind)})"
    return SQL_TYPES[kind]


def _select_from(paths: list[str], schema: pa.Schema, values: Mapping[str, str]) -> str:
    """The SELECT over one partition's parts, with the values of its partition columns first."""
    columns = [f'{literal(value)} AS "{key}"' for key, value in values.items()]
    columns += [f'"{column}"' for column in schema.names]
    patterns = literal([*map(as_pattern, paths)])
    return f"SELECT {', '.join(columns)} FROM read_parquet({patterns}, hive_partitioning = false)"


def _lock(database: duckdb.DuckDBPyConnection, paths: list[str], folder: str) -> None:
    """Restrict DuckDB to the views' files and its own spill folder, and forbid changes of its settings."""
    spill = str(Path(folder) / "spill")
    for setting in (
        f"temp_directory = {literal(spill)}",  # the default would be a folder in the working directory
        f"allowed_paths = {literal([*paths, *map(as_pattern, paths)])}",  # it looks at the pattern, then at the file
        f"allowed_directories = {literal([spill])}",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        database.execute(f"SET {setting}")


def _require_stage(workspace: Workspace) -> None:
    """Raise a ConfigError if there is no stage's file below the root."""
    if not any(True for _ in files.list_files(workspace.uri(TABLES))):  # stops at the first file
        raise ConfigError(f"root {workspace.root}: no stage has run there.", "missing", stage="", root=workspace.root)


def _views(imported: Mapping[str, list[str]] | None = None) -> str:
    """The end of an error message: one line per view, with its columns; those of imported tables first."""
    columns: dict[str, list[str]] = dict(imported or {})
    for view, name, *_ in describe():
        columns.setdefault(view, []).append(name)
    return "Views and their columns:\n" + "\n".join(f"  {view}: {', '.join(names)}" for view, names in columns.items())


def _describe_convenience(
    view: str, schema: pa.Schema, rows: list[tuple[str, str, str, str, str]]
) -> list[tuple[str, str, str, str, str]]:
    """Rows of `describe` of a view over others: what its columns mean is said where they come from."""
    known = {name: (unit, doc) for _, name, _, unit, doc in reversed(rows)}
    texts = known | dict(VIEWS[view].columns)
    return [(view, item.name, str(item.type), *texts[item.name]) for item in schema]


def _text(item: pa.Field, key: bytes) -> str:
    return (item.metadata or {}).get(key, b"").decode()
