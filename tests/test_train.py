"""Ray Train's processes: gradients and figures are shared, and a group whose worker is killed starts again."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.faults import PartError
from cluster.training import RayContext, fit

pytestmark = pytest.mark.usefixtures("ray_session")


def test_two_workers_share_gradients_and_figures_and_outlive_a_kill(tmp_path: Path) -> None:
    def loop(context: RayContext, job: dict[str, Any]) -> None:
        model = torch.nn.Linear(2, 1, bias=False)
        model.weight.grad = torch.full((1, 2), float(context.rank))
        context.share_gradients(model)
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

    reports: list[int] = []
    fit(loop, {"name": "x"}, "sharing", 2, lambda step, metrics: reports.append(step), final=ValueError)
    # the mean of gradients 0 and 1, of losses 0 and 10 with weights 1 and 3, the sum of what came back, 1 and 2
    expected = {"world_size": 2, "gradient": [[0.5, 0.5]], "mean": {"loss": 7.5, "part": 1.0}, "name": "x"}
    expected |= {"gathered": [0.0, 1.0, 1.0], "back": 3.0}
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == [repr(expected)] * 2
    assert (tmp_path / "killed").exists()


def test_what_no_restart_can_mend_is_raised_as_it_is() -> None:
    def loop(context: RayContext, job: dict[str, Any]) -> None:
        raise ValueError("two videos are too few")

    with pytest.raises(ValueError, match="two videos are too few"):
        fit(loop, {}, "refused", 0, lambda step, metrics: None, final=ValueError)


def test_an_error_that_comes_back_ends_the_run_with_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def loop(context: RayContext, job: dict[str, Any]) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("cluster.training.MAX_TRAINING_FAILURES", 0)
    with pytest.raises(PartError, match=r"part failing: .*the disk is full"):
        fit(loop, {}, "failing", 1, lambda step, metrics: None, final=ValueError)
