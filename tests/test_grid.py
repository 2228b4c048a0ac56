"""GRID as published: 25 000 units make a second, silence is no word, and speakers say sentences of the same names."""

from pathlib import Path

import pytest

from jobs.cli import main
from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError
from pipeline.ingest.grid import VOCABULARY, read_grid
from pipeline.labels.span_files import read_spans

ALIGN = "0 10000 sil\n10000 22500 bin\n22500 30000 blue\n30000 31000 sp\n31000 50000 w\n50000 74500 sil\n"


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_mpg", ".mpg").replace("_align", ".align")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_words_have_seconds_and_belong_to_the_video_of_their_speaker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, s1__bbaf2n_mpg="", s1__align__bbaf2n_align=ALIGN, s3__lone_mpg="", align__s2__gone_align=ALIGN)
    write(tmp_path, s2__bbaf2n_mpg="", align__s2__bbaf2n_align="0 25000 sil\n25000 50000 now\n")
    write(tmp_path, s4__quiet_mpg="", s4__quiet_align="0 74500 sil\n")
    out = tmp_path / "tables"
    assert main(["ingest", "grid", str(tmp_path), "--out", str(out)]) == 0
    output = capsys.readouterr().out
    assert "1 words that are none of the 51 of GRID: w (first in s1/bbaf2n)" in output
    assert "3 videos, 4 words of 4 kinds, left out: 1 missing, 1 missing_align" in output
    videos = [f"{tmp_path}/s{number}/{name}.mpg" for number, name in ((1, "bbaf2n"), (2, "bbaf2n"), (4, "quiet"))]
    listed = [(video["uri"], video["split"]) for video in list_videos(str(out / "collection.csv"))]
    assert sorted(listed) == [(video, None) for video in videos]
    assert (out / "collection.csv").read_text().splitlines()[:2] == [
        "uri,split,category,speaker",
        f"{videos[0]},,bin blue w,s1",
    ]
    spans = read_spans([str(out / "spans.csv")]).table.to_pylist()
    assert [(span["video"], span["start_s"], span["end_s"], span["category"]) for span in spans] == [
        (videos[0], 0.4, 0.9, "bin"),
        (videos[0], 0.9, 1.2, "blue"),
        (videos[0], 1.24, 2.0, "w"),
        (videos[1], 1.0, 2.0, "now"),
        (videos[2], 0, 0, ""),
    ]
    assert len(VOCABULARY) == 51 == 4 + 4 + 4 + 25 + 10 + 4  # of each place of a sentence


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 10000 sil\n10000 bin\n", "line 2: '10000 bin'; expected `23750 29500 bin`"),
        ("0 10000 sil\n\n9999 12000 bin\n", "line 3: '9999 12000 bin'; expected `23750 29500 bin`: a start at 10000"),
        ("5 5 bin\n", "line 1: '5 5 bin'"),
        ("0 0.4 bin\n", "line 1: '0 0.4 bin'"),
        ("\n", "no lines, expected one or more"),
    ],
)
def test_an_alignment_that_is_not_as_published_is_refused_by_its_line(text: str, says: str, tmp_path: Path) -> None:
    write(tmp_path, s1__bbaf2n_mpg="", s1__bbaf2n_align=text)
    with pytest.raises(ConfigError) as caught:
        read_grid(tmp_path)
    assert says in str(caught.value)
    assert f"{tmp_path}/s1/bbaf2n.align" in str(caught.value)


def test_two_files_of_one_name_are_ambiguous_and_a_folder_without_alignments_is_refused(tmp_path: Path) -> None:
    write(tmp_path, s1__bbaf2n_mpg="", s1__more__bbaf2n_mpg="")
    with pytest.raises(ConfigError, match="no video there with an alignment"):
        read_grid(tmp_path)
    write(tmp_path, s1__bbaf2n_align=ALIGN, s1__swwp2s_mpg="", s1__swwp2s_align=ALIGN)
    found = read_grid(tmp_path)
    assert [video.name for video in found.videos] == ["s1/swwp2s"]
    assert [(left.name, left.reason, len(left.files.split())) for left in found.left_out] == [
        ("s1/bbaf2n", "ambiguous", 3)
    ]


def test_a_real_alignment_lies_inside_its_video(shared_media: Path, tmp_path: Path) -> None:
    for source, target in (
        ("videos/LipNet__bbaf2n.mpg", "bbaf2n.mpg"),
        ("labels/GRID_s1_bbaf2n.align", "bbaf2n.align"),
    ):
        (tmp_path / target).symlink_to(shared_media / source)
    (video,) = read_grid(tmp_path).videos
    # a sentence of six words in a video of 75 frames at 25 per second
    assert len(video.words) == 6
    assert 0 < video.words[0].start_s < video.words[-1].end_s < 3.0
