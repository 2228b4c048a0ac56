"""Collections: every video gets one stable id and one part, wherever the collection lies and however it grows."""

import doctest
import hashlib
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import collecting, storage
from pipeline.artifacts import COLLECTION_FOLDER, Workspace
from pipeline.collecting import CollectingConfig, list_videos, plan_parts, video_id
from pipeline.errors import ConfigError
from schemas.videos import COLLECTION

NAMES = ["b.mp4", "a/clip 1.webm", "a/Ünicode.mp4", "c/d/e.mkv", "2.avi"]


def fill(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * len(name))
    return folder


def ids_by_part(workspace: Workspace) -> dict[str, list[str]]:
    return {
        part: workspace.read(COLLECTION_FOLDER, part, COLLECTION).column("video_id").to_pylist()
        for part in workspace.parts(COLLECTION_FOLDER)
    }


def table_of(folder: Path, text: str) -> str:
    (folder / "list.csv").write_text(text)
    return str(folder / "list.csv")


@pytest.mark.parametrize(
    ("relative", "readable"),
    [
        ("a/Dog barks.mp4", "dog_barks"),
        ("x.tar.mp4", "x_tar"),
        ("日本.mp4", "video"),
        ("__A--b__.mp4", "a_b"),
        ("x" * 99 + ".mp4", "x" * 28),
    ],
)
def test_an_id_is_the_readable_stem_and_the_start_of_sha256_of_the_address(relative: str, readable: str) -> None:
    assert video_id(relative) == f"{readable}-{hashlib.sha256(relative.encode()).hexdigest()[:12]}"
    assert re.fullmatch(r"[a-z0-9_-]{1,41}", video_id(relative))


def test_every_file_of_a_folder_is_a_video_with_its_size_but_hidden_ones(tmp_path: Path) -> None:
    fill(tmp_path, [*NAMES, ".DS_Store", "a/.hidden.mp4"])
    rows = list(list_videos(str(tmp_path)))
    assert sorted(row["video_id"] for row in rows) == sorted(video_id(name) for name in NAMES)
    assert {row["size_bytes"] for row in rows} == {len(name) for name in NAMES}
    assert all(storage.local_path(row["uri"]).is_absolute() for row in rows)


def test_a_collection_has_the_same_ids_in_the_same_order_wherever_it_lies(
    tmp_path: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "here", NAMES)
    fill(tmp_path / "else" / "where", NAMES)
    for name in NAMES:
        storage.commit_bytes(f"{s3_bucket}/collected/{name}", b"x")
    monkeypatch.chdir(tmp_path)
    places = ["here", "./here/", str(tmp_path / "else" / "where"), f"{s3_bucket}/collected"]
    ids = [[row["video_id"] for row in list_videos(place)] for place in places]
    assert ids[0] == ids[1] == ids[2] == ids[3]
    assert len(set(ids[0])) == len(NAMES)


def test_a_name_that_is_not_utf8_is_collected_and_leads_back_to_its_file(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes(b"x")
    workspace = Workspace(str(tmp_path / "workspace"))
    (tmp_path / "videos").mkdir()
    path = path.rename(tmp_path / "videos" / path.name)
    assert plan_parts(workspace, str(tmp_path / "videos"), CollectingConfig()) == 1
    (row,) = workspace.read_all(COLLECTION_FOLDER, COLLECTION).to_pylist()
    assert storage.local_path(row["uri"]) == path


def test_a_table_names_videos_relative_to_itself_or_absolutely(tmp_path: Path) -> None:
    text = "uri,license\nv/a.mp4,CC0\n/abs/b.mp4,\ns3://bucket/c.mp4,CC BY 4.0\n"
    rows = list(list_videos(table_of(tmp_path, text)))
    assert [row["uri"] for row in rows] == [str(tmp_path / "v/a.mp4"), "/abs/b.mp4", "s3://bucket/c.mp4"]
    assert [row["license"] for row in rows] == ["CC0", None, "CC BY 4.0"]
    assert [row["video_id"] for row in rows] == [
        video_id(name) for name in ("v/a.mp4", "/abs/b.mp4", "s3://bucket/c.mp4")
    ]


def test_a_table_in_a_bucket_names_videos_beside_itself(s3_bucket: str) -> None:
    storage.commit_bytes(f"{s3_bucket}/tables/list.csv", b"uri\nv/a.mp4\n")
    (row,) = list_videos(f"{s3_bucket}/tables/list.csv")
    assert row["uri"] == f"{s3_bucket}/tables/v/a.mp4"


def test_spans_splits_and_ids_of_a_table_are_taken_over_as_they_stand(tmp_path: Path) -> None:
    text = "uri,video_id,start_s,end_s,split,author\na.mp4,007,1.5,9,test,5\nb.mp4,1e5,,,,\nc.mp4,,0,4.5,train,x\n"
    rows = list(list_videos(table_of(tmp_path, text)))
    assert [row["video_id"] for row in rows] == ["007", "1e5", video_id("c.mp4")]
    assert [(row["start_s"], row["end_s"]) for row in rows] == [(1.5, 9.0), (None, None), (0.0, 4.5)]
    assert [row["split"] for row in rows] == ["test", None, "train"]
    assert rows[0]["author"] == "5"


def test_a_parquet_table_gives_the_same_rows_as_the_csv(tmp_path: Path) -> None:
    csv = table_of(tmp_path, "uri,start_s,split\na.mp4,1.5,test\nb.mp4,,\n")
    table = pa.table({"uri": ["a.mp4", "b.mp4"], "start_s": [1.5, None], "split": ["test", None]})
    pq.write_table(table, tmp_path / "list.parquet")
    assert list(list_videos(csv)) == list(list_videos(str(tmp_path / "list.parquet")))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,start\na.mp4,1\n", "columns path, start; expected one named `uri`"),
        ("uri,split\na.mp4,dev\n", "row 1: split `dev`"),
        ("uri,video_id\na.mp4,ok\nb.mp4,Not.Ok\n", "row 2: video_id 'Not.Ok'"),
        ("uri,start_s\na.mp4,soon\n", "row 1: start_s = soon"),
        ("uri,start_s\na.mp4,-1\n", "row 1: start_s = -1"),
        ("uri,start_s,end_s\na.mp4,5,5\n", "row 1: start_s = 5, end_s = 5"),
        ("uri,license\n,CC0\n", "row 1: no uri"),
        ("uri\na.mp4,extra\n", "not a readable table"),
        ("uri\n", "no files there"),
        ("", "not a readable table"),
    ],
)
def test_a_wrong_table_is_refused_with_the_row(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        list(list_videos(table_of(tmp_path, text)))
    assert says in str(caught.value)
    assert "list.csv" in str(caught.value)


@pytest.mark.parametrize("name", ["nothing", "nothing.csv", "empty", "video.mp4", "s3"])
def test_a_collection_that_is_not_there_or_empty_is_refused(tmp_path: Path, name: str, s3_bucket: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "video.mp4").write_bytes(b"x")
    with pytest.raises(ConfigError, match="--collection"):
        list(list_videos(f"{s3_bucket}/nothing" if name == "s3" else str(tmp_path / name)))


@pytest.mark.parametrize(("num_videos", "per_part"), [(1, 3), (3, 3), (7, 3), (9, 1)])
def test_parts_hold_videos_per_part_and_the_last_the_rest(tmp_path: Path, num_videos: int, per_part: int) -> None:
    fill(tmp_path / "videos", [f"{i}.mp4" for i in range(num_videos)])
    workspace = Workspace(str(tmp_path / "workspace"))
    assert plan_parts(workspace, str(tmp_path / "videos"), CollectingConfig(videos_per_part=per_part)) == num_videos
    sizes = [len(ids) for ids in ids_by_part(workspace).values()]
    assert sizes == [min(per_part, num_videos - start) for start in range(0, num_videos, per_part)]
    assert list(ids_by_part(workspace)) == [f"{i:05d}" for i in range(len(sizes))]


def test_a_collection_that_grew_keeps_its_parts_and_adds_new_ones(tmp_path: Path) -> None:
    videos, workspace = tmp_path / "videos", Workspace(str(tmp_path / "workspace"))
    config = CollectingConfig(videos_per_part=2)
    fill(videos, ["m.mp4", "n.mp4", "o.mp4"])
    plan_parts(workspace, str(videos), config)
    before = {
        part: storage.read_bytes(workspace.uri(COLLECTION_FOLDER, f"{part}.parquet")) for part in ids_by_part(workspace)
    }
    fill(videos, ["a.mp4", "z.mp4"])
    assert plan_parts(workspace, str(videos), config) == 2
    after = ids_by_part(workspace)
    assert [sorted(after)[-1], after["00002"]] == ["00002", [video_id("a.mp4"), video_id("z.mp4")]]
    for part, data in before.items():
        assert storage.read_bytes(workspace.uri(COLLECTION_FOLDER, f"{part}.parquet")) == data
    assert plan_parts(workspace, str(videos), config) == 0
    assert ids_by_part(workspace) == after


def test_two_videos_of_one_id_are_refused(tmp_path: Path) -> None:
    collection = table_of(tmp_path, "uri,video_id\na.mp4,x\nb.mp4,x\n")
    with pytest.raises(ConfigError, match="two videos have the id x"):
        plan_parts(Workspace(str(tmp_path / "workspace")), collection, CollectingConfig())


def test_examples_in_docstrings_run() -> None:
    assert doctest.testmod(collecting).failed == 0
    assert doctest.testmod(collecting).attempted > 0
