"""How far a stage is, as others read it."""

import dataclasses
import json
from pathlib import Path

from pipeline.formatting import format_now
from pipeline.storage import files
from pipeline.storage.progress_records import Progress, ProgressFile, read_progress
from pipeline.storage.workspace import Workspace
from tests.helpers.versions import kept_versions

PROGRESS = Progress(
    step="train coincidence",
    unit="steps",
    done=3,
    total=9,
    began=format_now(),
    updated=format_now(),
    figures={"train_loss": 0.5},
)


def test_a_record_is_read_as_it_was_written_and_lies_beside_the_lock(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    assert read_progress(workspace, "models/m") is None
    ProgressFile(workspace, "models/m").write(PROGRESS)
    assert read_progress(workspace, "models/m") == PROGRESS
    assert [files.relative(entry.uri, workspace.root) for entry in files.list_files(workspace.root)] == [
        ".locks/models/m.progress.json"
    ]


def test_a_record_that_is_damaged_or_of_another_version_is_none(tmp_path: Path) -> None:
    workspace, path = Workspace(str(tmp_path)), tmp_path / ".locks" / "models" / "m.progress.json"
    ProgressFile(workspace, "models/m").write(PROGRESS)
    for content in (b"", b"[1]", b"{}", b'{"step": 1}', json.dumps(json.loads(path.read_bytes()) | {"x": 1}).encode()):
        path.write_bytes(content)
        assert read_progress(workspace, "models/m") is None


def test_a_root_that_takes_no_record_does_not_stop_the_work(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    (tmp_path / ".locks").write_text("a file where the folder should be")
    ProgressFile(workspace, "models/m").write(PROGRESS)
    assert read_progress(workspace, "models/m") is None


def test_a_record_that_is_written_again_leaves_one_version_on_a_bucket_that_keeps_them(versioned: str) -> None:
    file = ProgressFile(Workspace(versioned), "models/m")
    for step in (1, 2, 3):
        file.write(dataclasses.replace(PROGRESS, done=step))
    found = read_progress(Workspace(versioned), "models/m")
    assert found is not None
    assert found.done == 3
    assert kept_versions() == [".locks/models/m.progress.json"]
