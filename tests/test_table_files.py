"""The files of a table: what Spark writes is one, a folder of videos is none, one with deleted rows is refused."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.collection.listing import list_videos
from pipeline.collection.table_files import find_tables
from pipeline.errors import ConfigError
from pipeline.storage import files
from tests.helpers.collections import fill

MARKS = ("_SUCCESS", "._SUCCESS.crc", "_metadata", "_committed_12", "_spark_metadata/9.compact")
MARKS = (*MARKS, "_temporary/0/part-00000.csv", "_temporary/0/part-00000.snappy.parquet", ".part-00000.csv.crc")


def put(uri: str, uris: list[str]) -> None:
    """A CSV or Parquet file of some videos."""
    with files.building(uri) as path:
        if uri.endswith(".parquet"):
            pq.write_table(pa.table({"uri": uris, "licence": ["CC0"] * len(uris)}), path)
        else:
            path.write_text("uri,licence\n" + "".join(f"{uri},CC0\n" for uri in uris))


@pytest.mark.parametrize("place", ["local", "s3"])
@pytest.mark.parametrize(("name", "suffix"), [("list.csv", "csv"), ("list", "csv"), ("list", "snappy.parquet")])
def test_a_folder_as_spark_writes_it_is_one_table(
    name: str, suffix: str, place: str, tmp_path: Path, s3_bucket: str
) -> None:
    folder = str(tmp_path) if place == "local" else f"{s3_bucket}/{tmp_path.name}"
    of_split = {"train": ["a.mp4", "b.mp4"], "test": ["c.mp4"], "__HIVE_DEFAULT_PARTITION__": ["d.mp4"]}
    for number, (split, uris) in enumerate(of_split.items()):
        put(f"{folder}/{name}/split={split}/part-{number:05d}.{suffix}", uris)
    for mark in MARKS:
        files.commit_bytes(f"{folder}/{name}/{mark}", b"x")
    rows = list(list_videos(f"{folder}/{name}"))
    found = [(row["uri"], row["split"], row["license"]) for row in rows]
    names = [("d.mp4", None), ("c.mp4", "test"), ("a.mp4", "train"), ("b.mp4", "train")]
    assert found == [(f"{folder}/{name}", split, "CC0") for name, split in names]
    assert rows == list(list_videos(f"{folder}/{name}/"))


def test_an_empty_file_of_a_folder_has_no_rows(tmp_path: Path) -> None:
    fill(tmp_path / "list.csv", ["_SUCCESS"])
    (tmp_path / "list.csv" / "part-00000.csv").touch()
    with pytest.raises(ConfigError, match="a table without rows"):
        list_videos(str(tmp_path / "list.csv"))
    put(str(tmp_path / "list.csv" / "part-00001.csv"), ["a.mp4"])
    (row,) = list_videos(str(tmp_path / "list.csv"))
    assert row["uri"] == f"{tmp_path}/a.mp4"


@pytest.mark.parametrize("table", ["labels.csv", "a.parquet"])
@pytest.mark.parametrize("video", ["b.mp4", "_b.mp4", "videos/b.mp4", "_extras/b.mp4", "b"])
def test_a_folder_of_videos_with_a_table_among_them_is_a_folder_of_videos(
    table: str, video: str, tmp_path: Path
) -> None:
    fill(tmp_path, [table, video])
    assert {row["uri"] for row in list_videos(str(tmp_path))} == {f"{tmp_path}/{table}", f"{tmp_path}/{video}"}


def test_a_folder_of_two_kinds_of_tables_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, ["a.csv", "b.csv", "c.parquet"])
    with pytest.raises(ConfigError, match=r"a folder of CSV and Parquet files, such as a.csv and c.parquet; expected"):
        list_videos(str(tmp_path))
    fill(tmp_path, ["d.mp4"])
    assert len(list(list_videos(str(tmp_path)))) == 4


def test_a_folder_of_published_lists_is_refused_and_of_one_is_that_list(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("v/a.mp4,0,5\n")
    (row,) = list_videos(str(tmp_path))
    assert row["uri"] == "s3://multimedia-commons/v/a.mp4"
    (tmp_path / "b.csv").write_text("v/b.mp4,0,5\n")
    with pytest.raises(ConfigError, match=r"2 files, of which a.csv is a list of path, start, end without names"):
        list_videos(str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("a Delta", ["_delta_log/0.json", "part-0.parquet"]),
        ("an Iceberg", ["data/0-a.parquet", "metadata/00000-b.metadata.json", "metadata/b-m0.avro"]),
        ("an Iceberg", ["data/day=1/0-a.parquet", "metadata/v1.metadata.json", "metadata/version-hint.text"]),
        ("a Hudi", [".hoodie/hoodie.properties", "day=1/.hoodie_partition_metadata", "day=1/a_0-1_2.parquet"]),
    ],
)
def test_a_table_whose_files_hold_deleted_rows_is_refused(kind: str, names: list[str], tmp_path: Path) -> None:
    fill(tmp_path, names)
    with pytest.raises(ConfigError, match=f"{kind} table, whose files also hold rows that were deleted or replaced"):
        list_videos(str(tmp_path))


@pytest.mark.parametrize("names", [["metadata/a.metadata.json"], ["metadata/a.json", "data/b.parquet"]])
def test_videos_beside_a_folder_named_metadata_are_videos(names: list[str], tmp_path: Path) -> None:
    fill(tmp_path, [*names, "videos/a.mp4"])
    assert find_tables(str(tmp_path)) == []
    assert len(list(list_videos(str(tmp_path)))) == len(names) + 1
