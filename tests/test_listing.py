"""Listings: every video of a collection is one row with a stable id, wherever the collection lies."""

import doctest
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.collection import merging, tables
from pipeline.collection.listing import list_videos
from pipeline.collection.merging import video_id
from pipeline.errors import ConfigError, DataError
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from schemas.fields import from_rows
from schemas.videos import COLLECTION
from tests.helpers.collections import fill, spans, table_of

NAMES = ["b.mp4", "a/clip 1.webm", "a/Ünicode.mp4", "c/d/e.mkv", "2.avi"]


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
    assert all(files.local_path(row["uri"]).is_absolute() for row in rows)


def test_a_collection_has_the_same_ids_in_the_same_order_wherever_it_lies(
    tmp_path: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "here", NAMES)
    fill(tmp_path / "else" / "where", NAMES)
    for name in NAMES:
        files.commit_bytes(f"{s3_bucket}/collected/{name}", b"x")
    monkeypatch.chdir(tmp_path)
    places = ["here", "./here/", str(tmp_path / "else" / "where"), f"{s3_bucket}/collected"]
    ids = [[row["video_id"] for row in list_videos(place)] for place in places]
    assert ids[0] == ids[1] == ids[2] == ids[3]
    assert len(set(ids[0])) == len(NAMES)


def test_a_name_that_is_not_utf8_is_collected_and_leads_back_to_its_file(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes(b"x")
    (row,) = list_videos(str(tmp_path))
    assert files.local_path(row["uri"]) == path
    assert from_rows([row], COLLECTION, "here").to_pylist() == [row]


def test_a_table_names_videos_relative_to_itself_or_absolutely(tmp_path: Path) -> None:
    text = "uri,license\nv/a.mp4,CC0\n/abs/b.mp4,\ns3://bucket/c.mp4,CC BY 4.0\n"
    rows = list(list_videos(table_of(tmp_path, text)))
    assert [row["uri"] for row in rows] == [str(tmp_path / "v/a.mp4"), "/abs/b.mp4", "s3://bucket/c.mp4"]
    assert [row["license"] for row in rows] == ["CC0", None, "CC BY 4.0"]
    assert [row["video_id"] for row in rows] == [
        video_id(name) for name in ("v/a.mp4", "/abs/b.mp4", "s3://bucket/c.mp4")
    ]


def test_a_table_in_a_bucket_names_videos_beside_itself(s3_bucket: str) -> None:
    files.commit_bytes(f"{s3_bucket}/tables/list.csv", b"uri\nv/a.mp4\n")
    (row,) = list_videos(f"{s3_bucket}/tables/list.csv")
    assert row["uri"] == f"{s3_bucket}/tables/v/a.mp4"


def test_spans_splits_and_ids_of_a_table_are_taken_over_as_they_stand(tmp_path: Path) -> None:
    text = "uri,video_id,start_s,end_s,split,author\na.mp4,007,1.5,9,test,5\nb.mp4,1e5,,,,\nc.mp4,,,4.5,train,x\n"
    rows = list(list_videos(table_of(tmp_path, text)))
    assert [row["video_id"] for row in rows] == ["007", "1e5", video_id("c.mp4")]
    assert [row["spans"] for row in rows] == [spans((1.5, 9)), None, spans((0, 4.5))]
    assert [row["split"] for row in rows] == ["test", None, "train"]
    assert rows[0]["author"] == "5"


def test_a_parquet_table_gives_the_same_rows_as_the_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 2)
    csv = table_of(tmp_path, "uri,start_s,split,other\na.mp4,1.5,test,x\nb.mp4,,,x\na.mp4,7,,x\n")
    columns = {"uri": ["a.mp4", "b.mp4", "a.mp4"], "start_s": [1.5, None, 7.0], "split": ["test", None, None]}
    pq.write_table(pa.table(columns | {"other": ["x"] * 3}), tmp_path / "list.parquet")
    rows = list(list_videos(str(tmp_path / "list.parquet")))
    assert rows == list(list_videos(csv))
    assert [row["spans"] for row in rows] == [spans((1.5, None), (7, None)), None]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,start\na.mp4,1\n", "columns name, start; expected one named uri, path,"),
        ("uri,start_s\na.mp4,inf\n", "row 1: start_s = inf"),
        ("uri,end_s\na.mp4,nan\n", "row 1: start_s = None, end_s = nan"),
        ("uri\nhttp://host/a.mp4\n", "row 1: http://host/a.mp4; expected a path, file:// or s3://"),
        ("uri\na.mp4\nv/../../b.mp4\n", "row 2: v/../../b.mp4 leads out of its folder. Give the whole path"),
        (
            "uri,license\na.mp4,CC0\na.mp4,CC BY\n",
            "row 2: license `CC BY`, but `CC0` in row 1, another row of the same video",
        ),
        ("uri,author\na.mp4,\na.mp4,x\na.mp4,y\n", "row 3: author `y`, but `x` in row 2, another row"),
        ("uri,split\na.mp4,test\nb.mp4,\na.mp4,train\n", "row 3: split `train`, but `test` in row 1, another row"),
        ("uri,video_id\na.mp4,x\nb.mp4,x\n", "row 2: two videos have the id x: a.mp4 and b.mp4"),
        ("uri,split\na.mp4,dev\n", "row 1: split `dev`"),
        ("uri,video_id\na.mp4,ok\nb.mp4,Not.Ok\n", "row 2: video_id 'Not.Ok'"),
        ("uri,start_s\na.mp4,soon\n", "row 1: start_s = soon"),
        ("uri,start_s\na.mp4,-1\n", "row 1: start_s = -1"),
        ("uri,start_s,end_s\na.mp4,5,5\n", "row 1: start_s = 5, end_s = 5"),
        ("uri,license\n,CC0\n", "row 1: no uri"),
        ("uri\na.mp4,extra\n", "row 1: 2 columns, expected 1"),
        ("uri\n" + "x" * 200_000, "row 1: uri has 200000 bytes, expected 131072 or less"),
        ('uri,title\na.mp4,"T\nb.mp4,T\n', "a quote in the row that begins in line 2 is never closed"),
        ("uri\n", "a table without rows"),
        ("uri\na.mp4\ns3:///x.mp4\n", "row 2: s3:///x.mp4 lacks a bucket or a key; expected s3://bucket/key"),
        ("uri\ns3://bucket/\n", "row 1: s3://bucket/ lacks a bucket or a key"),
        ("", "columns none; expected one named uri, path,"),
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
    with pytest.raises(ConfigError, match=r"collection .*: "):
        list(list_videos(f"{s3_bucket}/nothing" if name == "s3" else str(tmp_path / name)))


@pytest.mark.parametrize("name", ["is.csv", "is.parquet"], ids=["csv", "parquet"])
def test_what_is_no_table_inside_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe\x00PAR1")
    with pytest.raises(ConfigError, match="not a readable table"):
        list(list_videos(str(tmp_path / name)))


def test_a_folder_lists_when_each_file_was_changed_and_a_bucket_its_etag(tmp_path: Path, s3_bucket: str) -> None:
    fill(tmp_path / "videos", ["a.mp4"])
    files.commit_bytes(f"{s3_bucket}/revisions/a.mp4", b"x")
    (local,), (remote,) = list_videos(str(tmp_path / "videos")), list_videos(f"{s3_bucket}/revisions")
    assert local["revision"] == str((tmp_path / "videos" / "a.mp4").stat().st_mtime_ns)
    assert remote["revision"] == hashlib.md5(b"x").hexdigest()


def test_links_are_videos_and_what_they_lead_to_is_not_listed(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", ["x.mp4"])
    fill(tmp_path / "videos", ["a.mp4"])
    (tmp_path / "videos" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "videos" / "gone.mp4").symlink_to(tmp_path / "nothing.mp4")
    (tmp_path / "videos" / "x.mp4").symlink_to(tmp_path / "elsewhere" / "x.mp4")
    uris = {Path(row["uri"]).name: row["uri"] for row in list_videos(str(tmp_path / "videos"))}
    assert list(uris) == ["a.mp4", "folder", "gone.mp4", "x.mp4"]
    with files.local_copy(uris["x.mp4"]) as path:
        assert path.read_bytes() == b"xxxxx"
    for name in ("folder", "gone.mp4"):
        with pytest.raises(DataError, match=name), files.local_copy(uris[name]):
            pass


def test_other_workspaces_in_a_collections_folder_are_no_videos_and_none_is_a_collection(tmp_path: Path) -> None:
    fill(tmp_path, ["a.mp4", "old/clips/00000.tar", f"old/{SETTINGS_FILE}", "z/b.mp4"])
    assert [Path(row["uri"]).name for row in list_videos(str(tmp_path))] == ["a.mp4", "b.mp4"]
    with pytest.raises(ConfigError, match=f"old: a workspace, as its {SETTINGS_FILE} says"):
        list(list_videos(str(tmp_path / "old")))


def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)  # root may read anything, so the real thing cannot be had
    with pytest.raises(ConfigError, match=r"cannot be listed .*Permission denied"):
        list(list_videos(str(tmp_path)))


# --- spans ---


@pytest.mark.parametrize("column", ["uri", "video_id"])
def test_rows_of_one_video_are_one_row_with_their_spans_in_order_each_once(column: str, tmp_path: Path) -> None:
    others = [f"other_{i},," for i in range(1000)]  # far apart
    rows = ["it,20,25", "it,3,8.5", *others, "it,20,25", "it,3,4", "it,30,"]
    if column == "video_id":
        text = "uri,start_s,end_s,video_id\n" + "\n".join(f"v/{row},{row.partition(',')[0]}" for row in rows)
    else:
        text = "uri,start_s,end_s\n" + "\n".join(rows)
    listed = list(list_videos(table_of(tmp_path, text)))
    assert len(listed) == 1001
    assert listed[0]["spans"] == spans((3, 4), (3, 8.5), (20, 25), (30, None))
    assert {str(row["spans"]) for row in listed[1:]} == {"None"}
    assert from_rows(listed[:2], COLLECTION, "here").to_pylist() == listed[:2]


@pytest.mark.parametrize("rows", ["a.mp4,,\na.mp4,3,4\n", "a.mp4,3,4\na.mp4,,\na.mp4,5,6\n"])
def test_a_row_without_a_span_asks_for_the_whole_video_whatever_the_others_ask_for(rows: str, tmp_path: Path) -> None:
    (row,) = list_videos(table_of(tmp_path, f"uri,start_s,end_s\n{rows}"))
    assert row["spans"] is None


def test_what_one_row_of_a_video_leaves_open_another_may_say(tmp_path: Path) -> None:
    text = "uri,start_s,license,split\na.mp4,1,,test\na.mp4,2,CC0,\na.mp4,3,CC0,test\n"
    (row,) = list_videos(table_of(tmp_path, text))
    assert (row["license"], row["split"], row["author"]) == ("CC0", "test", None)


# --- where relative addresses lead ---


@pytest.mark.parametrize("media", ["videos", "./videos/", "whole", "bucket"])
def test_media_is_where_relative_addresses_of_a_table_lead(
    media: str, tmp_path: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = table_of(tmp_path, "uri\na b/c.mp4\n/abs.mp4\ns3://other/d.mp4\n")
    base = {"whole": f"{tmp_path}/videos", "bucket": f"{s3_bucket}/videos/"}.get(media, media)
    expected = f"{s3_bucket}/videos/a b/c.mp4" if media == "bucket" else f"{tmp_path}/videos/a b/c.mp4"
    rows = list(list_videos(table, media=base))
    assert [row["uri"] for row in rows] == [expected, "/abs.mp4", "s3://other/d.mp4"]
    assert rows[0]["video_id"] == video_id("a b/c.mp4")  # wherever the media are


def test_media_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"media x: only a table or list"):
        list(list_videos(str(tmp_path), media="x"))


def test_an_address_in_quotes_may_hold_commas_and_line_breaks(tmp_path: Path) -> None:
    (row,) = list_videos(table_of(tmp_path, 'uri,license\n"a, b\nc.mp4",CC0\n'))
    assert (row["uri"], row["license"]) == (f"{tmp_path}/a, b\nc.mp4", "CC0")


# --- published lists ---

LIST = "data/videos/mp4/827/f6b/827f6b53467db2d5218ed8247418c4c.mp4,{}.000,{}.000\n"
OTHER = "data/videos/mp4/00f/6b5/00f6b53467db2d5218ed8247418c4c1a.mp4,0.000,5.000\n"


@pytest.mark.parametrize("header", ["", "video path,input start time,input end time\n"])
@pytest.mark.parametrize("media", [None, "s3://mirror/yfcc"])
def test_a_list_is_known_by_its_first_rows_and_leads_to_the_public_bucket(
    header: str, media: str | None, tmp_path: Path
) -> None:
    text = header + LIST.format(7, 12) + OTHER + LIST.format(1, 6) + LIST.format(7, 12)
    first, second = list_videos(table_of(tmp_path, text), media=media)
    path = LIST.partition(",")[0]
    assert first["uri"] == f"{media or 's3://multimedia-commons'}/{path}"
    assert first["video_id"] == video_id(path)
    assert first["spans"] == spans((1, 6), (7, 12))
    assert second["spans"] == spans((0, 5))
    assert from_rows([first], COLLECTION, "here").to_pylist() == [first]


def test_media_of_the_public_bucket_are_read_where_the_list_says(s3_bucket: str, tmp_path: Path) -> None:
    (row,) = list_videos(table_of(tmp_path, OTHER))
    bucket, _, key = row["uri"].removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"media", ACL="public-read")  # as it is at AWS
    with files.local_copy(row["uri"]) as path:
        assert path.read_bytes() == b"media"
    boto3.client("s3").delete_object(Bucket=bucket, Key=key)
    with pytest.raises(DataError, match="s3://multimedia-commons/data/videos"), files.local_copy(row["uri"]):
        pass


def test_a_published_name_with_too_few_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "unfiltered_test_onscreen_unanimous_clips.csv"
    path.write_text("".join(LIST.format(i, i + 5) for i in range(42)))
    with pytest.raises(ConfigError, match="42 rows, expected the 43"):
        list(list_videos(str(path)))
    path.write_text("".join(LIST.format(i, i + 5) for i in range(43)))
    (row,) = list_videos(str(path))
    assert len(row["spans"]) == 43
    assert row["split"] == "test"  # of its name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("../../etc/x.mp4,0,5\n", "leads out of its folder"),
        (OTHER.strip() + "," + OTHER, "a list of mixtures of mixtures"),
        (OTHER + "data/x.mp4,5,5\n", "row 2: 5 s to 5 s"),
    ],
)
def test_a_wrong_list_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        list(list_videos(table_of(tmp_path, text)))


def test_a_table_of_three_columns_with_a_uri_is_a_table(tmp_path: Path) -> None:
    (row,) = list_videos(table_of(tmp_path, "uri,start_s,end_s\na.mp4,0,5\n"))
    assert row["uri"] == str(tmp_path / "a.mp4")


def test_examples_in_docstrings_run() -> None:
    assert doctest.testmod(merging).failed == 0
    assert doctest.testmod(merging).attempted > 0


# --- what is left out ---


@pytest.mark.parametrize("place", ["local", "s3"])
def test_hidden_files_and_what_hidden_folders_hold_is_left_out_and_counted(
    place: str, tmp_path: Path, s3_bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ["a.mp4", ".Trash-1000/files/x.mp4", ".Trash-1000/y.mp4", "v/.snapshot/d/x.mp4", "v/.b.mp4", "v/c.mp4"]
    folder = str(tmp_path) if place == "local" else f"{s3_bucket}/{tmp_path.name}"
    for name in names:
        files.commit_bytes(f"{folder}/{name}", b"x")
    rows = list(list_videos(folder))
    assert [row["video_id"] for row in rows] == [video_id("a.mp4"), video_id("v/c.mp4")]
    err = capfd.readouterr().err
    assert "3 hidden files and folders left out: '.Trash-1000', 'v/.b.mp4', 'v/.snapshot'\n" in err
    assert err.count("left out") == 1


def test_a_folder_below_that_may_not_be_read_is_named_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, ["a.mp4", "lost+found/x.mp4", "z.mp4"])
    scandir = os.scandir

    def refuse(folder: str) -> Any:
        if str(folder).endswith("lost+found"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read anything, so the real thing cannot be had
    assert [row["video_id"] for row in list_videos(str(tmp_path))] == [video_id("a.mp4"), video_id("z.mp4")]
    assert "1 folders left out that may not be read: 'lost+found'\n" in capfd.readouterr().err
