"""A sixth system is one file and one entry: every command takes the rest from the registry."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.learners import LEARNERS
from pipeline.reports.querying import query
from pipeline.storage.workspace import Workspace
from tests.helpers.command import earshot
from tests.helpers.loudness_learner import ENTRY, LoudnessEvaluation

ROOT = Path(__file__).parent.parent


def test_a_learner_of_one_file_trains_and_is_evaluated_queried_and_reported(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LEARNERS, "loudness", ENTRY)
    for name in [name for name in sys.modules if name.partition(".")[0] == "jobs"]:
        monkeypatch.delitem(sys.modules, name)  # what a new process would import, with the new entry
    workspace.begin("clips/base", {}, {})
    root = ("--root", workspace.root)

    code, out, _ = earshot("train", "--help")
    assert code == 0
    assert all(text in re.sub(r"[\s│]+", " ", out) for text in ("loudness: classifies", "coincidence: which"))
    code, out, err = earshot(
        "train", "loudness", *root, "--workers", "0", "--set", "loudness.training.num_steps=6", "--set",
        "splitting.validate_fraction=0.2",
    )  # fmt: skip
    assert (code, "train loudness: 6 steps" in out) == (0, True), err
    assert workspace.stage("models/loudness")["settings"]["loudness"]["training"]["num_steps"] == 6
    assert "loudness.training.num_steps=6" in earshot("settings", "loudness", *root)[1]

    evaluation = LoudnessEvaluation(workspace, "loudness")
    for part in evaluation.pending():  # as workers do
        evaluation(part)
    code, out, err = earshot("evaluate", *root)
    assert (code, "evaluate loudness: accuracy" in out) == (0, True), out + err
    assert "nothing to do" in earshot("evaluate", *root, "--model", "loudness")[1]
    (row,) = query(workspace, "SELECT count(*) AS n, count(DISTINCT clip_id) AS clips FROM loudness").to_pylist()
    assert row == {"n": 16, "clips": 16}  # four clips of four test videos
    assert "is_right" in earshot("query", *root, "--columns")[1]
    code, out, err = earshot("report", *root)
    assert code == 0, err
    assert "loud clips against quiet ones, accuracy" in re.sub(r"[\s│]+", " ", out)
    assert "loud clips against quiet ones, accuracy" in (Path(workspace.root) / "report.html").read_text()


def test_learners_and_their_evaluations_are_listed_without_torch_and_sklearn() -> None:
    code = (
        "import sys; from pipeline.learners import LEARNERS; [entry.evaluation() for entry in LEARNERS.values()];"
        "print([name for name in ('torch', 'sklearn', 'ray') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.strip() == "[]"
