"""What must not be kept or believed: numbers that are none, a file with a changed bit, another program's checkpoint."""

import dataclasses
import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import DataError
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.checkpointing import load_weights, read_checkpoint
from tests.helpers.line_learner import CONFIG, FOLDER, LineLearner, curve, run


class RootOfNothing(torch.autograd.Function):
    """Adds 0 to the loss, and to its gradient what is no number: the derivative of a root at 0 times 0."""

    @staticmethod
    def forward(context: Any, loss: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient * math.nan


class Faulty(LineLearner):
    """At its step number `at`, a loss that is a number with a gradient that is none."""

    at = 6

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        parts = super().loss(model, batch)
        if model.training and len(self.steps_seen) == self.at:
            parts["loss"] = RootOfNothing.apply(parts["loss"])
        return parts


def saved(workspace: Workspace, name: str = "checkpoint.pt") -> dict[str, Any]:
    return torch.load(files.local_path(workspace.uri(FOLDER, name)), weights_only=True)


@pytest.mark.parametrize(("at", "last"), [(6, 3), (11, 9)])  # steps 6 and 11 are validated, and the last
def test_a_gradient_that_is_no_number_leaves_the_last_checkpoint_as_it_was(
    workspace: Workspace, at: int, last: int
) -> None:
    learner = Faulty()
    learner.at = at
    with pytest.raises(DataError, match=f"train line, step {at - 1}: the gradient's norm is nan.*another name"):
        run(workspace, learner)
    checkpoint = saved(workspace)
    assert checkpoint["step"] == last
    assert all(value.isfinite().all() for part in ("model", "best") for value in checkpoint[part].values())
    assert not workspace.is_finished(FOLDER)
    assert {row["step"] for row in curve(workspace)} == set(range(3, last + 1, 3))  # a failed run has its curve too
    run(workspace, LineLearner())
    assert workspace.is_finished(FOLDER)


def test_batch_statistics_that_are_no_numbers_are_not_kept(workspace: Workspace) -> None:
    class Poisoned(LineLearner):
        def model(self) -> nn.Module:
            model = super().model()
            model.register_buffer("statistic", torch.zeros(2))
            return model

        def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            if len(self.steps_seen) == 4:
                model.statistic[1] = math.inf
            return super().loss(model, batch)

    with pytest.raises(DataError, match="step 6: weights or batch statistics are no numbers"):
        run(workspace, Poisoned())
    assert saved(workspace)["step"] == 3


class Unsure(LineLearner):
    """Its validation loss is no number the first `times` times."""

    times = 1
    seen = 0

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        parts = super().loss(model, batch)
        if not model.training:
            self.seen += 1
            parts["loss"] = parts["loss"] * (math.nan if self.seen <= self.times else 1.0)
        return parts


def test_a_validation_that_is_no_number_is_worse_than_any(workspace: Workspace) -> None:
    config = dataclasses.replace(CONFIG, num_validation_batches=1)
    run(workspace, Unsure(config, dropout=0.0))
    losses = {r["step"]: r["value"] for r in curve(workspace) if (r["split"], r["metric"]) == ("validate", "loss")}
    assert math.isnan(losses.pop(3))
    assert workspace.stage(FOLDER)["best_step"] == min(losses, key=losses.__getitem__)
    assert saved(workspace)["best_loss"] == min(losses.values())


def test_a_run_of_which_no_validation_is_a_number_gives_no_model(workspace: Workspace) -> None:
    learner = Unsure()
    learner.times = 99
    with pytest.raises(DataError, match="step 11: no validation loss was a number"):
        run(workspace, learner)
    assert not workspace.is_finished(FOLDER)


def test_fp16_that_can_take_no_step_at_all_says_so(workspace: Workspace) -> None:
    class Steep(LineLearner):
        def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            loss = super().loss(model, batch)["loss"]
            return {"loss": RootOfNothing.apply(loss)}

    # the scale begins at 2 ** 16 and halves at each step that is skipped: below 1 after 17; every 4th step looks
    config = dataclasses.replace(CONFIG, precision="fp16", num_steps=40, validate_every=40)
    with pytest.raises(DataError, match="step 20: gradients overflow fp16 even unscaled"):
        run(workspace, Steep(config))


def test_steps_that_fp16_skipped_are_counted_and_have_no_gradient(workspace: Workspace) -> None:
    config = dataclasses.replace(CONFIG, precision="fp16", num_steps=8, validate_every=8)
    run(workspace, LineLearner(config, dropout=0.0), "models/plain")
    run(workspace, Faulty(config, dropout=0.0))
    plain, faulty = (workspace.stage(folder)["figures"] for folder in ("models/plain", FOLDER))
    assert faulty["train_skipped_fraction"] == plain["train_skipped_fraction"] + 1 / 8
    assert 0 < faulty["train_gradient_norm"] < math.inf


def test_no_changed_bit_of_a_model_is_read_as_a_weight(workspace: Workspace) -> None:
    run(workspace, LineLearner())
    uri, whole = workspace.uri(FOLDER, "model.pt"), saved(workspace, "model.pt")["model"]
    data = files.read_bytes(uri)
    place = data.index(whole["1.weight"].numpy().tobytes())
    for offset in range(0, 32, 4):  # eight weights of four bytes
        changed = bytearray(data)
        changed[place + offset] ^= 1
        files.commit_bytes(uri, bytes(changed))
        with pytest.raises(DataError, match=r"models/line/model\.pt: .* in it is damaged"):
            load_weights(LineLearner().model(), workspace, FOLDER)
    files.commit_bytes(uri, data)
    load_weights(LineLearner().model(), workspace, FOLDER)


FOREIGN: dict[str, Any] = {
    "optimiser": [1],
    "model": [1],
    "best": [1],
    "step": "x",
    "best_loss": "x",
    "sums": {"loss": "x"},
    "curve": [{"step": "x"}],
    "clips": {"train": 3},
}


@pytest.mark.parametrize(("name", "value"), [*FOREIGN.items(), ("step", -1), ("step", 10**9), ("best", {"1.bias": 0})])
def test_what_another_program_wrote_as_a_checkpoint_is_damage(workspace: Workspace, name: str, value: object) -> None:
    run(workspace, LineLearner())
    file = io.BytesIO()
    torch.save(saved(workspace) | {name: value}, file)
    files.commit_bytes(workspace.uri(FOLDER, "checkpoint.pt"), file.getvalue())
    with pytest.raises(DataError, match=r"models/line/checkpoint\.pt: of another model, or damaged"):
        run(workspace, LineLearner())


def test_a_checkpoint_is_read_to_the_cpu_by_the_names_asked_for(workspace: Workspace) -> None:
    run(workspace, LineLearner())
    found = read_checkpoint(workspace.uri(FOLDER, "checkpoint.pt"), ("step", "model"))
    assert (found.keys(), found["step"]) == ({"step", "model"}, 11)
    assert {value.device.type for value in found["model"].values()} == {"cpu"}
    with pytest.raises(DataError, match="not a checkpoint of tensors and numbers"):
        read_checkpoint(workspace.uri(FOLDER, "checkpoint.pt"), ("step", "nothing"))
