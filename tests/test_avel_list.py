"""The list of VGGSound-AVEL100k: videos found by file name, events of whole videos, and rows that cannot be right."""

from pathlib import Path

import pytest

from jobs.cli import main
from pipeline.errors import ConfigError
from pipeline.ingest.avel_list import read_list
from pipeline.ingest.video_tables import Event

HEADER = "category,video_id,split\n"


def test_a_row_is_an_event_of_ten_seconds_in_the_projects_words_for_splits(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    text = 'Video_ID,split, category\nabc,train,"playing, loud"\nd-e,val,cat\nf_g,test,cat\n'
    (tmp_path / "avel.csv").write_text(text)
    expected = [
        Event("abc", 0, 10, "playing, loud", "train"),
        Event("d-e", 0, 10, "cat", "validate"),
        Event("f_g", 0, 10, "cat", "test"),
    ]
    assert read_list(tmp_path) == read_list(tmp_path / "avel.csv") == expected


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "no list; expected one CSV with category, video_id, split"),
        ({"a.csv": "category,video\ncat,a\n"}, "no list"),
        ({"a.csv": f"{HEADER}c,a,test\n", "b.csv": f"{HEADER}c,a,test\n"}, "2 lists, a.csv, b.csv; expected one"),
        ({"a.csv": HEADER}, "no rows, expected one video or more"),
        ({"a.csv": f"{HEADER}cat,abc,train\ncat,abc\n"}, "row 2: category 'cat', video_id 'abc', split ''"),
        ({"a.csv": f"{HEADER}cat,abc,dev\n"}, "split 'dev'; expected a category, a video and one of train, val"),
        ({"a.csv": f"{HEADER},abc,train\n"}, "row 1: category '', video_id 'abc'"),
        ({"a.csv": "\udce9"}, "cannot be read"),
    ],
)
def test_a_wrong_list_is_refused_by_what_is_where(files: dict[str, str], says: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        read_list(tmp_path)
    assert says in str(caught.value)


def test_a_video_of_two_clips_is_ambiguous_because_the_list_has_no_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "avel.csv").write_text(f"{HEADER}cat,abc,train\ncat,def,test\n")
    for name in ("abc_000030.mp4", "def_000010.mp4", "def_000020.mp4"):
        (tmp_path / name).touch()
    assert main(["ingest", "avel", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    output = capsys.readouterr().out
    assert "all of a video's 10 s, for weak and self-supervision" in output
    assert "1 videos, 1 with several files (first def)" in output
    assert (tmp_path / "out" / "spans.csv").read_text() == (
        f"video,start_s,end_s,category\n{tmp_path}/abc_000030.mp4,0,10,cat\n"
    )
