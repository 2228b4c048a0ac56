"""Rows of a table without some videos, whatever the types of its columns."""

from typing import Any

import pyarrow as pa
import pytest

from pipeline.takedown.names import REPLACED, Names
from pipeline.takedown.row_removal import mentions, without

GONE, CLIP, URI = "gone-1", "gone-1_00001000", "/v/gone-1.mp4"
NAMES = Names([GONE], [CLIP], [URI])
LISTS = [pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_(pa.large_string())]
TEXTS = [pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string()]


def table_of(name: str, kind: pa.DataType, *values: Any) -> pa.Table:
    return pa.table({name: pa.array(values, kind), "kept": pa.array(["a"] * len(values))})


@pytest.mark.parametrize(("name", "value"), [("clip_id", CLIP), ("best_video_id", GONE), ("uri", URI)])
@pytest.mark.parametrize("kind", TEXTS, ids=str)
def test_a_row_goes_by_its_id_however_text_is_stored(name: str, value: str, kind: pa.DataType) -> None:
    table = table_of(name, kind, value, "else-2", None)
    assert mentions(table, NAMES)
    kept = without(table, NAMES)
    assert (kept[name].to_pylist(), kept.schema) == (["else-2", None], table.schema)
    assert not mentions(kept, NAMES)


@pytest.mark.parametrize(("name", "value"), [("best_clip_id", CLIP), ("clip_ids", CLIP), ("like_video_ids", GONE)])
@pytest.mark.parametrize("kind", LISTS, ids=str)
def test_a_row_goes_by_a_list_of_ids(name: str, value: str, kind: pa.DataType) -> None:
    table = table_of(name, kind, ["else-2", value], [], None, ["else-2"])
    assert mentions(table, NAMES)
    assert without(table, NAMES)[name].to_pylist() == [[], None, ["else-2"]]


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("nearest_uri", pa.string(), URI),
        ("group_id", pa.string(), f"near {GONE}"),
        ("clip_ids", pa.string(), f"{CLIP};else-2"),
        ("near", pa.dictionary(pa.int32(), pa.string()), GONE),
        ("near", pa.list_(pa.struct({"name": pa.large_string()})), [{"name": GONE}]),
        ("near", pa.map_(pa.string(), pa.string()), [("a", GONE)]),
    ],
)
def test_another_column_of_text_keeps_its_row_without_the_name(name: str, kind: pa.DataType, value: Any) -> None:
    table = table_of(name, kind, value)
    assert mentions(table, NAMES)
    kept = without(table, NAMES)
    (left,) = kept[name].to_pylist()
    assert (GONE in str(left), REPLACED in str(left)) == (False, True)
    assert (kept.schema.field(name).type, mentions(kept, NAMES)) == (kind, False)
