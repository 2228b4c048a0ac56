"""Published lists: their names, their counts, and every row that they may hold."""

from pathlib import Path

import pytest

from pipeline.collection.published_lists import ROWS, is_list, list_verdict, read_list
from pipeline.errors import ConfigError

NAMES = ["827f6b53467db2d5218ed8247418c4c", "00f6b53467db2d5218ed8247418c4c1a", "not-a-hash"]  # 31 and 32 digits
PATHS = [f"data/videos/mp4/{name[:3]}/{name[3:6]}/{name}.mp4" for name in NAMES]
SAMPLE = f"{PATHS[0]},12.000,17.000\n"


def read(path: Path, text: str, encoding: str = "utf-8") -> list[tuple[str, float, float]]:
    path.write_bytes(text.encode(encoding))
    return list(read_list(f"labels file {path}", str(path), path))


@pytest.mark.parametrize("header", ["", "video path,input start time,input end time\n", "a,b,c\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_row_is_read_as_it_stands_with_or_without_a_header(
    header: str, encoding: str, end: str, tmp_path: Path
) -> None:
    text = header + "".join(f"{path},{i}.000,{i + 5}.000\n" for i, path in enumerate(PATHS))
    rows = read(tmp_path / "clips.csv", text.replace("\n", end), encoding)
    assert rows == [(path, i, i + 5) for i, path in enumerate(PATHS)]
    assert is_list("clips.csv", tmp_path / "clips.csv")


def test_counts_are_those_of_the_paper_and_its_lists_of_mixtures_five_times_the_clips() -> None:
    filtered = [ROWS[f"filtered_{split}_clips.csv"] for split in ("train", "validate", "test")]
    assert sum(filtered) == 334_692  # the filtered clips in all
    for split in ("validate", "test"):
        for kind in ("onscreen", "offscreen"):
            mixtures = f"filtered_{split}_{kind}_unanimous_plus_offscreen_unanimous_mom_clips.csv"
            assert ROWS[mixtures] == 5 * ROWS[f"filtered_{split}_{kind}_unanimous_clips.csv"]
    for kind in ("filtered", "unfiltered"):
        for split in ("train", "validate", "test"):
            unanimous = [ROWS[f"{kind}_{split}_{label}_unanimous_clips.csv"] for label in ("onscreen", "offscreen")]
            assert sum(unanimous) < ROWS[f"{kind}_{split}_clips.csv"]
    assert len(ROWS) == 2 * 3 * 3 + 4


@pytest.mark.parametrize("header", ["", "path,start,end\n"])
@pytest.mark.parametrize("num_rows", [42, 43, 44])
def test_a_list_is_whole_if_it_has_as_many_rows_as_were_published(num_rows: int, header: str, tmp_path: Path) -> None:
    path = tmp_path / "unfiltered_test_onscreen_unanimous_clips.csv"
    if num_rows == 43:
        assert len(read(path, header + SAMPLE * 43)) == 43
        return
    with pytest.raises(ConfigError) as caught:
        read(path, header + SAMPLE * num_rows)
    for says in (f"{num_rows} rows", "expected the 43", "may be truncated", "another name"):
        assert says in str(caught.value)
    assert len(read(tmp_path / "mine.csv", header + SAMPLE * num_rows)) == num_rows


def test_a_list_is_known_by_its_first_rows_whatever_their_size(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(f"{'x' * 200_000}.mp4,0,5\n")
    assert is_list("clips.csv", tmp_path / "clips.csv")


def test_a_list_streams(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(SAMPLE + "x" * 300_000)  # what follows could not be read
    assert next(read_list("here", "clips.csv", tmp_path / "clips.csv")) == (PATHS[0], 12.0, 17.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.mp4,0,5\nb.mp4,0\n", "row 2: 2 columns, expected path, start, end"),
        ("a.mp4,0,5\nb.mp4,0,5,0\n", "row 2: 4 columns"),
        ("a.mp4,0,5\nb.mp4,zero,5\n", "row 2: ['zero', '5'], expected two numbers"),
        ("a.mp4,0,5\nb.mp4,5,5\n", "row 2: 5 s to 5 s, expected a start of 0 or more"),
        ("a.mp4,-1,5\n", "row 1: -1 s to 5 s"),
        ("a.mp4,0,inf\n", "row 1: 0 s to inf s"),
        ("a.mp4,nan,5\n", "row 1: nan s to 5 s"),
        (",0,5\n", "row 1: no path"),
        ("a.mp4,0,5,b.mp4,0,5\n", "a list of mixtures of mixtures"),
        ("a.mp4,0,5\n" + "x" * 200_000, "row 2: 1 columns, expected path, start, end"),
        ('a.mp4,0,5\n"b.mp4,0,5\n', "after row 1: not a CSV file in UTF-8 (a quote in the row that begins in line 2"),
    ],
)
def test_a_wrong_row_is_refused_by_its_number(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "clips.csv", text)
    assert says in str(caught.value)
    assert "clips.csv" in str(caught.value)


def test_a_list_of_mixtures_is_refused_by_its_name_and_another_word_is_not_taken_for_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a list of mixtures"):
        read(tmp_path / "unfiltered_test_onscreen_unanimous_plus_random_unfiltered_mom_clips.csv", SAMPLE)
    assert len(read(tmp_path / "moments.csv", SAMPLE)) == 1


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("mine.csv", "a.mp4,0,5\n", True),
        ("mine.csv", "path,start,end\na.mp4,0,5\n", True),
        ("mine.csv", "a.mp4,0,5,b.mp4,0,5\n", True),  # to be refused as what it is
        ("mine.csv", "uri,start_s,end_s\na.mp4,0,5\n", False),
        ("mine.csv", "uri\na.mp4\n", False),
        ("mine.csv", "a.mp4,0\n", False),
        ("mine.csv", "", False),
        ("mine.txt", "a.mp4,0,5\n", False),
        ("filtered_test_clips.csv", "", True),
        ("filtered_test_clips.csv", "uri,split\na.mp4,test\n", False),
    ],
)
def test_a_list_is_known_by_its_name_or_by_its_first_two_rows(
    name: str, text: str, expected: bool, tmp_path: Path
) -> None:
    (tmp_path / "content").write_text(text)
    assert is_list(f"s3://bucket/{name}", tmp_path / "content") == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("filtered_test_onscreen_unanimous_clips.csv", (True, False)),
        ("s3://lists/Unfiltered_Train_OffScreen_Unanimous_clips.csv", (False, True)),
        ("filtered_test_clips.csv", None),
        ("onscreen_unanimous/votes.csv", None),
    ],
)
def test_a_list_is_labelled_by_its_name(name: str, expected: tuple[bool, bool] | None) -> None:
    assert list_verdict("here", name) == expected


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("filtered_test_onscreen_unanimous_plus_offscreen_unanimous_mom_clips.csv", "a list of mixtures"),
        ("onscreen_unanimous_and_offscreen_unanimous.csv", "expected one. Give a file for each"),
    ],
)
def test_a_list_whose_name_says_both_has_no_label_for_a_clip(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        list_verdict("here", name)
