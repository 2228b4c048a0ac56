"""LRW as published: a clip's word is in its middle, splits stay, and what cannot be right is named."""

import csv
from pathlib import Path

import pytest

from jobs.cli import main
from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError
from pipeline.ingest.lrw import read_lrw
from pipeline.labels.span_files import read_spans


def write_clip(folder: Path, name: str, duration: str = "0.53", programme: str = "News at 22:00") -> Path:
    """`ABOUT/train/ABOUT_00001` -> an empty mp4 and a txt with LRW's five lines."""
    path = folder / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".mp4").touch()
    lines = ["Disk reference: 17", f"Channel: {programme}", "Program start: 2013-12-10 21:58:00 +0000"]
    lines += [f"Clip start: {len(name)} seconds", f"Duration: {duration} seconds"]
    path.write_text("\n".join(lines) + "\n")
    return path


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def test_clips_become_a_collection_with_the_published_splits_and_a_span_around_the_middle(tmp_path: Path) -> None:
    lrw, out = tmp_path / "lrw", tmp_path / "tables"
    names = ["ABOUT/test/ABOUT_00001", "ABOUT/train/ABOUT_00001", "WORDS/train/WORDS_00012", "ABOUT/val/ABOUT_00001"]
    for name, duration, programme in zip(names, ("0.53", "0.2", "1.16", ".4"), "abcd", strict=True):
        write_clip(lrw / "lipread_mp4", name, duration.replace(".4", "0.4"), programme)
    assert main(["ingest", "lrw", str(lrw), "--out", str(out)]) == 0
    uris = {name: f"{lrw}/lipread_mp4/{name}.mp4" for name in names}
    listed = {video["uri"]: video["split"] for video in list_videos(str(out / "collection.csv"))}
    assert listed == dict(zip(uris.values(), ("test", "train", "train", "validate"), strict=True))
    spans = read_spans([str(out / "spans.csv")]).table.to_pylist()
    found = {span["video"]: (span["start_s"], span["end_s"], span["category"]) for span in spans}
    # 29 frames at 25 per second last 1.16 s: half of what is left of it is before the word, half after
    assert found == {
        uris[names[0]]: (0.315, 0.845, "ABOUT"),
        uris[names[1]]: (0.48, 0.68, "ABOUT"),
        uris[names[2]]: (0, 1.16, "WORDS"),
        uris[names[3]]: (0.38, 0.78, "ABOUT"),
    }
    assert rows(out / "left_out.csv") == []


def test_unknown_words_and_sources_in_two_splits_and_halves_of_clips_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ABOUT/train/ABOUT_00001", "ABOUT/test/ABOUT_00002", "RARE/val/RARE_00001", "ABOUT/val/OTHER_00001"):
        write_clip(tmp_path, name, programme="one" if "ABOUT" in name else "two")
    write_clip(tmp_path, "ABOUT/train/ABOUT_00003").unlink()
    write_clip(tmp_path, "ABOUT/train/ABOUT_00004").with_suffix(".mp4").unlink()
    (tmp_path / "README.txt").write_text("not of a clip")
    assert main(["ingest", "lrw", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    output = capsys.readouterr().out
    assert "1 clips named after another word than their folder (left out): ABOUT/val/OTHER_00001" in output
    assert "1 words without a clip of train, which no model can learn: RARE" in output
    leak = "(test: ABOUT/test/ABOUT_00002, train: ABOUT/train/ABOUT_00001)"
    assert "1 with videos in several splits" in output
    assert leak in output
    assert "Channel: one" in output
    assert "3 videos, 3 words of 2 kinds, left out: 1 missing, 1 missing_txt, 1 other_word" in output
    assert [row[:2] for row in rows(tmp_path / "out" / "left_out.csv")] == [
        ["ABOUT/train/ABOUT_00003", "missing_txt"],
        ["ABOUT/train/ABOUT_00004", "missing"],
        ["ABOUT/val/OTHER_00001", "other_word"],
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1\n2\n3\n4\nDuration: long\n", "line 5: 'Duration: long'; expected `Duration: 0.53 seconds`"),
        ("1\n2\n3\n4\nDuration: 0 seconds\n", "line 5: 'Duration: 0 seconds'"),
        ("1\n2\n3\n4\nDuration: 1.17 seconds\n", "more than 0 and at most 1.16, the length of a clip"),
        ("1\n2\n3\n", "line 5: 3 lines; expected"),
        ("", "line 5: 0 lines; expected"),
        ("\udce9", "cannot be read"),
        ("a" * 70_000, "more than 65536 bytes"),
    ],
)
def test_a_txt_that_is_not_as_published_is_refused_by_its_line_and_nothing_is_written(
    text: str, says: str, tmp_path: Path
) -> None:
    path = write_clip(tmp_path, "ABOUT/train/ABOUT_00001")
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        read_lrw(tmp_path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert main(["ingest", "lrw", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_a_folder_without_clips_and_a_root_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ABOUT_00001.mp4").touch()
    with pytest.raises(ConfigError, match=r"no clips there. Expected <WORD>/train/<WORD>_00001.mp4"):
        read_lrw(tmp_path)
    write_clip(tmp_path, "ABOUT/train/ABOUT_00001")
    assert main(["ingest", "lrw", str(tmp_path), "--root", str(tmp_path / "root")]) == 2
    assert not (tmp_path / "root").exists()
