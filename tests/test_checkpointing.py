"""A checkpoint brings everything back, on disk and in an object store; figures count what was seen since the last."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline import storage
from pipeline.artifacts import TRAINING_FOLDER, Workspace
from pipeline.checkpointing import Progress
from pipeline.errors import DataError
from pipeline.eventfiles import FILE_NAME
from schemas.reports import TRAINING

FOLDER = "models/m"
CPU = torch.device("cpu")


def progress(workspace: Workspace, size: int = 2) -> tuple[Progress, nn.Linear, nn.Module]:
    model, memory = nn.Linear(size, 1), nn.BatchNorm1d(1, affine=False)
    optimiser, scaler = torch.optim.AdamW(model.parameters()), torch.amp.GradScaler("cpu", enabled=False)
    return Progress(workspace, FOLDER, model, memory, optimiser, scaler), model, memory


def begun(root: str) -> Workspace:
    workspace = Workspace(root)
    workspace.begin(FOLDER, {}, {})
    return workspace


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_everything_comes_back(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path) if place == "disk" else request.getfixturevalue("s3_bucket") + "/checkpointing"
    workspace = begun(root)
    state, model, memory = progress(workspace)
    state.restore(CPU)  # there is nothing yet
    state.keep_if_best(0.5)
    best = model.weight.detach().clone()
    memory(torch.tensor([[4.0], [6.0]]))
    nn.init.ones_(model.weight)
    state.keep_if_best(0.7)
    state.note("train", {"loss": 0.25})
    state.add({"loss": torch.tensor(3.0)})
    state.commit()
    again, restored, remembered = progress(workspace)
    again.restore(CPU)
    assert torch.equal(restored.weight, torch.ones(1, 2))
    assert torch.equal(remembered.running_mean, memory.running_mean)
    assert (again.step, again.sums, again.since) == (1, {"loss": 3.0}, 1)
    again.take_best()
    assert torch.equal(restored.weight, best)
    assert storage.exists(workspace.uri(FOLDER, "tensorboard", FILE_NAME))
    again.finish()
    (row,) = workspace.read(TRAINING_FOLDER, "m", TRAINING).to_pylist()
    assert (row["run"], row["metric"], row["value"]) == ("m", "loss", 0.25)
    assert workspace.is_finished(FOLDER)


def test_means_are_over_the_steps_since_the_last_call(tmp_path: Path) -> None:
    state, _, _ = progress(begun(str(tmp_path)))
    for value in (1.0, 2.0, 6.0):
        state.add({"loss": torch.tensor(value)})
    assert state.means() == {"loss": 3.0}
    state.add({"loss": torch.tensor(5.0)})
    assert state.means() == {"loss": 5.0}
    assert state.step == 4


def test_a_checkpoint_of_another_model_is_refused_by_name(tmp_path: Path) -> None:
    workspace = begun(str(tmp_path))
    progress(workspace)[0].commit()
    with pytest.raises(DataError, match=r"models/m/checkpoint\.pt: of another model"):
        progress(workspace, size=3)[0].restore(CPU)
