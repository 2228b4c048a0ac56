"""Rows of one video: one video with all spans, however its address is spelt; contradictions name both rows."""

from pathlib import Path

import pytest

from pipeline.collection.listing import list_videos
from pipeline.collection.merging import video_id
from pipeline.errors import ConfigError
from tests.helpers.collections import fill, spans, table_of


def test_one_file_by_four_spellings_is_one_video_with_all_spans(tmp_path: Path) -> None:
    fill(tmp_path / "videos", ["a b.mp4"])
    (tmp_path / "link").symlink_to(tmp_path / "videos")
    spellings = ["a b.mp4", "./a b.mp4", f"{tmp_path}//link/./a b.mp4", f"file://{tmp_path}/videos/a%20b.mp4"]
    rows = "".join(f"{spelling},{i},{i + 1}\n" for i, spelling in enumerate(spellings))
    (row,) = list_videos(table_of(tmp_path / "videos", f"uri,start_s,end_s\n{rows}"))
    assert row["uri"] == f"{tmp_path}/videos/a b.mp4"
    assert row["video_id"] == video_id("a b.mp4")
    assert row["spans"] == spans(*((i, i + 1) for i in range(4)))


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (["", "", "", ""], None),
        (["test", "test", "test", "test"], "test"),
        (["", "", "validate", ""], "validate"),
        (["train", "", "", "train"], "train"),
    ],
)
def test_one_file_by_four_spellings_is_one_video_in_the_split_that_its_rows_agree_on(
    splits: list[str], expected: str | None, tmp_path: Path
) -> None:
    fill(tmp_path, ["a.mp4", "b.mp4"])
    spellings = ["a.mp4", "./a.mp4", f"{tmp_path}/a.mp4", f"file://{tmp_path}/a.mp4"]
    rows = "".join(f"{spelling},{split}\n" for spelling, split in zip(spellings, splits, strict=True))
    found = list(list_videos(table_of(tmp_path, f"uri,split\n{rows}b.mp4,train\n")))
    assert [(row["uri"], row["split"], row["spans"]) for row in found] == [
        (f"{tmp_path}/a.mp4", expected, None),
        (f"{tmp_path}/b.mp4", "train", None),
    ]


def test_one_file_by_four_spellings_in_three_splits_is_refused_with_the_file_both_splits_and_both_rows(
    tmp_path: Path,
) -> None:
    spellings = ["a.mp4,train", "./a.mp4,test", f"{tmp_path}/a.mp4,validate", f"file://{tmp_path}/a.mp4,test"]
    with pytest.raises(ConfigError) as caught:
        list_videos(table_of(tmp_path, "uri,split\n" + "\n".join(spellings)))
    assert str(caught.value) == (
        f"collection {tmp_path}/list.csv, row 2: split `test`, but `train` in row 1, another row of the same video "
        f"{tmp_path}/a.mp4. Give it one split."
    )


@pytest.mark.parametrize("spelling", ["v/a.mp4", "./v/a.mp4", "v//a.mp4", "{}/v/a.mp4", "file://{}/v/a.mp4"])
def test_an_address_that_is_spelt_in_one_way_keeps_the_id_of_that_spelling(spelling: str, tmp_path: Path) -> None:
    address = spelling.format(tmp_path)
    (row,) = list_videos(table_of(tmp_path, f"uri\n{address}\n{address}\n"))
    assert row["video_id"] == video_id(address)
    assert row["uri"] == f"{tmp_path}/v/a.mp4"


def test_of_two_spellings_the_one_below_the_table_names_the_video_whichever_comes_first(tmp_path: Path) -> None:
    for rows in (["a.mp4", f"{tmp_path}/a.mp4"], [f"{tmp_path}/a.mp4", "a.mp4"], [f"{tmp_path}/a.mp4", "./a.mp4"]):
        (row,) = list_videos(table_of(tmp_path, "uri\n" + "\n".join(rows)))
        assert row["video_id"] == video_id("a.mp4")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("uri,split\na.mp4,train\nb.mp4,\n./a.mp4,test\n", "row 3: split `test`, but `train` in row 1"),
        ("uri,licence\na.mp4,\n./a.mp4,CC0\n{}/a.mp4,CC BY\n", "row 3: license `CC BY`, but `CC0` in row 2"),
        ("uri,video_id\na.mp4,x\n./a.mp4,y\n", "row 2: video_id `y`, but `x` in row 1"),
        ("uri,video_id\na.mp4,x\nb.mp4,x\n", "a.mp4 and b.mp4. The first is in row 1"),
    ],
)
def test_rows_of_one_video_that_contradict_each_other_are_both_named(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        list(list_videos(table_of(tmp_path, text.format(tmp_path))))
    assert says in str(caught.value)
