"""Tables of a published data set's videos: each video is in the collection or left out with a reason."""

import csv
from pathlib import Path

import pytest

from jobs.cli import main
from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError
from pipeline.ingest.video_tables import find_videos, write_tables
from pipeline.labels.span_files import read_spans
from tests.helpers.ave import LINES, ORDERS, write_ave


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_a_video_is_found_below_the_folder_by_its_name_with_or_without_times(tmp_path: Path) -> None:
    names = ["abc", "abc_12", "-x", "e_1_2", "gone"]
    found = ["a/abc.mp4", "abc_12.webm", "b/abc_000030.MKV", "-x_30_40.mp4", "e_1_2.mp4", "other.mp4", "gone.txt"]
    found += ["b/abc_12_000030.mp4", "c/abc_12_30_40.mp4"]  # of abc_12, whose own end looks like a time
    touch(*(tmp_path / name for name in found))
    assert {name: sorted(uris) for name, uris in find_videos(str(tmp_path), names).items()} == {
        "abc": [str(tmp_path / "a/abc.mp4"), str(tmp_path / "b/abc_000030.MKV")],
        "abc_12": [str(tmp_path / name) for name in ("abc_12.webm", "b/abc_12_000030.mp4", "c/abc_12_30_40.mp4")],
        "-x": [str(tmp_path / "-x_30_40.mp4")],
        "e_1_2": [str(tmp_path / "e_1_2.mp4")],
    }


def test_aves_videos_become_a_collection_and_a_span_file_and_the_others_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ave, out = tmp_path / "ave", tmp_path / "tables"
    write_ave(ave)
    ids = [line.split("&")[1] for line in LINES]
    touch(*(ave / "AVE" / f"{name}.mp4" for name in ids[:4]), ave / "AVE" / "more" / f"{ids[3]}.webm")
    assert main(["ingest", "ave", str(ave), "--out", str(out)]) == 0
    output = capsys.readouterr().out
    assert "goat1234567 (train, test); each is put in the first of them" in output
    assert f"ingest: 2 videos, 2 without a file (first {ids[4]}), 1 with several files (first {ids[3]})" in output
    uris = [str(ave / "AVE" / f"{name}.mp4") for name in ids]
    assert rows(out / "collection.csv") == [
        ["uri", "split", "category"],
        [uris[0], "train", "Bark"],
        [uris[1], "train", "Goat; Bark"],
    ]
    assert rows(out / "spans.csv") == [
        ["video", "start_s", "end_s", "category"],
        [uris[0], "0", "10", "Bark"],
        [uris[1], "2", "5", "Goat"],
        [uris[1], "1", "4", "Bark"],
    ]
    several = f"{ave / 'AVE' / 'more' / ids[3]}.webm {uris[3]}"
    assert rows(out / "left_out.csv")[1:] == [
        [ids[3], "ambiguous", several],
        [ids[4], "missing", ""],
        [ids[5], "missing", ""],
    ]
    listed = list(list_videos(str(out / "collection.csv")))  # what cutting and labelling make of them
    assert [(video["uri"], video["split"]) for video in listed] == [(uris[0], "train"), (uris[1], "train")]
    assert read_spans([str(out / "spans.csv")]).table["end_s"].to_pylist() == [10, 5, 4]


def test_tables_without_lists_of_splits_have_none(tmp_path: Path) -> None:
    write_ave(tmp_path / "ave")
    for name in ORDERS:
        (tmp_path / "ave" / f"{name}_order.h5").unlink()
    touch(tmp_path / "ave" / "dog-1_AbCde.mp4")
    assert main(["ingest", "ave", str(tmp_path / "ave"), "--out", str(tmp_path / "out")]) == 0
    assert [row[1] for row in rows(tmp_path / "out" / "collection.csv")] == ["split", ""]
    assert [video["split"] for video in list_videos(str(tmp_path / "out" / "collection.csv"))] == [None]


def test_tables_are_not_written_over_others_and_a_folder_without_the_videos_is_refused(tmp_path: Path) -> None:
    from pipeline.ingest.video_tables import Event

    event = Event("abc", 0, 10, "Bark", "train")
    with pytest.raises(ConfigError, match=r"no video there is named after one of the 1 of the list, such as abc.mp4"):
        write_tables(str(tmp_path / "out"), str(tmp_path), [event])
    assert not (tmp_path / "out").exists()
    touch(tmp_path / "abc.mp4")
    write_tables(str(tmp_path / "out"), str(tmp_path), [event])
    write_tables(str(tmp_path / "out"), str(tmp_path), [event])
    with pytest.raises(ConfigError, match=r"collection.csv: is there, with another content"):
        write_tables(str(tmp_path / "out"), str(tmp_path), [event._replace(split="test")])
