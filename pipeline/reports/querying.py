"""SQL over the workspace's Parquet: one view per table, with every part of it, read by DuckDB.

A view has the columns and types of its schema, also where the stage behind it has not run (it is empty then), so a
query never fails for lack of work. Parts on S3 of the tables that the query names are downloaded first.

Design note: a query cannot write, not even beside the parts. A part is finished work, and `COPY` over one would change
it behind its hash. So a query is one SELECT, and once the views are made, DuckDB opens no other file.
"""

import concurrent.futures
import contextlib
import posixpath
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, DataError
from pipeline.learners import LEARNERS
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.duplicates import DUPLICATES
from schemas.fields import SchemaError, check, table_name
from schemas.labels import LABELS
from schemas.materialized import MATERIALIZED
from schemas.mixtures import MIXTURES
from schemas.reports import SUMMARY, TRAINING
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.usage import USAGE
from schemas.videos import COLLECTION, VIDEOS

# Schema of each table that is no learner's own, and where its parts lie, in the order of the data's flow.
SHARED_TABLES = (
    (COLLECTION, "collection/*.parquet"),
    (VIDEOS, "videos/*.parquet"),
    (CLIPS, "clips/*.parquet"),
    (SCORES, "scores/*/*.parquet"),
    (LABELS, "labels/*.parquet"),
    (DUPLICATES, "duplicates/*/*.parquet"),
    (SELECTIONS, "selections/*/*.parquet"),
    (MATERIALIZED, "materialized/*/*.parquet"),
    (MIXTURES, "mixtures/*/*.parquet"),
    (TRAINING, "training/*.parquet"),
    (SUMMARY, "reports/model=*/summary/*.parquet"),
    (USAGE, "usage/*/*.parquet"),
)
NUM_DOWNLOADS = 16  # at once: a part takes 50 ms of waiting and hardly any work
READ_ONLY = ("SELECT", "MULTI")  # DuckDB's names; MULTI is a PIVOT, which asks for its columns first


def tables() -> list[tuple[pa.Schema, str]]:
    """Schema of every table and the pattern of its parts' paths: the shared ones, then those of the evaluations."""
    own = [schema for entry in LEARNERS.values() for schema in entry.evaluation().tables]
    return [*SHARED_TABLES, *((schema, f"reports/model=*/{table_name(schema)}/*.parquet") for schema in own)]


def describe() -> list[tuple[str, str, str, str, str]]:
    """(view, column, type, unit, doc) of every column of every view, in the order of the data's flow."""
    return [
        (table_name(schema), item.name, str(item.type), _text(item, b"unit"), _text(item, b"doc"))
        for schema, _ in tables()
        for item in schema
    ]


def query(workspace: Workspace, sql: str) -> pa.Table:
    """The result of one SELECT over the views that `describe` lists.

    Raises:
        ConfigError: the SQL is wrong or no SELECT, or no stage has run below the root.
        DataError: a part is damaged, or of another version of its schema.
    """
    return query_all(workspace, {"": sql})[""]


def query_all(workspace: Workspace, queries: Mapping[str, str]) -> dict[str, pa.Table]:
    """The result of each query by its name: parts are listed, and on S3 downloaded, once for all. Raises as `query`."""
    paths: dict[str, str] = {}  # where each part lies on this machine: its address
    text = "\n".join(queries.values())
    with (
        tempfile.TemporaryDirectory(prefix="earshot-query-") as folder,
        contextlib.ExitStack() as copies,
        duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}) as database,
    ):
        for schema, pattern in tables():
            # only tables named in the SQL are listed; a name that occurs by chance costs only its listing
            named = re.search(rf"\b{table_name(schema)}\b", text, re.IGNORECASE)
            parts = list(_parts(workspace, pattern)) if named else []
            paths |= _create_view(database, schema, parts, Path(folder), copies)
        if not any(paths.values()):
            _require_stage(workspace)
        _lock(database, list(paths), folder)
        try:
            return {name: _select(database, sql) for name, sql in queries.items()}
        except duckdb.Error as error:
            for path, uri in paths.items():
                if path in str(error):
                    raise DataError(f"{uri or path}: {error}") from error
            raise ConfigError(f"query: {error}\n{_views()}") from error


def _select(database: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    statements = database.extract_statements(sql)
    if len(statements) != 1 or statements[0].type.name not in READ_ONLY:
        raise ConfigError(f"query: expected one SELECT.\n{_views()}")
    return _distinct_names(database.sql(sql).to_arrow_table())


def _distinct_names(table: pa.Table) -> pa.Table:
    """The table with a second `video_id` renamed to `video_id_1`, because rows become dicts later."""
    names: list[str] = []
    for name in table.column_names:
        taken = sum(re.fullmatch(rf"{re.escape(name)}(_\d+)?", other) is not None for other in names)
        names.append(f"{name}_{taken}" if name in names else name)
    return table.rename_columns(names)


def _parts(workspace: Workspace, pattern: str) -> Iterator[str]:
    """Addresses of a table's parts, in order."""
    for entry in files.list_files(workspace.uri(pattern.partition("/")[0])):
        if PurePosixPath(files.relative(entry.uri, workspace.root)).match(pattern):
            yield entry.uri


def _create_view(
    database: duckdb.DuckDBPyConnection, schema: pa.Schema, parts: list[str], folder: Path, copies: contextlib.ExitStack
) -> dict[str, str]:
    """Make the view of one table; return the files it reads, local path to address ("" if the file is no part)."""
    name = table_name(schema)
    # DuckDB takes names and types from the first file: one without rows, which every view has
    first = folder / f"{name}.parquet"
    pq.write_table(schema.empty_table(), first)

    with concurrent.futures.ThreadPoolExecutor(NUM_DOWNLOADS) as pool:
        local = list(pool.map(lambda uri: str(copies.enter_context(files.local_copy(uri))), parts))
    # one part of each folder is enough: one stage wrote them all
    for uri, path in {posixpath.dirname(uri): (uri, path) for uri, path in zip(parts, local, strict=True)}.values():
        try:
            check(pq.read_schema(path).empty_table(), schema, uri)
        except (pa.ArrowInvalid, SchemaError) as error:
            raise DataError(f"{uri}: {error}") from error
    columns = ", ".join(f'"{column}"' for column in schema.names)
    paths = _literal([str(first), *local])
    database.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM read_parquet({paths}, hive_partitioning = false)")
    return {str(first): ""} | dict(zip(local, parts, strict=True))


def _lock(database: duckdb.DuckDBPyConnection, paths: list[str], folder: str) -> None:
    """Restrict DuckDB to the views' files and its own spill folder, and forbid changes of its settings."""
    spill = str(Path(folder) / "spill")
    for setting in (
        f"temp_directory = {_literal(spill)}",  # the default would be a folder in the working directory
        f"allowed_paths = {_literal(paths)}",
        f"allowed_directories = {_literal([spill])}",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        database.execute(f"SET {setting}")


def _literal(value: str | list[str]) -> str:
    """A string, or a list of strings, as DuckDB writes it."""
    if isinstance(value, list):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return "'" + value.replace("'", "''") + "'"


def _require_stage(workspace: Workspace) -> None:
    """Raise a ConfigError if there is no stage's file below the root."""
    tops = dict.fromkeys(pattern.partition("/")[0] for _, pattern in tables())
    if not any(True for top in tops for _ in files.list_files(workspace.uri(top))):  # stops at the first file
        raise ConfigError(f"root {workspace.root}: no stage has run there.", "missing", folder="", root=workspace.root)


def _views() -> str:
    """The end of an error message: one line per view, with its columns."""
    return "Views and their columns:\n" + "\n".join(
        f"  {table_name(schema)}: {', '.join(schema.names)}" for schema, _ in tables()
    )


def _text(item: pa.Field, key: bytes) -> str:
    return (item.metadata or {}).get(key, b"").decode()
