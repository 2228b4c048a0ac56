"""Types of imported columns: whole numbers stay whole, vectors are of numbers, what cannot be stored has no type."""

import pyarrow as pa
import pytest

from pipeline.outside.imported_types import schema_of, stored_type


@pytest.mark.parametrize(
    ("found", "stored"),
    [
        ("USMALLINT", "BIGINT"),
        ("DECIMAL(5,2)", "DOUBLE"),
        ("FLOAT", "FLOAT"),
        ("BOOLEAN", "BOOLEAN"),
        ("VARCHAR", "VARCHAR"),
        ("FLOAT[128]", "FLOAT[]"),
        ("INTEGER[]", "BIGINT[]"),
        ("VARCHAR[]", None),
        ("DOUBLE[][]", None),
        ("DATE", None),
        ("UBIGINT", "BIGINT"),
        ("UBIGINT[]", "DOUBLE[]"),
    ],
)
def test_a_type_of_a_file_is_stored_as(found: str, stored: str | None) -> None:
    assert stored_type(found) == stored


def test_a_schema_has_the_clip_first_and_then_the_columns_in_order() -> None:
    schema = schema_of("peav", {"votes": "BIGINT", "tag": "VARCHAR", "embedding": "FLOAT[]"})
    assert schema.names == ["clip_id", "votes", "tag", "embedding"]
    assert schema.types == [pa.string(), pa.int64(), pa.string(), pa.list_(pa.float32())]
    assert not schema.field("clip_id").nullable
