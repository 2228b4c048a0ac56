"""Ray Train's processes: gradients and figures are shared, and a group whose worker is killed starts again."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.train
import torch
from ray.train.torch import TorchTrainer

from cluster.faults import MAX_TRAINING_FAILURES, PartError
from cluster.training import RayContext, cpus_per_worker, fit
from jobs import train
from jobs.console.session import open_session
from pipeline.errors import ConfigError
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.videos import VIDEOS


@pytest.mark.usefixtures("ray_session")
def test_two_workers_share_gradients_and_figures_outlive_a_kill_and_end_where_no_restart_helps(tmp_path: Path) -> None:
    def loop(context: RayContext, job: dict[str, Any]) -> None:
        model, frozen = torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(3, 1).requires_grad_(False)
        model.weight.grad = torch.full((1, 2), float(context.rank))
        context.share_gradients(torch.nn.Sequential(frozen, model))
        assert frozen.weight.grad is None  # zeros would let AdamW's decay shrink it
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
    expected |= {"gathered": [0.0, 1.0, 1.0], "back": 3.0}
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == [repr(expected)] * 2
    assert (tmp_path / "killed").exists()
    assert reports[-1] == 3


@pytest.mark.usefixtures("ray_session")
def test_failures_without_a_further_step_end_the_run_with_their_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [5, 6, 7, *[8] * MAX_TRAINING_FAILURES]

    def die(trainer: TorchTrainer, progress: Any, on_report: Any) -> ray.train.TrainingFailedError | None:
        """As if a worker died after each of the steps in turn, and once more without a further one."""
        if not steps:
            return ray.train.WorkerGroupError("", {0: OSError("the disk is full")})
        ray.get(progress.put.remote(steps.pop(0), {"loss": 1.0}))
        return ray.train.WorkerGroupError("", {0: ConnectionError("the node is gone")})

    monkeypatch.setattr("cluster.training._wait", die)
    with pytest.raises(PartError, match=r"part failing: .*the disk is full"):
        fit(lambda context, job: None, {}, "failing", 1, lambda step, metrics: None, fatal=(ValueError,))
    assert not steps


@pytest.mark.usefixtures("ray_session")
def test_more_workers_than_there_is_room_for_are_refused_before_any_is_waited_for() -> None:
    with pytest.raises(ConnectionError, match=r"--workers 4096: each needs a CPU, and there is room for \d+\. Found: "):
        fit(lambda context, job: None, {}, "crowded", 4096, lambda step, metrics: None, fatal=(ValueError,))


HEAD = {"CPU": 0.0, "memory": 2.0**33}


@pytest.mark.parametrize(
    ("nodes", "count", "cpus"),
    [
        ([{"CPU": 2.0}], 1, 2),
        ([{"CPU": 2.0}], 2, 1),
        ([{"CPU": 3.0}, {"CPU": 3.0}], 3, 1),  # of two CPUs each, only two workers would fit
        ([{"CPU": 3.0}, {"CPU": 3.0}], 2, 3),
        ([HEAD, {"CPU": 16.0}, {"CPU": 8.0}], 3, 8),
        ([HEAD, {"CPU": 16.0, "GPU": 4.0}], 4, 4),
        ([{"CPU": 64.0}, {"CPU": 16.0, "GPU": 2.0}], 2, 8),  # where there is a GPU, all are to have one
    ],
)
def test_workers_get_as_many_cpus_as_all_of_them_find_room_for(
    nodes: list[dict[str, float]], count: int, cpus: int
) -> None:
    assert cpus_per_worker(nodes, count, is_growing=False) == cpus


@pytest.mark.parametrize(
    ("nodes", "count", "room"),
    [
        ([{"CPU": 2.0}], 3, "a CPU, and there is room for 2. Found: 2 CPUs, 0 GPUs."),
        ([{"CPU": 64.0}, {"CPU": 16.0, "GPU": 2.0}], 3, "a CPU and a GPU, and there is room for 2. Found: 64 CPUs, "),
        ([{"CPU": 1.0, "GPU": 8.0}], 8, "a CPU and a GPU, and there is room for 1."),
    ],
)
def test_a_crowd_of_workers_is_refused_with_how_many_fit_unless_nodes_join_on_demand(
    nodes: list[dict[str, float]], count: int, room: str
) -> None:
    with pytest.raises(ConnectionError, match=re.escape(f"--workers {count}: each needs {room}")):
        cpus_per_worker(nodes, count, is_growing=False)
    assert cpus_per_worker(nodes, count, is_growing=True) == 1


def test_a_learner_reads_the_clips_that_it_names(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.begin(CLIPS_FOLDER, {}, {})
    monkeypatch.setattr("pipeline.learners.coincidence.CoincidenceLearner.clip_spec", "events")
    with pytest.raises(ConfigError, match="clips/events"):
        train.train_model(open_session(workspace.root, "tiny"), "coincidence", workers=0)
    monkeypatch.setattr("pipeline.learners.separation.SeparationLearner.clip_spec", "events")
    with pytest.raises(ConfigError, match="reads a selection of clips/events; selections are of clips/base alone"):
        train.train_model(open_session(workspace.root, "tiny"), "separation", workers=0)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_best_weights_that_would_be_chosen_on_one_video_or_none_are_warned_of(
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
    monkeypatch.setattr(train, "_fit", stop)
    with pytest.raises(RuntimeError, match="would train"):
        train.train_model(open_session(workspace.root, "tiny"), "coincidence", workers=0)
    says = f"WARNING: the best weights are chosen on {left} videos"
    err = capfd.readouterr().err
    assert (says in err) == (left < 2)
    assert ("splitting.validate_fraction, 0.1 now" in err) == (left < 2)
