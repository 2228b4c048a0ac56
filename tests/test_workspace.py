"""The workspace: what is finished, what is pending, and whose work a folder holds."""

import dataclasses
import datetime
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.clip_specs import ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.errors import ConfigError, DataError
from pipeline.hashing import hash_json
from pipeline.storage import files
from pipeline.storage.workspace import Workspace, open_workspace
from schemas.fields import SchemaError, from_rows
from schemas.labels import LABELS

LABEL = {"clip_id": "v_0", "video_id": "v", "label": "quiet", "num_raters": 1, "label_source": "l.csv"}


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """An empty workspace."""
    if request.param == "local":
        return Workspace(str(tmp_path / "root"))
    return Workspace(f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}")


def labels(num_rows: int) -> pa.Table:
    return from_rows([LABEL | {"clip_id": f"v_{i}"} for i in range(num_rows)], LABELS, "here")


def test_pending_parts_are_those_of_the_source_that_the_target_lacks(place: Workspace) -> None:
    for part in ("00002", "00000", "00001"):
        place.commit("labels/base", part, labels(1), LABELS)
    assert place.pending(source="labels/base", target="scores/m") == ["00000", "00001", "00002"]
    place.commit("scores/m", "00001", labels(1), LABELS)
    assert place.pending(source="labels/base", target="scores/m") == ["00000", "00002"]
    assert place.pending(source="scores/m", target="labels/base") == []


def test_only_a_table_of_the_partition_itself_is_a_finished_part(place: Workspace) -> None:
    place.commit("clips/base", "00000", labels(1), LABELS)
    place.commit("clips/events", "00001", labels(1), LABELS)
    files.commit_bytes(place.tar_uri("clips/base", "00002"), b"not the last file of a part")
    files.commit_bytes(place.record_uri("clips/base"), b"{}")
    assert (place.parts("clips/base"), place.names("clips")) == (["00000"], ["base", "events"])


@pytest.mark.parametrize("root", ["ws", "./ws", "ws/", os.fsdecode(b"w\xff")])
def test_parts_are_found_however_the_root_is_spelt(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Workspace(root).commit("labels/base", "00000", labels(1), LABELS)
    assert Workspace(root).parts("labels/base") == ["00000"]
    assert Workspace(root).read("labels/base", "00000", LABELS).num_rows == 1


def test_a_part_is_read_back_as_it_was_committed_whole_or_by_columns(place: Workspace) -> None:
    uri = place.commit("labels/base", "00000", labels(3), LABELS)
    assert uri == place.part_uri("labels/base", "00000") == f"{place.root}/tables/labels/spec=base/00000.parquet"
    assert place.read("labels/base", "00000", LABELS).equals(labels(3))
    some = place.read("labels/base", "00000", LABELS, ["num_raters", "clip_id"])
    assert some.column_names == ["num_raters", "clip_id"]
    assert some.to_pylist() == [{"num_raters": 1, "clip_id": f"v_{i}"} for i in range(3)]


def test_all_parts_are_one_table_in_the_order_of_their_names(place: Workspace) -> None:
    assert place.read_all("labels/base", LABELS).num_rows == 0
    assert place.read_all("labels/base", LABELS, ["clip_id"]).column_names == ["clip_id"]
    for part, num_rows in (("00001", 2), ("00000", 1)):
        place.commit("labels/base", part, labels(num_rows), LABELS)
    assert place.read_all("labels/base", LABELS, ["clip_id"]).column("clip_id").to_pylist() == ["v_0", "v_0", "v_1"]


def test_equal_tables_are_committed_as_equal_bytes(place: Workspace) -> None:
    first, second = (
        files.read_bytes(place.commit(folder, "0", labels(5), LABELS)) for folder in ("clips/a", "clips/b")
    )
    assert first == second


def test_a_table_that_is_not_of_its_schema_is_never_written(place: Workspace) -> None:
    with pytest.raises(SchemaError, match="lacks the field"):
        place.commit("labels/base", "00000", labels(1).drop_columns(["label"]), LABELS)
    newer = LABELS.with_metadata(LABELS.metadata | {b"version": b"99"})
    with pytest.raises(SchemaError, match="this code reads version 99"):
        place.commit("labels/base", "00000", labels(1), newer)
    assert place.parts("labels/base") == []


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign"])
def test_a_damaged_part_is_an_error_that_names_the_file(place: Workspace, damage: str, tmp_path: Path) -> None:
    uri = place.commit("labels/base", "00000", labels(100), LABELS)
    whole = files.read_bytes(uri)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "foreign")
    damaged = {"truncated": whole[: len(whole) // 2], "empty": b"", "foreign": (tmp_path / "foreign").read_bytes()}
    files.commit_bytes(uri, damaged[damage])
    with pytest.raises(DataError) as caught:
        place.read("labels/base", "00000", LABELS)
    assert uri in str(caught.value)


def test_a_byte_that_changed_inside_a_page_is_an_error_and_not_another_value(place: Workspace) -> None:
    uri = place.commit("labels/base", "00000", labels(1), LABELS)
    whole = files.read_bytes(uri)
    # the first page holds the first column, too short to be compressed: its header has the value, then so has its data
    altered = whole.replace(b"\3\0\0\0v_0", b"\3\0\0\0v_8", 1)
    assert pq.read_table(pa.BufferReader(altered))["clip_id"].to_pylist() == ["v_8"]  # nobody would see it
    files.commit_bytes(uri, altered)
    with pytest.raises(DataError) as caught:
        place.read("labels/base", "00000", LABELS)
    assert uri in str(caught.value)


def test_a_part_of_another_schema_version_says_so(place: Workspace) -> None:
    newer = LABELS.with_metadata(LABELS.metadata | {b"version": b"99"})
    with files.building(place.part_uri("labels/base", "00000")) as path:
        pq.write_table(labels(1).cast(newer), path)
    with pytest.raises(DataError, match="version 99, this code reads version 4"):
        place.read("labels/base", "00000", LABELS)


def test_beginning_again_with_the_same_config_is_no_error_and_gives_the_same_hash(place: Workspace) -> None:
    first = place.begin("clips/base", ClipSpec(), {"collection": "abc"})
    started = place.stage("clips/base")["started"]
    assert place.begin("clips/base", ClipSpec(), {"collection": "abc"}) == first
    assert place.stage("clips/base")["started"] == started
    expected = hash_json(
        {"settings": json.loads(json.dumps(dataclasses.asdict(ClipSpec()))), "inputs": {"collection": "abc"}}
    )
    assert first == expected


@pytest.mark.parametrize(
    ("config", "inputs", "says"),
    [
        (ClipSpec(hop_s=2.0), {"collection": "abc"}, "hop_s: 1.0 there, 2.0 asked for"),
        (ClipSpec(), {"collection": "abd"}, "collection: abc there, abd asked for"),
        (ClipSpec(), {}, "collection: abc there, None asked for"),
        (ShardingConfig(), {"collection": "abc"}, "clip_s: 5.0 there, None asked for"),
    ],
)
def test_a_folder_of_another_config_or_input_is_refused_by_the_name_of_the_field(
    place: Workspace, config: object, inputs: dict[str, str], says: str
) -> None:
    place.begin("clips/base", ClipSpec(), {"collection": "abc"})
    before = files.read_bytes(place.record_uri("clips/base"))
    with pytest.raises(ConfigError) as caught:
        place.begin("clips/base", config, inputs)
    assert says in str(caught.value)
    assert place.uri("clips/base") in str(caught.value)
    assert files.read_bytes(place.record_uri("clips/base")) == before


def test_a_stage_is_finished_only_once_that_is_said(place: Workspace) -> None:
    assert not place.is_finished("models/m")
    place.begin("models/m", {"a": 1}, {})
    assert place.has_stage("models/m")
    assert not place.is_finished("models/m")
    place.finish("models/m", step=7)
    assert place.is_finished("models/m")
    stage = place.stage("models/m")
    assert (stage["step"], stage["settings"]) == (7, {"a": 1})
    times = [datetime.datetime.fromisoformat(stage[name]) for name in ("started", "finished")]
    assert times == sorted(times)
    assert times[0].utcoffset() == datetime.timedelta(0)


def test_a_stage_records_what_versions_wrote_it(place: Workspace) -> None:
    place.begin("clips/base", ClipSpec(), {})
    assert place.stage("clips/base")["libraries"]["pyarrow"] == pa.__version__


def test_work_that_is_missing_is_named_with_its_folder_and_root(place: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"clips/base: nothing there yet\.$"):
        place.require("clips/base")
    with pytest.raises(ConfigError, match=r"scores/model=nope: nothing there yet\.$") as caught:
        place.stage("scores/nope")
    assert (caught.value.topic, caught.value.facts) == ("missing", {"stage": "scores/nope", "root": place.root})
    place.commit("clips/base", "00000", labels(1), LABELS)
    assert place.require("clips/base") == ["00000"]


def test_every_field_that_differs_is_named_and_inputs_last(place: Workspace) -> None:
    place.begin("clips/base", ClipSpec(), {"a": "1"})
    with pytest.raises(ConfigError) as caught:
        place.begin("clips/base", ClipSpec(clip_s=10.0, hop_s=2.0, sample_rate_hz=8000, frame_width=64), {"a": "2"})
    fields = ["clip_s: 5.0 there, 10.0", "frame_width: 128", "hop_s: 1.0", "sample_rate_hz: 16000", "a: 1 there, 2"]
    places = [str(caught.value).index(field) for field in fields]
    assert places == sorted(places)


def test_only_a_root_that_a_command_has_begun_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="root ws: no Earshot workspace there"):
        open_workspace("ws")
    files.commit_bytes(str(tmp_path / "ws" / "earshot.json"), b"{}")
    assert open_workspace("ws").root == str(tmp_path / "ws")  # workers have other working directories
