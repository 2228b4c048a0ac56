"""SQL over the workspace's Parquet: one view per table, with every part of it, read by DuckDB.

A view has the partition columns and the columns of its schema, also where the stage behind it has not run (it is empty
then), so a query never fails for lack of work. Parts on S3 of the tables that the query names are downloaded first.

Design note: a query cannot write, not even beside the parts. A part is finished work, and `COPY` over one would change
it behind its hash. So a query is one SELECT, and once the views are made, DuckDB opens no other file.
"""

import concurrent.futures
import contextlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, DataError
from pipeline.learners import LEARNERS
from pipeline.storage import files
from pipeline.storage.layout import TABLES
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
from schemas.usage import USAGE
from schemas.videos import COLLECTION, VIDEOS

# The tables that are no learner's own, in the order of the data's flow.
SHARED_TABLES = (
    *(COLLECTION, VIDEOS, CLIPS, SCORES, FEATURES, LABELS, SPANS, MASKS, DUPLICATES),
    *(SELECTIONS, MATERIALIZED, MIXTURES, TRAINING, SUMMARY, USAGE),
)
NUM_DOWNLOADS = 16  # at once: a part takes 50 ms of waiting and hardly any work
READ_ONLY = ("SELECT", "MULTI")  # DuckDB's names; MULTI is a PIVOT, which asks for its columns first


def tables() -> list[pa.Schema]:
    """The schema of every table: the shared ones, then those of the evaluations."""
    evaluations = [kind for entry in LEARNERS.values() for kind in reversed(entry.evaluations())]
    return [*SHARED_TABLES, *(schema for kind in evaluations for schema in (*kind.tables, *kind.derived))]


def describe() -> list[tuple[str, str, str, str, str]]:
    """(view, column, type, unit, doc) of every column of every view, in the order of the data's flow."""
    rows = []
    for schema in tables():
        view = table_name(schema)
        rows += [(view, name, "string", "", doc) for name, doc in partition_columns(schema).items()]
        rows += [(view, item.name, str(item.type), _text(item, b"unit"), _text(item, b"doc")) for item in schema]
    return rows


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
        for schema in tables():
            # only tables named in the SQL are listed; a name that occurs by chance costs only its listing
            named = re.search(rf"\b{table_name(schema)}\b", text, re.IGNORECASE)
            parts = _parts(workspace, table_name(schema)) if named else {}
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
    pq.write_table(schema.empty_table(), first)
    read, selects = {str(first): ""}, [_select_from([str(first)], schema, dict.fromkeys(keys, ""))]
    for values, uris in parts.items():
        if len(values) != len(keys):
            raise DataError(f"{uris[0]}: expected a path below {name}/ of {', '.join(keys)}. Move it away.")
        with concurrent.futures.ThreadPoolExecutor(NUM_DOWNLOADS) as pool:
            local = list(pool.map(lambda uri: str(copies.enter_context(files.local_copy(uri))), uris))
        try:  # one part of each partition is enough: one stage wrote them all
            check(pq.read_schema(local[0]).empty_table(), schema, uris[0])
        except (pa.ArrowInvalid, SchemaError) as error:
            raise DataError(f"{uris[0]}: {error}") from error
        selects.append(_select_from([str(first), *local], schema, dict(zip(keys, values, strict=True))))
        read |= dict(zip(local, uris, strict=True))
    database.execute(f"CREATE VIEW {name} AS {' UNION ALL '.join(selects)}")
    return read


def _select_from(paths: list[str], schema: pa.Schema, values: Mapping[str, str]) -> str:
    """The SELECT over one partition's parts, with the values of its partition columns first."""
    columns = [f'{_literal(value)} AS "{key}"' for key, value in values.items()]
    columns += [f'"{column}"' for column in schema.names]
    return f"SELECT {', '.join(columns)} FROM read_parquet({_literal(paths)}, hive_partitioning = false)"


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
    if not any(True for _ in files.list_files(workspace.uri(TABLES))):  # stops at the first file
        raise ConfigError(f"root {workspace.root}: no stage has run there.", "missing", stage="", root=workspace.root)


def _views() -> str:
    """The end of an error message: one line per view, with its columns."""
    return "Views and their columns:\n" + "\n".join(
        f"  {table_name(schema)}: {', '.join([*partition_columns(schema), *schema.names])}" for schema in tables()
    )


def _text(item: pa.Field, key: bytes) -> str:
    return (item.metadata or {}).get(key, b"").decode()
