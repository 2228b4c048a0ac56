"""Ray Train's processes: gradients and figures are shared, and a group whose worker is killed starts again."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from cluster.training import fit
from cluster.worker_context import RayContext
from jobs import train
from jobs.cli import main
from jobs.console.session import open_session
from pipeline.errors import ConfigError
from pipeline.storage.layout import CLIPS_FOLDER, SPANS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.videos import VIDEOS
from tests.helpers.features import SIZES, write_features, write_spans, write_world


@pytest.mark.usefixtures("ray_session")
def test_two_workers_share_gradients_and_outlive_kills_of_one_and_of_progress_and_end_where_no_restart_helps(
    tmp_path: Path,
) -> None:
    def loop(context: RayContext, job: dict[str, Any]) -> None:
        model, frozen = torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(3, 1).requires_grad_(False)
        model.weight.grad = torch.full((1, 2), float(context.rank))
        context.share_gradients(torch.nn.Sequential(frozen, model))
        assert frozen.weight.grad is None  # zeros would let AdamW's decay shrink it
        if context.rank == 0:
            ray.kill(context._progress, no_restart=False)  # at the start and once more after a report: nothing is lost
        mean = context.mean({"loss": 10.0 * context.rank, "part": 1.0}, weight=1.0 + 2 * context.rank)
        rows = torch.full((1 + context.rank, 1), float(context.rank), requires_grad=True)
        gathered = context.gather(rows)
        (gathered.sum() * (1 + context.rank)).backward()
        context.report(1, mean)
        mark = tmp_path / "killed"
        if context.rank == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        context.report(2, mean)
        result = {"world_size": context.world_size, "gradient": model.weight.grad.tolist(), "mean": mean} | job
        result |= {"gathered": gathered.flatten().tolist(), "back": rows.grad.flatten().tolist()[0]}
        context._is_elastic = True
        while not context.must_leave():
            if context.rank == 0:
                context._progress.ask_to_leave.remote()  # again and again, as the driver does: it may be starting
            context._asked_s = 0.0
            time.sleep(0.05)
        result["leaving"] = context.leaving
        (tmp_path / f"rank{context.rank}").write_text(repr(result))
        context.report(3, mean)
        if context.rank == 1:
            raise ValueError("two videos are too few")
        context.mean(mean)  # would wait for the other forever

    reports: list[int] = []
    with pytest.raises(ValueError, match="two videos are too few"):
        fit(loop, {"name": "x"}, "sharing", 2, lambda step, metrics: reports.append(step), fatal=(OSError, ValueError))
    # the mean of gradients 0 and 1, of losses 0 and 10 with weights 1 and 3, the sum of what came back, 1 and 2
    expected = {"world_size": 2, "gradient": [[0.5, 0.5]], "mean": {"loss": 7.5, "part": 1.0}, "name": "x"}
    expected |= {"gathered": [0.0, 1.0, 1.0], "back": 3.0, "leaving": []}
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == [repr(expected)] * 2
    assert (tmp_path / "killed").exists()
    assert reports[-1] == 3


@pytest.mark.usefixtures("ray_session")
def test_more_workers_than_there_is_room_for_are_refused_before_any_is_waited_for() -> None:
    with pytest.raises(ConnectionError, match=r"--workers 4096: each needs a CPU, and there is room for \d+\. Found: "):
        fit(lambda context, job: None, {}, "crowded", 4096, lambda step, metrics: None, fatal=(ValueError,))


def test_fewer_workers_at_most_than_at_least_are_refused(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="--min-workers 3, --workers 2: expected no more than there are"):
        train.train_model(open_session(workspace.root, "tiny"), "coincidence", workers=2, min_workers=3)


def test_a_learner_reads_the_clips_that_it_names(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.begin(CLIPS_FOLDER, {}, {})
    monkeypatch.setattr("pipeline.learners.coincidence.CoincidenceLearner.clip_spec", "events")
    with pytest.raises(ConfigError, match="clips/events"):
        train.train_model(open_session(workspace.root, "tiny"), "coincidence", workers=0)
    monkeypatch.setattr("pipeline.learners.separation.SeparationLearner.clip_spec", "events")
    with pytest.raises(ConfigError, match="reads a selection of clips/events; selections are of clips/base alone"):
        train.train_model(open_session(workspace.root, "tiny"), "separation", workers=0)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_training_that_one_video_or_none_would_validate_is_warned_of(
    left: int, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise RuntimeError("would train")

    workspace.begin(CLIPS_FOLDER, {}, {})
    kept = 0
    for part in workspace.parts(VIDEOS_FOLDER):
        rows = workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()
        for row in rows:
            kept += row["split"] == "validate"
            row["split"] = "train" if row["split"] == "validate" and kept > left else row["split"]
        workspace.commit(VIDEOS_FOLDER, part, from_rows(rows, VIDEOS, part), VIDEOS)
    monkeypatch.setattr(train, "fit", stop)
    with pytest.raises(RuntimeError, match="would train"):
        train.train_model(open_session(workspace.root, "tiny"), "coincidence", workers=0)
    why = ("no video is", "only 1 video is", "")[left]
    says = (
        f"WARNING: nothing is validated, and the weights of the last step are kept, because {why} in the split validate"
    )
    err = capfd.readouterr().err
    assert (says in err) == (left < 2)
    assert ("splitting.validate_fraction, 0.1 now" in err) == (left < 2)


def test_training_on_features_names_the_command_that_makes_what_is_missing(
    workspace: Workspace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused() -> str:
        assert main(["train", "events", "--workers", "0", "--features", "f", "--root", workspace.root]) == 2
        return capfd.readouterr().err

    assert (
        f"tables/spans: nothing there yet. Run `earshot label --spans FILE --root {workspace.root}` first." in refused()
    )
    write_spans(workspace, "00000", [("nobody", 0.0, 1.0, "bell")])
    workspace.begin(SPANS_FOLDER, {}, {})
    assert "features/events/f: nothing there yet. Run `earshot features --clips events --name f --root" in refused()
    write_features(workspace, "00000", [{"clip_id": "v_0", "video_id": "v", "split": "train"}])
    workspace.begin("features/events/f", {}, {})
    said = refused()
    assert "tables/spans: no span is of a training video that has features in" in said
    assert "Run `earshot label --spans FILE --root" in said
    assert not workspace.has_stage("models/events")


def test_a_model_of_features_keeps_what_its_clips_decide_and_goes_on_with_it(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    write_world(workspace)
    options = ["train", "events", "--workers", "0", "--features", "f", "--root", workspace.root]
    steps = ["--set", "events.training.num_steps=2", "--set", "events.training.validate_every=2"]
    assert main([*options, *steps]) == 0
    record = workspace.stage("models/events")
    assert record["settings"]["events"] | SIZES == record["settings"]["events"]
    assert record["settings"]["events"]["categories"] == ["bell", "horn"]
    assert record["settings"]["features"] == "f"
    assert record["inputs"].keys() == {"spans", "features/events/f"}
    assert record["clips"]["train"]["num_clips"] == 5
    capfd.readouterr()
    assert main(options) == 0
    said = capfd.readouterr()
    assert "nothing to do, it is trained" in said.out
    assert said.err == ""  # sizes and categories are no settings of the model's own
    open_session(workspace.root, "tiny", settings=steps[1::2]).check("models/events")
    with pytest.raises(ConfigError, match=r"events\.training\.num_steps: 2 there, 400 asked for"):
        open_session(workspace.root, "tiny").check("models/events")
