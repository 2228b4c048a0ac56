"""A table that grows row by row in memory, in the size that its columns have instead of that of dicts."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from schemas.fields import from_rows

ROWS_AT_ONCE = 500  # are turned into columns: as dicts, the 7 000 clips of a two-hour video take 30 MB


class GrowingTable:
    """Rows of a table, most of them as columns; those since a mark can be dropped.

    Args:
        schema: of the table, as `schemas.fields.table_schema` makes it.
        where: part or stage that is named in the message about a row that does not fit.
    """

    def __init__(self, schema: pa.Schema, where: str) -> None:
        self._schema, self._where = schema, where
        self._rows: list[Mapping[str, Any]] = []
        self._tables = [schema.empty_table()]

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row, which may not change any more."""
        self._rows.append(row)
        if len(self._rows) == ROWS_AT_ONCE:
            self._fold()

    def mark(self) -> int:
        """What `drop_from` takes to drop the rows that come from now on."""
        self._fold()
        return len(self._tables)

    def drop_from(self, mark: int) -> None:
        """Drop the rows that came after a mark."""
        del self._tables[mark:]
        self._rows.clear()

    def table(self) -> pa.Table:
        """All rows, in order. Marks of before are void."""
        self._fold()
        self._tables = [pa.concat_tables(self._tables).combine_chunks()]
        return self._tables[0]

    def _fold(self) -> None:
        if self._rows:
            self._tables.append(from_rows(self._rows, self._schema, self._where))
            self._rows.clear()
