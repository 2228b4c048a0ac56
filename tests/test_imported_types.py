"""Types of imported columns: whole numbers stay whole, vectors are of numbers, what cannot be stored has no type."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import ConfigError
from pipeline.outside.imported_types import imported_schema, imported_schemas, schema_of, stored_type
from pipeline.storage.workspace import Workspace


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
        ("DATE", "VARCHAR"),
        ("ENUM('a', 'b')", "VARCHAR"),
        ("DATE[]", None),
        ("STRUCT(a DATE)", None),
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


def test_a_table_is_found_by_its_name_and_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    for name, columns in (("tags", {"speech": "BOOLEAN"}), ("peav", {"similarity": "DOUBLE"})):
        workspace.begin(f"imported/{name}", {"columns": columns}, {})
    assert imported_schema(workspace, "peav").equals(schema_of("peav", {"similarity": "DOUBLE"}), check_metadata=True)
    assert list(imported_schemas(workspace)) == ["peav", "tags"]
    with pytest.raises(ConfigError, match="name=clap: nothing there yet") as refused:
        imported_schema(workspace, "clap")
    assert refused.value.topic == "missing"
