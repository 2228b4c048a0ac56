"""A checkpoint brings everything back, on disk and in an object store, and whatever the file is, it runs nothing."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.errors import DataError
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.checkpointing import TrainState, load_weights
from pipeline.training.tensorboard import FILE_NAME
from schemas.reports import TRAINING

FOLDER = "models/m"
CLIPS = {"train": {"num_clips": 12, "num_videos": 3, "fingerprint": "0a1b"}}
NUM_STEPS = 9


def progress(workspace: Workspace, size: int = 2) -> tuple[TrainState, nn.Linear, nn.Module]:
    model, memory = nn.Linear(size, 1), nn.BatchNorm1d(1, affine=False)
    optimiser, scaler = torch.optim.AdamW(model.parameters()), torch.amp.GradScaler("cpu", enabled=False)
    parts = {"model": model, "memory": memory, "optimiser": optimiser, "scaler": scaler}
    return TrainState(workspace, FOLDER, parts, CLIPS), model, memory


def begun(root: str) -> Workspace:
    workspace = Workspace(root)
    workspace.begin(FOLDER, {}, {})
    return workspace


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_everything_comes_back(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path) if place == "disk" else request.getfixturevalue("s3_bucket") + "/checkpointing"
    workspace = begun(root)
    state, model, memory = progress(workspace)
    state.restore(NUM_STEPS)  # there is nothing yet
    state.keep_if_best(0.5)
    best = model.weight.detach().clone()
    memory(torch.tensor([[4.0], [6.0]]))
    nn.init.ones_(model.weight)
    state.keep_if_best(0.7)
    state.note("train", {"loss": 0.25})
    state.add({"loss": torch.tensor(3.0)})
    state.read()
    state.checkpoint()()
    again, restored, remembered = progress(workspace)
    again.restore(NUM_STEPS)
    assert torch.equal(restored.weight, torch.ones(1, 2))
    assert torch.equal(remembered.running_mean, memory.running_mean)
    assert (again.step, again.sums, again.since) == (1, {"loss": 3.0}, 1)
    again.take_best()
    assert torch.equal(restored.weight, best)
    assert files.exists(workspace.uri(FOLDER, "tensorboard", FILE_NAME))
    again.finish({"clips_per_s": 1.0})
    (row,) = workspace.read("training/m", "m", TRAINING).to_pylist()
    assert (row["metric"], row["value"]) == ("loss", 0.25)
    assert workspace.is_finished(FOLDER)


def test_means_are_over_the_steps_since_the_last_restart(tmp_path: Path) -> None:
    state, _, _ = progress(begun(str(tmp_path)))
    for value in (1.0, 2.0, 6.0):
        state.add({"loss": torch.tensor(value)})
    assert state.read() == [{"loss": 1.0}, {"loss": 2.0}, {"loss": 6.0}]
    assert state.means() == {"loss": 3.0}
    state.restart()
    state.add({"loss": torch.tensor(5.0)})
    assert state.read() == [{"loss": 5.0}]
    assert state.means() == {"loss": 5.0}
    assert state.step == 4


def test_a_checkpoint_of_another_model_is_refused_by_name(tmp_path: Path) -> None:
    workspace = begun(str(tmp_path))
    progress(workspace)[0].checkpoint()()
    with pytest.raises(DataError, match=r"models/m/checkpoint\.pt: of another model"):
        progress(workspace, size=3)[0].restore(NUM_STEPS)


class Canary:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


DAMAGES: dict[str, Callable[[bytes, Path], bytes]] = {
    "truncated": lambda data, _: data[: len(data) // 2],
    "empty": lambda _, __: b"",
    "text": lambda _, __: b"hello, this is no checkpoint",
    "pickle": lambda _, canary: pickle.dumps({"model": Canary(canary)}),
    "zipped pickle": lambda _, canary: saved({"model": Canary(canary)}),
    "other content": lambda _, __: saved([1, 2, 3]),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["checkpoint.pt", "model.pt"])
def test_a_damaged_or_malicious_file_is_refused_and_runs_nothing(damage: str, name: str, tmp_path: Path) -> None:
    workspace = begun(str(tmp_path / "root"))
    state, model, _ = progress(workspace)
    state.keep_if_best(None)
    state.checkpoint()()
    state.finish({"clips_per_s": 1.0})
    uri = workspace.uri(FOLDER, name)
    read = {
        "checkpoint.pt": lambda: state.restore(NUM_STEPS),
        "model.pt": lambda: load_weights(model, workspace, FOLDER),
    }
    read[name]()
    files.commit_bytes(uri, DAMAGES[damage](files.read_bytes(uri), tmp_path / "canary"))
    with pytest.raises(DataError) as caught:
        read[name]()
    assert uri in str(caught.value)
    assert not (tmp_path / "canary").exists()


def test_the_canary_sings_when_anything_is_unpickled(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(saved(Canary(tmp_path / "canary")))
    torch.load(tmp_path / "file", weights_only=False)
    assert (tmp_path / "canary").exists()
