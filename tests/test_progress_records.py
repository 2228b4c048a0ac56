"""How far a stage is, as others read it."""

import json
from pathlib import Path

from pipeline.storage import files
from pipeline.storage.progress_records import Progress, now, read_progress, write_progress
from pipeline.storage.workspace import Workspace

PROGRESS = Progress(
    step="train coincidence", unit="steps", done=3, total=9, began=now(), updated=now(), figures={"train_loss": 0.5}
)


def test_a_record_is_read_as_it_was_written_and_lies_beside_the_lock(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    assert read_progress(workspace, "models/m") is None
    write_progress(workspace, "models/m", PROGRESS)
    assert read_progress(workspace, "models/m") == PROGRESS
    assert [files.relative(entry.uri, workspace.root) for entry in files.list_files(workspace.root)] == [
        ".locks/models/m.progress.json"
    ]


def test_a_record_that_is_damaged_or_of_another_version_is_none(tmp_path: Path) -> None:
    workspace, path = Workspace(str(tmp_path)), tmp_path / ".locks" / "models" / "m.progress.json"
    write_progress(workspace, "models/m", PROGRESS)
    for content in (b"", b"[1]", b"{}", b'{"step": 1}', json.dumps(json.loads(path.read_bytes()) | {"x": 1}).encode()):
        path.write_bytes(content)
        assert read_progress(workspace, "models/m") is None


def test_a_root_that_takes_no_record_does_not_stop_the_work(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    (tmp_path / ".locks").write_text("a file where the folder should be")
    write_progress(workspace, "models/m", PROGRESS)
    assert read_progress(workspace, "models/m") is None
