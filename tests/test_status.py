"""`earshot status`, as a person and as a program read it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobs.console.status_table import row
from jobs.console.systems import FOLDERS, FOLDERS_OF, LIPREADING, RUN, RUN_ALONE, RUN_LIPREADING, SEPARATION
from pipeline.estimate.stage_status import StageStatus
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace
from tests.helpers.command import earshot

RUNNING = StageStatus(
    stage="clips/base", state="running", done=412, total=1250, running=8, per_s=0.05, seconds_to_go=16760.0,
    seconds=8240.0, step="shard base", by={"host": "node-7", "pid": 12, "command": "earshot run", "since": ""},
)  # fmt: skip


def test_a_row_is_read_in_units_of_people() -> None:
    assert row(RUNNING) == [
        *("clips/base", "running", "412 of 1 250", "8", "", "3/min", "4.66 h", "2.29 h"),
        "shard base: process 12 on node-7",
    ]
    training = StageStatus(
        stage="models/m", state="stopped", unit="steps", done=300, total=700, failed=0, per_s=2.5, seconds=120.0,
        step="train coincidence", updated="2026-11-30T00:00:00+00:00", error="DataError: the loss is nan",
        figures={"train_loss": 0.5, "validate_match_auc": 0.75, "clips_per_s": 160.0},
    )  # fmt: skip
    assert row(training) == [
        *("models/m", "stopped", "300 of 700 steps", "", "", "2.5/s", "", "2 min"),
        "DataError: the loss is nan, train coincidence, last heard of at 2026-11-30T00:00:00+00:00, train_loss 0.5, "
        "clips_per_s 160",
    ]
    assert row(StageStatus(stage="scores/m", state="not begun")) == ["scores/m", "not begun", *[""] * 7]


def test_the_stages_of_run_are_listed_before_they_begin_and_json_holds_all_that_is_known(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
    workspace.begin("scores/coincidence", {}, {})
    files.commit_bytes(workspace.part_uri("collection", "00000"), b"x")
    code, out, err = earshot("status", "--root", str(tmp_path), "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["root"] == str(tmp_path)
    states = {stage["stage"]: stage["state"] for stage in found["stages"]}
    assert states == dict.fromkeys(RUN, "not begun") | {"scores/coincidence": "stopped"}
    assert found["stages"][0].keys() == set(StageStatus.__dataclass_fields__)
    code, out, _ = earshot("status", "--root", str(tmp_path))
    assert code == 0
    assert all(stage in out for stage in RUN)
    workspace.begin("clips/events", {}, {})
    states = {
        stage["stage"]: stage["state"]
        for stage in json.loads(earshot("status", "--root", str(tmp_path), "--json")[1])["stages"]
    }
    begun = {"scores/coincidence": "stopped", "clips/events": "stopped"}
    assert states == dict.fromkeys(RUN_ALONE["events"], "not begun") | begun


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        (["base"], RUN),
        (["sounds"], ["clips/sounds"]),
        (["base", "sounds"], [*RUN, "clips/sounds"]),
        (["speech"], RUN_LIPREADING),
        (["base", "speech"], [*RUN, *RUN_LIPREADING]),
        (["events", "speech"], [*RUN_ALONE["events"], *RUN_LIPREADING]),
    ],
)
def test_what_is_not_begun_is_listed_of_the_systems_whose_clips_have_begun(
    specs: list[str], expected: Sequence[str], tmp_path: Path
) -> None:
    workspace = Workspace(str(tmp_path))
    files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
    for spec in specs:
        workspace.begin(f"clips/{spec}", {}, {})
    code, out, _ = earshot("status", "--root", str(tmp_path), "--json")
    assert code == 0
    states = {stage["stage"]: stage["state"] for stage in json.loads(out)["stages"]}
    begun = {f"clips/{spec}": "stopped" for spec in specs}
    assert states == dict.fromkeys(expected, "not begun") | begun


def test_all_that_run_makes_is_listed() -> None:
    begun_later = {"labels/base", "duplicates/default"}
    assert {*FOLDERS, *FOLDERS_OF[SEPARATION]} - begun_later - {"spans", "masks"} <= set(RUN)
    for system, other in (("events", "masks"), ("segmentation", "spans")):
        assert {*FOLDERS, *FOLDERS_OF[system]} - begun_later - {other} <= set(RUN_ALONE[system])
    assert set(FOLDERS_OF[LIPREADING]) <= set(RUN_LIPREADING)


def test_a_folder_that_is_no_workspace_is_refused(tmp_path: Path) -> None:
    code, _, err = earshot("status", "--root", str(tmp_path))
    assert code == 2
    assert "no Earshot workspace there" in err
