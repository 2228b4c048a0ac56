"""Types of the columns of imported tables: as DuckDB finds them in files, as they are stored, and as Arrow's."""

import json
import re

import pyarrow as pa

from pipeline.storage.layout import IMPORTED
from pipeline.storage.workspace import Workspace

KEYS = ("clip_id", "uri", "start_s", "end_s")  # say which clip a row is about, and are no columns of its values
MIN, MAX = -(2**63), 2**63 - 1  # of a column of whole numbers
WIDE = ("HUGEINT", "UBIGINT")  # of numbers that BIGINT may not hold
# DuckDB's types, by the type that a column is stored as.
STORED = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "BIGINT"),
    **dict.fromkeys(WIDE, "BIGINT"),  # if all of its numbers fit
    **dict.fromkeys(("DOUBLE", "DECIMAL"), "DOUBLE"),
    "FLOAT": "FLOAT",
    "BOOLEAN": "BOOLEAN",
    **dict.fromkeys(("VARCHAR", "ENUM", "UUID", "DATE", "TIME", "TIME WITH TIME ZONE"), "VARCHAR"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "VARCHAR"),
    "TIMESTAMP WITH TIME ZONE": "VARCHAR",
}
NUMBERS = ("BIGINT", "DOUBLE", "FLOAT")


def schema_of(name: str, columns: dict[str, str]) -> pa.Schema:
    """The schema of an imported table, from the types in its record: clip_id first."""
    fields = [pa.field("clip_id", pa.string(), nullable=False, metadata={"doc": "the clip"})]
    for column, kind in columns.items():
        fields.append(pa.field(column, _arrow_type(kind), metadata={"doc": f"as imported under the name {name}"}))
    facts = {"table": name, "version": "1", "row": "what another tool says of one clip", "partitions": json.dumps({})}
    return pa.schema(fields, metadata=facts)


def imported_schemas(workspace: Workspace) -> dict[str, pa.Schema]:
    """The schema of every imported table by its name, which is the name of its view."""
    return {
        name: imported_schema(workspace, name)
        for name in workspace.names(IMPORTED)
        if workspace.has_stage(f"{IMPORTED}/{name}")
    }


def imported_schema(workspace: Workspace, name: str) -> pa.Schema:
    """The schema of one imported table: `clip_id`, then the columns that its record has, with their Arrow types.

    Its rows are the parts of `imported/<name>`; `Workspace.read` takes them by this schema.

    Raises:
        ConfigError: there is no imported table of the name; the topic is `missing`.
    """
    return schema_of(name, workspace.stage(f"{IMPORTED}/{name}")["settings"]["columns"])


def stored_type(kind: str) -> str | None:
    """What a DuckDB type is stored as; None for one that is not."""
    if match := re.fullmatch(r"(.+)\[\d*\]", kind):
        inner = "DOUBLE" if match[1] in WIDE else stored_type(match[1])
        return f"{inner}[]" if inner in NUMBERS else None
    return STORED.get(kind.partition("(")[0])


def _arrow_type(kind: str) -> pa.DataType:
    if kind.endswith("[]"):
        return pa.list_(_arrow_type(kind[:-2]))
    types = {"BIGINT": pa.int64(), "DOUBLE": pa.float64(), "FLOAT": pa.float32(), "BOOLEAN": pa.bool_()}
    return types.get(kind, pa.string())
