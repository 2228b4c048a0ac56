"""How a table is described and checked: `table_schema`, `from_rows`, `check`.

A table is a TypedDict for its rows, as mypy knows them, and a pyarrow schema that is made from it. The schema's fields
carry a doc and a unit, and the schema itself the table's name, its version and what one row is. All of that travels
inside every Parquet file, so a file explains itself.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, get_args, get_type_hints

import pyarrow as pa

COLUMN_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class SchemaError(Exception):
    """A table that is not what its schema says; the message names the table, the field and both types."""


class Key(NamedTuple):
    """A key of a TypedDict, as its annotation describes it."""

    name: str
    kind: Any
    """Python type of its value, None left out."""
    is_nullable: bool
    texts: list[str]
    """What the value means, and where it has one its unit."""
    column_type: pa.DataType | None
    """Of the table's column, where it is not COLUMN_TYPES[kind]."""


def describe_keys(row: type) -> Iterator[Key]:
    """Every key of a TypedDict whose annotations say what each means; see `table_schema`."""
    for name, hint in get_type_hints(row, include_extras=True).items():
        kinds = get_args(hint.__origin__) if type(None) in get_args(hint.__origin__) else (hint.__origin__,)
        texts = [about for about in hint.__metadata__ if isinstance(about, str)]
        column_type = next((about for about in hint.__metadata__ if not isinstance(about, str)), None)
        yield Key(name, kinds[0], len(kinds) > 1, texts, column_type)


def table_schema(name: str, version: int, row: type, partitions: Mapping[str, str] = MappingProxyType({})) -> pa.Schema:
    """The schema of a table whose rows are of the TypedDict `row`; its docstring completes "one row is ...".

    A column is annotated with what its value means, and where it has one its unit, which then ends its name, and where
    it is not COLUMN_TYPES[Python type] its type: `width: Annotated[int | None, "coded width", "pixels", pa.int32()]`.
    `partitions` has the meaning of each column that is in the path of a part alone: Hive partitioning, which other
    engines read.
    """
    columns = []
    for key in describe_keys(row):
        column_type = COLUMN_TYPES[key.kind] if key.column_type is None else key.column_type
        metadata = dict(zip(("doc", "unit"), key.texts, strict=False))
        columns.append(pa.field(key.name, column_type, nullable=key.is_nullable, metadata=metadata))
    facts = {"table": name, "version": str(version), "row": row.__doc__, "partitions": json.dumps(dict(partitions))}
    return pa.schema(columns, metadata=facts)


def table_name(schema: pa.Schema) -> str:
    """The table's name, which is also the name of its view in `earshot query`."""
    return schema.metadata[b"table"].decode()


def schema_of(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    """The schema of some of a table's columns."""
    return pa.schema([schema.field(name) for name in columns], schema.metadata)


def partition_columns(schema: pa.Schema) -> dict[str, str]:
    """The meaning of each partition column, by its name, in the order of the path."""
    return json.loads(schema.metadata[b"partitions"])


def check(table: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    """The table, with its schema's metadata, if every field is there, of its type, and without undeclared nulls.

    Args:
        table: what was read or is about to be written.
        schema: what it must be.
        where: file or stage named in the message.
    Raises:
        SchemaError: another version, or a field that is missing, unknown, of another type, or null.
    """
    name = table_name(schema)
    expected_version = schema.metadata[b"version"].decode()
    found_version = (table.schema.metadata or {}).get(b"version", expected_version.encode()).decode()
    if found_version != expected_version:
        raise SchemaError(
            f"{where}: table `{name}` has version {found_version}, this code reads version {expected_version}. "
            "Rebuild that stage, or use the release that wrote it."
        )
    expected, found = set(schema.names), set(table.schema.names)
    for missing in sorted(expected - found):
        raise SchemaError(f"{where}: table `{name}` lacks the field `{missing}`.")
    for unknown in sorted(found - expected):
        raise SchemaError(f"{where}: table `{name}` has the field `{unknown}`, which its schema does not know.")
    for item in schema:
        column = table.column(item.name)
        if column.type != item.type:
            raise SchemaError(f"{where}: field `{name}.{item.name}` is {column.type}, expected {item.type}.")
        if not item.nullable and column.null_count:
            raise SchemaError(f"{where}: field `{name}.{item.name}` has {column.null_count} nulls, expected none.")
    return pa.Table.from_arrays([table.column(name) for name in schema.names], schema=schema)


def from_rows(rows: Sequence[Mapping[str, Any]], schema: pa.Schema, where: str) -> pa.Table:
    """A checked table from one dict per row; a missing nullable field becomes null."""
    names = set(schema.names)
    for row in rows:
        for key in row.keys() - names:
            raise SchemaError(f"{where}: a row has `{key}`, which table `{table_name(schema)}` does not know.")
    try:
        table = pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        for item in schema:  # name the field that is wrong: pyarrow does not
            try:
                pa.array([row.get(item.name) for row in rows], type=item.type)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as field_error:
                name = f"{table_name(schema)}.{item.name}"
                raise SchemaError(f"{where}: field `{name}` cannot be {item.type}: {field_error}") from error
        raise
    return check(table, schema, where)
