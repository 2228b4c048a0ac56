"""Tables: columns by their usual names, and the others carried."""

import datetime
import decimal
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError
from schemas.fields import from_rows
from schemas.videos import COLLECTION
from tests.helpers.collections import spans, table_of


def test_strings_of_parquet_without_the_mark_of_strings_are_text(tmp_path: Path) -> None:
    columns = {"uri": pa.array([b"a.mp4", "\u00fc.mp4".encode()], pa.binary()), "license": [b"CC0", None]}
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    rows = list(list_videos(str(tmp_path / "list.parquet")))
    assert [(row["uri"], row["license"]) for row in rows] == [
        (f"{tmp_path}/a.mp4", "CC0"),
        (f"{tmp_path}/\u00fc.mp4", None),
    ]


@pytest.mark.parametrize(
    ("column", "value"), [("uri", b"\xff"), ("license", ["CC0"]), ("split", {"name": "train"}), ("author", b"\xc3")]
)
def test_a_column_that_is_no_text_is_refused_with_its_row(column: str, value: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table({"uri": ["a.mp4"]} | {column: [value]}), tmp_path / "list.parquet")
    with pytest.raises(ConfigError, match=rf"list.parquet, row 1: {column} is .*, expected text or a number"):
        list(list_videos(str(tmp_path / "list.parquet")))


def test_usual_names_are_taken_and_it_is_said_which(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = "File_Name,licence,Creator,start,Split\na.mp4,CC0,x,1.5,test\n"
    (row,) = list_videos(table_of(tmp_path, text))
    assert row["uri"] == f"{tmp_path}/a.mp4"
    assert (row["license"], row["author"], row["split"], row["extra"]) == ("CC0", "x", "test", None)
    assert row["spans"] == spans((1.5, None))
    err = capfd.readouterr().err
    assert "takes 'File_Name' as uri, 'start' as start_s, 'licence' as license, 'Creator' as author, 'Split'" in err


def test_a_column_of_the_exact_name_goes_before_another_usual_one_which_is_carried(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (row,) = list_videos(table_of(tmp_path, "file,uri,creator,url,page_url\nb.mp4,a.mp4,x,https://h/1,https://h/2\n"))
    assert (row["uri"], row["author"], row["source_url"]) == (f"{tmp_path}/a.mp4", "x", "https://h/2")
    assert json.loads(row["extra"] or "") == {"file": "b.mp4", "url": "https://h/1"}
    assert "takes 'creator' as author, 'page_url' as source_url; carries 'file', 'url' in `extra`" in (
        capfd.readouterr().err
    )


@pytest.mark.parametrize("header", ["url,{}", "{},url"])
@pytest.mark.parametrize("name", ["path", "file_path", "file", "file_name", "filename", "video"])
def test_a_file_goes_before_the_page_that_it_was_downloaded_from(header: str, name: str, tmp_path: Path) -> None:
    values = {"url": "https://youtube.com/x", name: "a.mp4"}
    columns = header.format(name)
    text = f"{columns}\n{','.join(values[column] for column in columns.split(','))}\n"
    (row,) = list_videos(table_of(tmp_path, text))
    assert row["uri"] == f"{tmp_path}/a.mp4"
    assert (row["source_url"], row["extra"]) == ("https://youtube.com/x", None)


def test_a_url_alone_is_the_address_and_refused_where_no_store_can_read_it(tmp_path: Path) -> None:
    assert [row["uri"] for row in list_videos(table_of(tmp_path, "url\ns3://b/a.mp4\nc.mp4\n"))] == [
        "s3://b/a.mp4",
        f"{tmp_path}/c.mp4",
    ]
    with pytest.raises(ConfigError, match=r"row 1: https://youtube.com/x; expected a path, file:// or s3://"):
        list_videos(table_of(tmp_path, "url\nhttps://youtube.com/x\n"))


def test_other_columns_are_carried_as_json_and_values_that_differ_between_rows_as_a_list(tmp_path: Path) -> None:
    columns = {
        "uri": ["a.mp4", "a.mp4", "b.mp4"],
        "title": ["T", "T", None],
        "views": [3, 4, 3],
        "tags": [["x", "ü"], ["x", "ü"], []],
        "when": [datetime.date(2024, 5, 6)] * 3,
        "rate": [0.5, 0.5, float("nan")],
        "thumbnail": [b"\xff\xd8", None, b"\xff\xd8"],
    }
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    first, second = list_videos(str(tmp_path / "list.parquet"))
    assert json.loads(first["extra"] or "") == {
        "title": "T", "views": [3, 4], "tags": ["x", "ü"], "when": "2024-05-06", "rate": 0.5,
    }  # fmt: skip
    assert json.loads(second["extra"] or "") == {"views": 3, "tags": [], "when": "2024-05-06"}
    assert from_rows([first], COLLECTION, "here").to_pylist() == [first]


def test_bytes_that_are_no_text_are_said_not_to_be_carried(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    columns = {"uri": ["a.mp4", "b.mp4"], "thumbnail": [b"\xff\xd8", b"\xff"]}
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    assert [row["extra"] for row in list_videos(str(tmp_path / "list.parquet"))] == [None, None]
    assert capfd.readouterr().err.count("'thumbnail' holds bytes that are no text: not carried") == 1


def test_a_table_with_start_s_is_no_published_list(tmp_path: Path) -> None:
    (row,) = list_videos(table_of(tmp_path, "path,start_s,end_s\na.mp4,0,5\n"))
    assert row["uri"] == f"{tmp_path}/a.mp4"


def test_a_column_that_describes_spans_is_left_out_and_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"a.mp4,{i},{i % 10}\n" for i in range(11))
    (row,) = list_videos(table_of(tmp_path, f"uri,box,few\n{rows}"))
    assert json.loads(row["extra"] or "") == {"few": [str(i) for i in range(10)]}
    assert "list.csv: more than 10 values of one video, left out: 'box'\n" in capfd.readouterr().err


def test_decimals_and_categories_are_numbers_and_text(tmp_path: Path) -> None:
    columns = {
        "uri": pa.array(["a.mp4"]).dictionary_encode(),
        "start_s": pa.array([decimal.Decimal("1.50")]),
        "author": pa.array([7]),
        "price": pa.array([decimal.Decimal("0.10")]),
    }
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    (row,) = list_videos(str(tmp_path / "list.parquet"))
    assert (row["uri"], row["author"], row["spans"]) == (f"{tmp_path}/a.mp4", "7", spans((1.5, None)))
    assert json.loads(row["extra"] or "") == {"price": "0.10"}


def test_embedded_media_is_not_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    media = [{"bytes": os.urandom(50_000), "path": "a.mp4"}]
    pq.write_table(pa.table({"uri": ["a.mp4"], "clip": media, "title": ["T"]}), tmp_path / "list.parquet")
    (row,) = list_videos(str(tmp_path / "list.parquet"))
    assert row["extra"] == '{"title": "T"}'
    assert "list.parquet: large, not carried: 'clip'" in capfd.readouterr().err


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_values_of_more_than_10_kb_are_not_carried_and_said_once(
    suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    transcripts = ["x" * 10_000, "x" * 10_001, "\u00fc" * 5001, "x" * 200_000] + ["short"] * 96
    uris = [f"{number}.mp4" for number in range(100)]
    if suffix == "csv":
        text = "".join(f"{uri},{text},T\n" for uri, text in zip(uris, transcripts, strict=True))
        (tmp_path / "list.csv").write_text(f"uri,transcript,title\n{text}")
    else:
        pq.write_table(
            pa.table({"uri": uris, "transcript": transcripts, "title": ["T"] * 100}), tmp_path / "list.parquet"
        )
    extras = [json.loads(row["extra"] or "") for row in list_videos(str(tmp_path / f"list.{suffix}"))]
    assert extras[0] == {"transcript": "x" * 10_000, "title": "T"}
    assert extras[1:4] == [{"title": "T"}] * 3
    assert extras[4:] == [{"transcript": "short", "title": "T"}] * 96
    says = f"list.{suffix}, row 2: 'transcript' has values of more than 10000 bytes: these are not carried.\n"
    err = capfd.readouterr().err
    assert err.count("not carried") == err.count(says) == 1


@pytest.mark.parametrize(("start_s", "expected"), [(float("nan"), spans((0, 5))), (1.5, spans((1.5, 5)))])
def test_nan_is_a_gap(start_s: float, expected: list[dict[str, Any]], tmp_path: Path) -> None:
    pq.write_table(pa.table({"uri": ["a.mp4"], "start_s": [start_s], "end_s": [5.0]}), tmp_path / "list.parquet")
    (row,) = list_videos(str(tmp_path / "list.parquet"))
    assert row["spans"] == expected


def test_an_infinite_start_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uri": ["a.mp4"], "start_s": [float("inf")]}), tmp_path / "list.parquet")
    with pytest.raises(ConfigError, match="row 1: start_s = inf"):
        list(list_videos(str(tmp_path / "list.parquet")))
