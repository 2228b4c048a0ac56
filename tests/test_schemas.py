"""Schemas: every field explains itself, a wrong table is named, and what users were promised is there."""

import importlib
from pathlib import Path
from typing import Annotated, TypedDict, get_args, get_type_hints, is_typeddict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage.layout import EVALUATION, PARTITIONS
from schemas.clips import CLIPS
from schemas.duplicates import DUPLICATES
from schemas.features import FEATURES
from schemas.fields import (
    SchemaError,
    check,
    describe_keys,
    from_rows,
    partition_columns,
    table_name,
    table_schema,
)
from schemas.frames import FRAMES
from schemas.labels import LABELS
from schemas.masks import MASKS
from schemas.materialized import MATERIALIZED
from schemas.mixtures import MIXTURES
from schemas.reports import EXAMPLES, OPERATING_POINTS, SOURCES, SUMMARY, TRAINING
from schemas.samples import SAMPLES, ClipFacts, ExampleFacts, FeatureFacts, MouthFacts, SourceFacts
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.sound_examples import SOUND_EXAMPLES
from schemas.spans import SPANS
from schemas.tracks import TRACKS
from schemas.usage import USAGE
from schemas.videos import COLLECTION, SPAN, VIDEOS, Rights, Span

TABLES = (COLLECTION, VIDEOS, CLIPS, TRACKS, USAGE, SCORES, FEATURES, LABELS, SPANS, MASKS, DUPLICATES)
TABLES += (SELECTIONS, MATERIALIZED, MIXTURES, EXAMPLES, SOURCES, OPERATING_POINTS, SOUND_EXAMPLES)
TABLES += (FRAMES, SUMMARY, TRAINING)
EVERY_FIELD = [(table_name(schema), item) for schema in TABLES for item in schema]
UNITS = {"_s": "s", "_hz": "Hz", "_db": "dB", "_bytes": "bytes"}
PROMISED = {
    "videos": "video_id uri size_bytes duration_s width height frame_rate_hz video_codec audio_codec license outcome "
    "detail",
    "clips": "clip_id video_id start_s duration_s part outcome rms_db peak_db loudness_lufs silent_fraction "
    "clipped_fraction luma motion frozen_fraction",
    "tracks": "spec clip_id track tracked_fraction eye_distance_px confidence box",
    "scores": "model clip_id video_id score",
    "features": "spec features clip_id video_id start_s tar_offset tar_bytes num_segments num_cells visual_dim "
    "audio_dim split",
    "selections": "selection clip_id kept reason split",
    "materialized": "selection clip_id part",
    "spans": "video_id start_s end_s category source",
    "masks": "video_id time_s tar_offset tar_bytes height width area category source outcome",
    "duplicates": "selection video_id group_id",
    "mixtures": "mixtures example_id eval_set kind first_clip_id second_clip_id",
    "examples": "model mixtures eval_set example_id video_id si_snr_db si_snr_input_db si_snr_improvement_db "
    "snr_db level_db osr_db",
    "sources": "model mixtures eval_set example_id source probability logit weight on_screen",
    "summary": "model mixtures eval_set metric value unit n low high num_videos",
    "frames": "model clip_id video_id frame sound intersection union iou f_max is_empty",
    "operating_points": "model mixtures logit_shift on_mom_si_snr_db on_single_level_db off_mom_osr_db",
    "usage": "stage part cpu_s wall_s peak_bytes",
}
PROMISED_JSON = {
    ClipFacts: "clip_id video_id start_s duration_s sample_rate_hz frame_times_s uri license author extra",
    MouthFacts: "clip_id video_id start_s duration_s sample_rate_hz frame_times_s uri license author extra track "
    "transforms confidences",
    ExampleFacts: "example_id eval_set kind first_clip_id sound_clip_id second_clip_id split label_source part "
    "sample_rate_hz frame_times_s sources",
    SourceFacts: "clip_id uri license author extra",
    FeatureFacts: "clip_id video_id start_s",
}


class Thing(TypedDict):
    """a thing"""

    name: Annotated[str, "its name"]
    mass_kg: Annotated[float | None, "its mass", "kg"]


THING = table_schema("things", version=3, row=Thing)


def things(names: list[str | None], masses: list[float | None]) -> pa.Table:
    return pa.table({"name": pa.array(names, pa.string()), "mass_kg": pa.array(masses, pa.float64())})


@pytest.mark.parametrize(("table", "item"), EVERY_FIELD, ids=[f"{table}.{item.name}" for table, item in EVERY_FIELD])
def test_every_field_says_what_it_means_and_in_which_unit(table: str, item: pa.Field) -> None:
    assert len(item.metadata[b"doc"].split()) >= 2
    expected = next((unit for suffix, unit in UNITS.items() if item.name.endswith(suffix)), None)
    if expected is not None:
        assert item.metadata[b"unit"].decode().startswith(expected)


ROWS = [
    row
    for name in (
        "clips",
        "duplicates",
        "features",
        "frames",
        "labels",
        "masks",
        "materialized",
        "mixtures",
        "reports",
        "scores",
        "selections",
        "sound_examples",
        "spans",
        "tracks",
        "usage",
        "videos",
    )
    for row in vars(importlib.import_module(f"schemas.{name}")).values()
    if is_typeddict(row)
]
VALUES = {str: "a", int: 1, float: 0.5, bool: True, bytes: b"a", list[float]: [0.5], list[int]: [1], list[str]: ["a"]}
VALUES[Rights] = "unknown"
VALUES[list[Span]] = [{"start_s": 0.5, "end_s": None}]


def test_a_schema_has_the_names_types_and_nulls_of_its_rows() -> None:
    by_names = {tuple(schema.names): schema for schema in TABLES}
    rows = [row for row in ROWS if row is not Span]
    assert len(rows) == len(TABLES) == len(by_names)
    for row in rows:
        schema = by_names[tuple(row.__annotations__)]
        for name, hint in get_type_hints(row).items():
            assert schema.field(name).nullable == (hint == hint | None)
            value = VALUES[hint if not schema.field(name).nullable else get_args(hint)[0]]
            (found,) = pa.array([value], schema.field(name).type).to_pylist()
            assert found == value
            assert type(found) is type(value)


def test_table_names_are_different_and_each_says_what_one_row_is() -> None:
    assert len({table_name(schema) for schema in TABLES}) == len(TABLES)
    for schema in TABLES:
        assert int(schema.metadata[b"version"]) >= 1
        assert schema.metadata[b"row"].decode().startswith("one ")


@pytest.mark.parametrize("schema", TABLES, ids=table_name)
def test_columns_promised_to_users_exist(schema: pa.Schema) -> None:
    columns = {*partition_columns(schema), *schema.names}
    assert set(PROMISED.get(table_name(schema), "").split()) <= columns


def test_keys_of_spans_and_of_the_json_in_tars_are_those_promised_to_users() -> None:
    assert [item.name for item in SPAN] == ["start_s", "end_s"]
    assert {facts: {key.name for key in describe_keys(facts)} for facts in SAMPLES} == {
        facts: set(names.split()) for facts, names in PROMISED_JSON.items()
    }


@pytest.mark.parametrize("facts", SAMPLES)
def test_every_key_of_the_json_in_tars_says_what_it_means_and_in_which_unit(facts: type) -> None:
    for key in describe_keys(facts):
        assert len(key.texts[0].split()) >= 2, key.name
        unit = next((unit for suffix, unit in UNITS.items() if key.name.endswith(suffix)), None)
        assert key.texts[1:] == ([] if unit is None else [unit]), key.name


def test_partition_columns_are_those_of_the_paths_and_in_no_file() -> None:
    for schema in TABLES:
        columns = partition_columns(schema)
        assert tuple(columns) == PARTITIONS.get(table_name(schema), EVALUATION)
        assert all(len(doc.split()) >= 3 for doc in columns.values())
        assert not columns.keys() & set(schema.names)


def test_every_promised_table_exists() -> None:
    assert PROMISED.keys() <= {table_name(schema) for schema in TABLES}


def test_keys_that_join_tables_have_one_type_everywhere() -> None:
    for key in ("video_id", "clip_id", "example_id", "part", "split", "eval_set"):
        assert len({str(schema.field(key).type) for schema in TABLES if key in schema.names}) == 1


def test_a_file_explains_itself_to_a_reader_that_has_only_pyarrow(tmp_path: Path) -> None:
    table = from_rows([{"name": "apple", "mass_kg": 0.1}, {"name": "idea"}], THING, "here")
    pq.write_table(table, tmp_path / "things.parquet")
    found = pq.read_schema(tmp_path / "things.parquet")
    assert found.field("mass_kg").metadata[b"unit"] == b"kg"
    assert found.field("name").metadata[b"doc"] == b"its name"
    assert found.metadata[b"row"] == b"a thing"
    assert pq.read_table(tmp_path / "things.parquet").to_pylist() == [
        {"name": "apple", "mass_kg": 0.1},
        {"name": "idea", "mass_kg": None},
    ]


def test_columns_come_back_in_the_schemas_order() -> None:
    swapped = things(["a"], [1.0]).select(["mass_kg", "name"])
    assert check(swapped, THING, "here").column_names == ["name", "mass_kg"]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (things(["a"], [1.0]).drop_columns("mass_kg"), "t.parquet: table `things` lacks the field `mass_kg`"),
        (things(["a"], [1.0]).append_column("colour", pa.array(["red"])), "field `colour`"),
        (things(["a", None], [1.0, 2.0]), "field `things.name` has 1 nulls, expected none"),
        (things(["a"], [1.0]).set_column(1, "mass_kg", pa.array([1])), "field `things.mass_kg` is int64, expected dou"),
        (things(["a"], [1.0]).replace_schema_metadata({"version": "2"}), "version 2, this code reads version 3"),
    ],
    ids=["missing", "unknown", "null", "type", "version"],
)
def test_a_wrong_table_is_named_with_its_field(table: pa.Table, says: str) -> None:
    with pytest.raises(SchemaError) as caught:
        check(table, THING, "t.parquet")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"name": "a", "mass": 1.0}, "a row has `mass`, which table `things` does not know"),
        ({"name": "a", "mass_kg": "heavy"}, "field `things.mass_kg` cannot be double"),
        ({"mass_kg": 1.0}, "field `things.name` has 1 nulls"),
    ],
)
def test_a_wrong_row_is_named_with_its_field(row: dict, says: str) -> None:
    with pytest.raises(SchemaError) as caught:
        from_rows([row], THING, "here")
    assert says in str(caught.value)


def test_no_rows_make_an_empty_table_of_the_schema() -> None:
    for schema in TABLES:
        table = from_rows([], schema, "here")
        assert table.num_rows == 0
        assert table.schema.equals(schema, check_metadata=True)
