"""A table that grows row by row: its rows in order, those since a mark dropped, and one that does not fit named."""

from typing import Annotated, TypedDict

import pytest

from pipeline.storage.growing_tables import ROWS_AT_ONCE, GrowingTable
from schemas.fields import SchemaError, table_schema


class NumberRow(TypedDict):
    """one number"""

    number: Annotated[int, "the number"]


NUMBERS = table_schema("numbers", version=1, row=NumberRow)


def grown(*counts: int) -> GrowingTable:
    """Rows 0, 1, ... in turns: each ends with a mark, and one of a negative count drops what it added."""
    table, number = GrowingTable(NUMBERS, "here"), 0
    for count in counts:
        mark = table.mark()
        for added in range(abs(count)):
            table.add({"number": number + added})
        if count < 0:
            table.drop_from(mark)
        else:
            number += count
    return table


@pytest.mark.parametrize("counts", [(), (1,), (ROWS_AT_ONCE,), (ROWS_AT_ONCE + 1, 3), (2 * ROWS_AT_ONCE, 1, 700)])
def test_rows_come_back_in_order(counts: tuple[int, ...]) -> None:
    table = grown(*counts).table()
    assert table["number"].to_pylist() == list(range(sum(counts)))
    assert table.schema.equals(NUMBERS, check_metadata=True)


@pytest.mark.parametrize("dropped", [1, ROWS_AT_ONCE - 3, ROWS_AT_ONCE, 3 * ROWS_AT_ONCE + 1])
def test_rows_that_came_after_a_mark_are_dropped_however_many_they_are(dropped: int) -> None:
    assert grown(3, -dropped, 4, -dropped).table()["number"].to_pylist() == list(range(7))


def test_a_row_that_does_not_fit_is_named() -> None:
    table = GrowingTable(NUMBERS, "part 00042")
    table.add({"number": None})
    with pytest.raises(SchemaError, match=r"part 00042: field `numbers.number` has 1 nulls"):
        table.table()
