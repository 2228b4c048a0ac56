"""A checkpoint is written while training goes on: of the step that it was taken at, one at a time, and never lost."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from tests.helpers.line_learner import FOLDER, LineLearner, run

PATIENCE_S = 60.0


class Signalling(LineLearner):
    """Says when it has taken 5 steps, two more than its first checkpoint is of."""

    def __init__(self) -> None:
        super().__init__()
        self.has_gone_on = threading.Event()

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if model.training and len(self.steps_seen) == 5:
            self.has_gone_on.set()
        return super().loss(model, batch)


def test_steps_go_on_while_a_slow_store_takes_a_checkpoint_which_is_of_its_own_step(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(workspace, LineLearner(), "models/whole")
    whole = torch.load(files.local_path(workspace.uri("models/whole", "checkpoint.pt")), weights_only=True)
    learner, building = Signalling(), files.building
    steps: list[int] = []

    @contextlib.contextmanager
    def slow(uri: str) -> Iterator[Path]:
        if uri.endswith("checkpoint.pt"):
            assert learner.has_gone_on.wait(PATIENCE_S)
        with building(uri) as path:
            yield path
            if uri.endswith("checkpoint.pt"):
                steps.append(torch.load(path, weights_only=True)["step"])

    monkeypatch.setattr(files, "building", slow)
    run(workspace, learner)
    assert steps == [3, 6, 9, 11]
    found = torch.load(files.local_path(workspace.uri(FOLDER, "checkpoint.pt")), weights_only=True)
    assert all(torch.equal(value, found["model"][name]) for name, value in whole["model"].items())


@pytest.mark.parametrize("failing", [1, 4])  # the first of four, and the last
def test_a_checkpoint_that_cannot_be_written_ends_the_training(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    building, written = files.building, []

    @contextlib.contextmanager
    def full(uri: str) -> Iterator[Path]:
        with building(uri) as path:
            yield path
            if uri.endswith("checkpoint.pt"):
                written.append(uri)
                if len(written) == failing:
                    raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "building", full)
    with pytest.raises(OSError, match="No space left"):
        run(workspace, LineLearner())
    assert len(written) == failing
    assert not workspace.is_finished(FOLDER)
