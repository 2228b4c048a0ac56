"""Scoring by a class of the user's: a row per kept clip whatever happens to it, and the same bytes after a kill."""

import dataclasses
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import ray
from conftest import WORLD_SPEC, World

from cluster.resources import SCORING
from jobs.console.presets import preset
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError, DataError
from pipeline.hashing import as_dict
from pipeline.outside.own_scoring import ScoreOwnPart
from pipeline.outside.scorers import ScorerClass
from pipeline.reports.querying import query
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace
from tests.helpers.clips import load_split
from tests.helpers.command import earshot

COLUMNS = {"rms": "DOUBLE", "light": "FLOAT[3]"}
SCORER = """
import os, signal
from pathlib import Path

class Own:
    columns = {"rms": "DOUBLE", "light": "FLOAT[3]"}
    batch_size = 5

    def __init__(self, device, odd=""):
        self.odd, self.kill = odd.split(), Path(__file__).parent / "kill"

    @classmethod
    def check(cls, odd=""):
        if odd == "check":
            raise OSError("nothing there")

    def __call__(self, clips):
        if self.kill.exists():
            self.kill.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        for clip in clips:
            if clip.key in self.odd or self.odd == ["all"]:
                raise ValueError(f"odd one in a batch of {len(clips)}")
        return [
            {"rms": (clip.waveform.astype("f8") ** 2).mean() ** 0.5, "light": clip.frames.mean((0, 2, 3)) / 255}
            for clip in clips
        ]
"""


@pytest.fixture
def workspace(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of the world's, with its settings; `scorer_own.py` lies in the working directory."""
    shutil.copytree(world.workspace.root, tmp_path / "root")
    made = Workspace(str(tmp_path / "root"))
    made.begin("clips/base", {"clips": {"base": WORLD_SPEC}}, {})
    files.commit_bytes(made.uri(SETTINGS_FILE), json.dumps(as_dict(preset("tiny")) | {"seed": 0}).encode())
    (tmp_path / "scorer_own.py").write_text(SCORER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "scorer_own", raising=False)  # of another test's folder
    return made


def score(workspace: Workspace, part: str = "00000", **arguments: str) -> tuple[ScoreOwnPart, list[dict]]:
    scorer = ScorerClass("scorer_own:Own", os.getcwd(), arguments)
    work = ScoreOwnPart(workspace, "base", "own", scorer, COLUMNS)
    workspace.begin("imported/own", {"columns": {"rms": "DOUBLE", "light": "FLOAT[]"}}, {})
    work(part)
    return work, query(workspace, "FROM own").to_pylist()


def test_every_kept_clip_has_the_row_that_the_class_gives_it(workspace: Workspace) -> None:
    _, rows = score(workspace)
    clips = load_split(workspace, "train", SplittingConfig())
    whole = {clips.clip_id(number): clips.read(number) for number in range(len(clips))}
    kept = query(workspace, "SELECT clip_id FROM clips WHERE outcome = 'kept' AND part = '00000' ORDER BY tar_offset")
    assert [row["clip_id"] for row in rows] == kept["clip_id"].to_pylist()
    for row in (row for row in rows if row["clip_id"] in whole):
        clip = whole[row["clip_id"]]
        assert row["rms"] == pytest.approx(np.sqrt(np.mean(clip.waveform.astype(float) ** 2)))
        np.testing.assert_allclose(row["light"], clip.frames.mean((0, 2, 3)) / 255, rtol=1e-6)


def test_a_clip_for_which_it_raises_has_a_row_without_values_and_costs_no_other(workspace: Workspace) -> None:
    _, whole = score(workspace)
    odd = whole[2]["clip_id"]
    files.delete(workspace.part_uri("imported/own", "00000"))
    scorer = ScorerClass("scorer_own:Own", os.getcwd(), {"odd": odd})
    found = ScoreOwnPart(workspace, "base", "own", scorer, COLUMNS)("00000")
    assert found.counts == {"clips": len(whole) - 1, "damaged": 0, "raised": 1}
    assert found.raised == {odd: "ValueError: odd one in a batch of 1"}
    whole[2] |= {"rms": None, "light": None}
    assert query(workspace, "FROM own").to_pylist() == whole


def test_where_it_raises_for_every_clip_the_part_is_an_error_and_nothing_is_written(workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"raises for each of .* clips of part 00000; for .*ValueError: odd one"):
        score(workspace, odd="all")
    assert workspace.parts("imported/own") == []


def test_a_batch_of_no_clip_is_refused_and_nothing_is_written(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "scorer_own.py").write_text(SCORER.replace("batch_size = 5", "batch_size = 0"))
    with pytest.raises(ConfigError, match="scorer scorer_own:Own: batch_size is 0"):
        score(workspace)
    assert workspace.parts("imported/own") == []


def test_a_scorer_that_would_change_its_clips_is_stopped(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "scorer_writes.py").write_text(
        SCORER.replace("        return [", "        clips[0].waveform[:] = 0\n        return [")
    )
    work = ScoreOwnPart(workspace, "base", "own", ScorerClass("scorer_writes:Own", str(tmp_path), {}), COLUMNS)
    with pytest.raises(DataError, match="read-only"):
        work("00000")


def test_the_command_refuses_what_it_cannot_do_before_it_writes_anything(workspace: Workspace) -> None:
    for options, said in (
        (("--scorer", "scorer_own:Own"), "expected a --name for the table"),
        (("--scorer", "scorer_own:Own", "--name", "clips"), "--name clips: a view of the workspace"),
        (("--scorer", "scorer_own:Own", "--name", "train"), "--name train: a selection would refuse .* as no_train"),
        (("--scorer", "scorer_own:Gone", "--name", "own"), "scorer_own has no class Gone"),
        (("--scorer", "gone_module:Own", "--name", "own"), f"Searched: .*{os.getcwd()}"),
        (("--scorer", "scorer_own:Own", "--name", "own", "--with", "odd=check"), "OSError: nothing there"),
        (("--scorer", "scorer_own:Own", "--name", "own", "--with", "odd"), "--with odd: expected NAME=VALUE"),
        (("--scorer", "scorer_own:Own", "--name", "own", "--with", "device=cpu"), "--with device=cpu"),
        (("--scorer", "scorer_own:Own", "--name", "own", "--clips", "events"), "Run `earshot shard"),
        (("--name", "own"), "go with --scorer"),
    ):
        code, _, err = earshot("score", "--root", workspace.root, *options)
        assert (code, re.search(said, err) is not None) == (2, True), err
    assert workspace.names("imported") == []


@pytest.mark.usefixtures("ray_session")
def test_a_killed_worker_changes_no_byte_and_a_changed_scorer_is_refused(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_worker = dataclasses.replace(SCORING, num_cpus=ray.cluster_resources()["CPU"])  # each imports torch, for 3 s
    monkeypatch.setattr("jobs.console.own_scoring.SCORING", one_worker)
    whole = {}
    for part in workspace.parts("clips/base"):
        score(workspace, part)
        whole[part] = files.read_bytes(workspace.part_uri("imported/own", part))
    for part in whole:
        files.delete(workspace.part_uri("imported/own", part))
    files.delete(workspace.record_uri("imported/own"))
    kill = tmp_path / "kill"
    kill.touch()
    command = ("score", "--root", workspace.root, "--scorer", "scorer_own:Own", "--name", "own")
    code, out, err = earshot(*command)
    assert (code, kill.exists()) == (0, False), err
    assert f"score: {len(query(workspace, 'FROM own'))} clips -> " in out
    assert {part: files.read_bytes(workspace.part_uri("imported/own", part)) for part in whole} == whole
    assert workspace.parts("usage/scorer-own") == list(whole)
    (tmp_path / "scorer_own.py").write_text(SCORER + "# better")
    code, _, err = earshot(*command)
    assert (code, "holds work of other settings" in err, "--from imported/own" in err) == (2, True, True), err
