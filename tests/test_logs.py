"""The log of a command: what it printed, before and after its workspace was known, and a defect's traceback."""

import sys
from pathlib import Path

import pytest

from jobs.console.logs import keep_in, recording
from pipeline.storage.tombstones import write_tombstone
from pipeline.storage.workspace import Workspace


def test_what_is_printed_and_a_traceback_are_kept_and_a_bar_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        print("before")
        keep_in(str(tmp_path))
        keep_in(str(tmp_path / "other"))  # the second stage of `earshot run` goes on in the same file
        print("after", file=sys.stderr)
        print(f"\x1b[2K{3} of 9", file=sys.stderr, end="\r")
        print(1 / 0)

    with pytest.raises(ZeroDivisionError), recording(["score", "--root", "my ws", "v\udcff"]):  # no UTF-8
        run()
    (log,) = tmp_path.glob("logs/*.log")
    lines = log.read_text().splitlines()
    assert lines[:3] == ["earshot score --root 'my ws' 'v\\udcff'", "before", "after"]
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "3 of 9" not in log.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert capsys.readouterr().out == "before\n"


def test_a_log_does_not_name_videos_that_were_taken_down(tmp_path: Path) -> None:
    gone = {"video_id": "dog_77-de3c253b", "uri": "/videos/dog_77.mp4", "content_hash": None}
    tombstone = {"videos": [gone], "clips": {}, "others": [], "begun": "", "finished": ""}
    write_tombstone(Workspace(str(tmp_path)), "00000", tombstone)
    with recording(["import", "--root", str(tmp_path)]):
        keep_in(str(tmp_path))
        print("no kept clip, such as dog_77-de3c253b_00001000, cat_5-aa112233_00000000")
        print("/videos/dog_77.mp4: not here")
    (log,) = tmp_path.glob("logs/*.log")
    assert log.read_text().splitlines()[1:] == [
        "no kept clip, such as (taken down), cat_5-aa112233_00000000", "(taken down): not here"
    ]  # fmt: skip


def test_a_command_that_claims_no_folder_leaves_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with recording(["query"]):
        print("rows")
    keep_in("s3://bucket/root")
    assert list(tmp_path.iterdir()) == []
