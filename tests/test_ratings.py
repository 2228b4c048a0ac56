"""Label files: what each row says, whatever the table's form; and rows that cannot be right, by their number."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError
from pipeline.hashing import hash_bytes
from pipeline.labels.ratings import read_judgements
from pipeline.storage import files

ON, OFF = (True, False), (False, True)
HASHES = ["827f6b53467db2d5218ed8247418c4c", "00f6b53467db2d5218ed8247418c4c1", "1111111111111111111111111111e10"]
HEADER = "video,on_screen,off_screen"
SPANS = f"{HEADER},start_s,end_s"
VOTES = f"{HEADER},rater"


def read(*labels: str | Path) -> list[tuple]:
    """(video, start_s, end_s, on_screen, off_screen, rater, num_raters) of each row."""
    names = ("video", "start_s", "end_s", "on_screen", "off_screen", "rater", "num_raters")
    rows = read_judgements([str(label) for label in labels]).table.to_pylist()
    return [tuple(row[name] for name in names) for row in rows]


def refusal(*labels: str | Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_judgements([str(label) for label in labels])
    return str(caught.value)


# --- one file of judgements ---


def test_names_of_digits_stay_text_and_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text(f"{SPANS},rater\n007,1,0,,,\n1e5,0,1,1.5,2,08\n")
    whole = 0.0, float("inf")
    assert read(tmp_path / "votes.csv") == [("007", *whole, *ON, "", 1), ("1e5", 1.5, 2.0, *OFF, "08", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "video,on_screen,off_screen,start_s\na,1,0,0.5\nb,0,1,\n",
        "video,on_screen,off_screen,start_s\r\na,true,FALSE,5e-1\r\nb,False,True,0\r\n",
        "video,on_screen,off_screen,start_s\na,1.0,0.0,.5\n\nb,0.0,1.0,\n",  # of a column that had a gap
        "video, on_screen , Off_Screen,start_s \n a ,1 , 0, 0.50\nb, 0,1, \n",
        'extra,start_s,off_screen,on_screen,video\n"x,y",0.5,0,1,"a"\n,,1,0,b\n',
        "\ufeffvideo,on_screen,off_screen,start_s\na,1,0,0.5\nb,0,1,0\n",
    ],
)
def test_a_table_says_the_same_in_any_spelling(text: str, tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_bytes(text.encode())
    end_s = float("inf")
    assert read(tmp_path / "votes.csv") == [("a", 0.5, end_s, *ON, "", 1), ("b", 0.0, end_s, *OFF, "", 1)]


@pytest.mark.parametrize("flags", [[True, False], [1, 0], [1.0, 0.0], ["1", "0"]])
def test_a_parquet_file_says_the_same_as_the_csv(flags: list, tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text("video,on_screen,off_screen,start_s\na,1,0,0.1\nb,0,1,\n")
    table = pa.table({"video": ["a", "b"], "on_screen": flags, "off_screen": [0, 1], "start_s": [0.1, None]})
    pq.write_table(table, tmp_path / "votes.PARQUET")
    assert read(tmp_path / "votes.PARQUET") == read(tmp_path / "votes.csv")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("v.csv", "video,on_screen\na,1\n", "columns video, on_screen; expected video, on_screen, off_screen"),
        ("v.csv", "video;on_screen;off_screen\na;1;0\n", "columns video;on_screen;off_screen; expected"),
        ("v.csv", "", "columns none; expected"),
        ("v.csv", f"{HEADER}\n", "no rows"),
        ("v.csv", f"{HEADER},on_screen\na,1,0,0\n", "2 columns are named on_screen"),
        ("v.csv", f"{HEADER}\na,1,0\nb,2,0\n", "row 2: on_screen = '2', expected 0 or 1"),
        ("v.csv", f"{HEADER}\na,1,\n", "row 1: off_screen = '', expected 0 or 1"),
        ("v.csv", f"{HEADER}\na,1,0\n ,1,0\n", "row 2: video = '', expected the name of a video"),
        ("v.csv", f"{SPANS}\na,1,0,0,later\n", "row 1: end_s = 'later', expected seconds"),
        (
            "v.csv",
            f"{SPANS}\na,1,0,00:01,00:02\n",
            "row 1: start_s = '00:01', expected seconds, 0 or more (90 for 1:30",
        ),
        ("v.csv", f"{SPANS}\na,1,0,-1,5\n", "row 1: start_s = '-1', expected seconds"),
        ("v.csv", f"{SPANS}\na,1,0,nan,5\n", "row 1: start_s = 'nan', expected seconds"),
        ("v.csv", f"{SPANS}\na,1,0,5,0\n", "row 1: start_s = '5', end_s = '0', expected the end after the start"),
        ("v.csv", f"{SPANS}\na,1,0,inf,\n", "row 1: start_s = 'inf', end_s = '', expected the end after the start"),
        ("v.csv", f"{HEADER}\na,1\n", "not a readable table"),
        ("v.csv", f"{HEADER}\n\udce9,1,0\n", "not a readable table"),
        ("v.parquet", f"{HEADER}\na,1,0\n", "not a readable table"),
        ("x_onscreen_unanimous_clips.csv", "a.mp4,0,5\nb.mp4,0\n", "row 2: 2 columns, expected path, start, end"),
    ],
)
def test_a_wrong_label_file_is_refused_by_what_stands_where(name: str, text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
    output = refusal(tmp_path / name)
    assert says in output
    assert name in output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{VOTES}\na,1,0,ann\na,1,0,bob\na,0,1,ann\n", "v.csv, row 1 and v.csv, row 3: rater `ann` says two things"),
        (
            f"{HEADER}\na,1,0\na,1,0\na,0,1\n",
            "row 3: a rater without a name says two things of `a` from 0 s to its end",
        ),
        (f"{VOTES}\na,1,0,\na,0,1,ann\na,1,1,\n", "v.csv, row 1 and v.csv, row 3: a rater without a name"),
        (f"{SPANS}\na,1,0,0,2.0\na,0,0,0.0,2\n", "from 0 s to 2 s. Expected one row per span, or a `rater` column"),
    ],
)
def test_a_rater_who_says_two_things_of_one_span_is_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(text)
    assert says in refusal(tmp_path / "v.csv")


@pytest.mark.parametrize(
    "text",
    [
        f"{VOTES}\na,1,0,ann\na,1,0,ann\na,0,1,bob\nb,0,1,ann\n",
        f"{SPANS}\na,1,0,0,2\na,0,1,0,3\na,0,1,2,3\na,0,1,,\nb,1,1,,\nb,1,1,,\n",
    ],
)
def test_a_rater_may_repeat_a_row_and_say_other_things_of_other_spans(text: str, tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(text)
    assert len(read(tmp_path / "v.csv")) == text.count("\n") - 1


# --- published lists ---


@pytest.mark.parametrize(("mark", "verdict"), [("onscreen", ON), ("offscreen", OFF)])
@pytest.mark.parametrize("header", ["", "video_path,start,end\n"])
def test_a_published_list_has_its_label_in_its_name_and_speaks_for_three_raters(
    mark: str, verdict: tuple[bool, bool], header: str, tmp_path: Path
) -> None:
    path = tmp_path / f"some_{mark}_unanimous_clips.csv"
    paths = [f"data/videos/mp4/{name[:3]}/{name[3:6]}/{name}.mp4" for name in HASHES]
    path.write_text(header + "".join(f"{name},{i}.0,{i + 5}.0\n" for i, name in enumerate(paths)))
    assert read(path) == [(name, i, i + 5, *verdict, "", 3) for i, name in enumerate(paths)]


def test_the_columns_of_a_file_decide_its_form_before_its_name(tmp_path: Path) -> None:
    table = pa.table({"video": ["a"], "on_screen": [0], "off_screen": [1]})
    pq.write_table(table, tmp_path / "votes_on_onscreen_unanimous_clips.parquet")
    assert read(tmp_path / "votes_on_onscreen_unanimous_clips.parquet") == [("a", 0.0, float("inf"), *OFF, "", 1)]
    (tmp_path / "votes_on_onscreen_unanimous_clips.csv").write_text(f"{VOTES}\na,0,1,ann\n")
    assert read(tmp_path / "votes_on_onscreen_unanimous_clips.csv")[0][3:] == (*OFF, "ann", 1)


def test_a_published_list_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    (tmp_path / "filtered_test_onscreen_unanimous_clips.csv").write_text("a.mp4,0,5\n" * 294)
    assert "294 rows, expected the 295" in refusal(tmp_path / "filtered_test_onscreen_unanimous_clips.csv")


# --- several files ---


def test_files_are_read_in_the_order_of_their_names_and_each_is_known_by_its_content(tmp_path: Path) -> None:
    off, on = tmp_path / "a_offscreen_unanimous_clips.csv", tmp_path / "a_onscreen_unanimous_clips.csv"
    off.write_text("a.mp4,0,5\n")
    on.write_text("b.mp4,0,5\nc.mp4,1,6\n")
    found = read_judgements([str(on), str(off), str(on)])
    assert [(row["video"], row["file"]) for row in found.table.to_pylist()] == [
        ("a.mp4", off.name),
        ("b.mp4", on.name),
        ("c.mp4", on.name),
    ]
    assert found.contents == {path.name: hash_bytes(path.read_bytes()) for path in (off, on)}


def test_a_pattern_stands_for_the_lists_of_a_folder_here_or_in_a_bucket(s3_bucket: str, tmp_path: Path) -> None:
    lists = {f"x_{mark}screen_unanimous_clips.csv": f"{mark}.mp4,0,5\n" for mark in ("on", "off")}
    others = {"x_clips.csv": "c.mp4,0,5\n", "below/y_onscreen_unanimous_clips.csv": "d.mp4,0,5\n"}
    for folder in (str(tmp_path), f"{s3_bucket}/lists"):
        for name, text in (lists | others).items():
            files.commit_bytes(f"{folder}/{name}", text.encode())
        found = read(f"{folder}/*screen_unanimous_clips.csv")
        assert found == [("off.mp4", 0.0, 5.0, *OFF, "", 3), ("on.mp4", 0.0, 5.0, *ON, "", 3)]
        assert "no such file" in refusal(f"{folder}/*.parquet")


def test_who_is_named_in_two_files_is_one_rater_and_who_is_not_is_another_in_each(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(f"{VOTES}\na,1,0,ann\na,1,0,\n")
    (tmp_path / "two.csv").write_text(f"{VOTES}\na,0,1,\n")
    assert len(read(tmp_path / "one.csv", tmp_path / "two.csv")) == 3
    (tmp_path / "two.csv").write_text(f"{VOTES}\nb,1,0,ann\na,0,1,ann\n")
    assert "one.csv, row 1 and two.csv, row 2: rater `ann`" in refusal(tmp_path / "one.csv", tmp_path / "two.csv")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        files.commit_bytes(str(tmp_path / folder / "votes.csv"), f"{HEADER}\na,1,0\n".encode())
    assert "has the name of" in refusal(tmp_path / "one" / "votes.csv", tmp_path / "two" / "votes.csv")


def test_a_label_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "votes.csv")
    assert "no such file" in refusal(tmp_path)


def test_line_breaks_in_a_column_that_is_not_used_are_read_however_large_the_file_is(tmp_path: Path) -> None:
    note = "x" * 500
    rows = "".join(f'a{i}.mp4,1,0,"one {note}\nand ""two"""\n' for i in range(5000))  # 2.6 MB: several blocks
    (tmp_path / "votes.csv").write_text(f"{HEADER},note\n{rows}")
    found = read(tmp_path / "votes.csv")
    assert [row[0] for row in found] == [f"a{i}.mp4" for i in range(5000)]
    assert {row[3:5] for row in found} == {ON}


@pytest.mark.parametrize("place", ["local", "s3"])
def test_only_an_asterisk_in_the_last_name_is_a_pattern(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    bucket = request.getfixturevalue("s3_bucket") if place == "s3" else ""
    folder = f"{bucket}/{tmp_path.name}" if bucket else str(tmp_path)
    for name in ("cut[2024]/votes_1.csv", "cut[2024]/votes_2.csv", "cut2/votes_3.csv", "cut[2024]/.votes_4.csv"):
        files.commit_bytes(f"{folder}/{name}", f"{VOTES}\na.mp4,1,0,{name[-5]}\n".encode())
    assert [row[5] for row in read(f"{folder}/cut[2024]/votes_*.csv")] == ["1", "2"]
    assert [row[5] for row in read(f"{folder}/cut[2024]/votes_1.csv")] == ["1"]
    files.commit_bytes(f"{folder}/cut2/a[1]?.csv", f"{VOTES}\na.mp4,1,0,x\n".encode())
    assert [row[5] for row in read(f"{folder}/cut2/a[1]?*")] == ["x"]
    for nothing in ("cut[2]/votes_*.csv", "gone/*.csv", "cut*/votes_1.csv", "cut2/votes_?.csv"):
        assert "no such file" in refusal(f"{folder}/{nothing}")
