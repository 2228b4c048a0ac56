"""How a table is described and checked: `field`, `table_schema`, `check`.

A table's schema is a pyarrow schema whose fields carry a doc and a unit, and which itself carries the table's name,
its version and what one row is. All of it travels inside every Parquet file, so a file explains itself.
"""

import pyarrow as pa


class SchemaError(Exception):
    """A table that is not what its schema says; the message names the table, the field and both types."""


def field(name: str, type: pa.DataType, doc: str, unit: str | None = None, nullable: bool = False) -> pa.Field:
    """One column: its doc says what the value means, its unit is the one that ends the name (s, hz, db, bytes)."""
    metadata = {"doc": doc} | ({"unit": unit} if unit else {})
    return pa.field(name, type, nullable=nullable, metadata=metadata)


def table_schema(name: str, version: int, row: str, fields: list[pa.Field]) -> pa.Schema:
    """A table's schema. `row` completes the sentence "one row is ..."."""
    return pa.schema(fields, metadata={"table": name, "version": str(version), "row": row})


def table_name(schema: pa.Schema) -> str:
    """The table's name, which is also the name of its view in `earshot query`."""
    return schema.metadata[b"table"].decode()


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
    return table.select(schema.names).cast(schema)


def from_rows(rows: list[dict], schema: pa.Schema, where: str) -> pa.Table:
    """A checked table from one dict per row; a missing nullable field becomes null."""
    for row in rows:
        for key in row.keys() - set(schema.names):
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
