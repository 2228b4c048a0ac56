"""A collection's columns about training, through the listing: what a row says, and what its video is then."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError
from schemas.videos import CollectionRow


def listed(folder: Path, text: str) -> list[CollectionRow]:
    (folder / "list.csv").write_text(text)
    return list(list_videos(str(folder / "list.csv")))


@pytest.mark.parametrize(
    ("name", "value", "rights"),
    [
        ("rights", "no_train", "no_train"),
        ("Rights", "No-Train", "no_train"),
        ("rights", "train", "train"),
        ("opt_out", "true", "no_train"),
        ("Opt-Out", "1", "no_train"),
        ("opted_out", "False", "unknown"),
        ("no_train", "yes", "no_train"),
        ("Content-Usage", "train-ai=n", "no_train"),
        ("content_usage", "train-ai=y", "train"),
        ("X-Robots-Tag", "noai", "no_train"),
        ("tdm-reservation", "1", "no_train"),
    ],
)
def test_a_column_is_known_by_its_usual_spellings(name: str, value: str, rights: str, tmp_path: Path) -> None:
    stated, silent = listed(tmp_path, f"uri,{name}\na.mp4,{value}\nb.mp4,\n")
    assert (stated["rights"], stated["rights_from"]) == (rights, f"column {name}")
    assert (silent["rights"], silent["rights_from"]) == ("unknown", None)
    assert stated["extra"] is not None  # what was read stays to be seen
    assert value in stated["extra"]


def test_any_row_and_any_column_of_a_video_can_refuse(tmp_path: Path) -> None:
    head = "uri,start_s,end_s,rights,content_usage,x_robots_tag\n"
    (row,) = listed(tmp_path, head + "a.mp4,0,1,train,train-ai=y,\na.mp4,1,2,train,,noai\na.mp4,2,3,,,\n")
    assert (row["rights"], row["rights_from"]) == ("no_train", "column x_robots_tag")


def test_a_header_that_cannot_be_read_says_nothing_and_is_named(tmp_path: Path) -> None:
    (row,) = listed(tmp_path, "uri,content_usage\na.mp4,Train-AI=n\n")
    assert (row["rights"], row["rights_from"]) == ("unknown", "column content_usage, not readable")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "uri,rights\na.mp4,\nb.mp4,All rights reserved\n",
            r"row 2: rights `All rights reserved`, expected one of train,",
        ),
        ("uri,opt_out\na.mp4,maybe\n", "row 1: opt_out `maybe`, expected true or false"),
    ],
)
def test_a_refusal_in_other_words_is_an_error(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        listed(tmp_path, text)


def test_columns_of_parquet_may_be_booleans_numbers_and_bytes(tmp_path: Path) -> None:
    columns = {
        "uri": ["a", "b", "c", "d"],
        "opt_out": [True, False, None, None],
        "tdm_reservation": pa.array([None, 0, 1, None], pa.int8()),
        "content_usage": pa.array([None, None, None, b"train-ai=n"], pa.binary()),
    }
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    rows = list(list_videos(str(tmp_path / "list.parquet")))
    assert [row["rights"] for row in rows] == ["no_train", "unknown", "no_train", "no_train"]


def test_messages_name_the_columns_that_rights_are_read_from(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    listed(tmp_path, "uri,content_usage\na.mp4,train-ai=n\n")
    assert "reads rights from 'content_usage'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "source_url"),
    [
        ("uri,url\na.mp4,https://h/a\n", "https://h/a"),
        ("uri,webpage_url,url\na.mp4,https://h/a,https://h/b\n", "https://h/a"),
        ("uri,youtube_id\na.mp4,--i-y1v8Hy8\n", "https://www.youtube.com/watch?v=--i-y1v8Hy8"),
        ("uri,ytid,source_url\na.mp4,--i-y1v8Hy8,https://h/a\n", "https://h/a"),
        ("uri,youtube_id\na.mp4,no id&list=x\n", None),
        ("uri,start,end,url\na.mp4,0,1,https://h/a?t=0\na.mp4,1,2,https://h/a?t=1\n", "https://h/a?t=0"),
        ("uri\na.mp4\n", None),
    ],
)
def test_the_page_of_a_video_is_what_its_table_says_or_follows_from_a_youtube_id(
    text: str, source_url: str | None, tmp_path: Path
) -> None:
    (row,) = listed(tmp_path, text)
    assert row["source_url"] == source_url
