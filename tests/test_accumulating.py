"""Gradients added up over parts of a batch are the batch's."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import ConfigError
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.separation import SeparationLearner
from pipeline.learners.separation_config import SeparationLearnerConfig
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.checkpointing import load_weights
from pipeline.training.protocols import TrainingConfig
from tests.helpers.line_learner import CONFIG, FOLDER, Interrupted, LineLearner, curve, run


class MeanLearner(LineLearner):
    """Its figures are means over examples, and it notes how many rows each call has."""

    def __init__(self, training: TrainingConfig, dropout: float = 0.0, fail_at: int | None = None) -> None:
        super().__init__(training, dropout, fail_at)
        self.num_rows: list[int] = []

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if model.training:
            self.num_rows.append(len(batch["x"]))
            assert len(batch["y"]) == len(batch["x"])
        return {"loss": super().loss(model, batch)["loss"]}


def accumulating(count: int, batch_size: int = 4) -> TrainingConfig:
    return dataclasses.replace(CONFIG, accumulate=count, batch_size=batch_size)


def weights(workspace: Workspace, folder: str) -> dict[str, Tensor]:
    model = LineLearner().model()
    load_weights(model, workspace, folder)
    return model.state_dict()


@pytest.mark.parametrize(("batch_size", "count", "parts"), [(4, 2, [2, 2]), (5, 2, [2, 3]), (5, 5, [1] * 5)])
def test_parts_train_what_the_whole_batch_trains(
    workspace: Workspace, batch_size: int, count: int, parts: list[int]
) -> None:
    run(workspace, MeanLearner(accumulating(1, batch_size)), "models/whole")
    learner = MeanLearner(accumulating(count, batch_size))
    run(workspace, learner, "models/parts")
    assert learner.num_rows == parts * CONFIG.num_steps
    torch.testing.assert_close(weights(workspace, "models/parts"), weights(workspace, "models/whole"))
    for one, two in zip(curve(workspace, "whole"), curve(workspace, "parts"), strict=True):
        assert (one["step"], one["split"], one["metric"]) == (two["step"], two["split"], two["metric"])
        assert two["value"] == pytest.approx(one["value"], rel=1e-4)


def test_more_parts_than_rows_are_as_many_as_rows(workspace: Workspace) -> None:
    learner = MeanLearner(accumulating(60, batch_size=64))  # of fewer videos than 60
    run(workspace, learner)
    assert set(learner.num_rows) == {1}


@pytest.mark.parametrize("fail_at", [3, 12])
def test_resumed_between_parts_is_bit_for_bit_undisturbed(workspace: Workspace, fail_at: int) -> None:
    config = accumulating(2)
    run(workspace, MeanLearner(config, dropout=0.3), "models/whole")
    with pytest.raises(Interrupted):
        run(workspace, MeanLearner(config, dropout=0.3, fail_at=fail_at))  # in the second part of a step
    run(workspace, MeanLearner(config, dropout=0.3))
    whole, resumed = (files.read_bytes(workspace.uri(folder, "model.pt")) for folder in ("models/whole", FOLDER))
    assert whole == resumed


def test_a_loss_that_compares_examples_is_refused(workspace: Workspace) -> None:
    learner = MeanLearner(accumulating(2))
    learner.needs_whole_batch = True
    with pytest.raises(
        ConfigError, match=r"train line: training.accumulate = 2, expected 1, because its loss compares"
    ):
        run(workspace, learner)


def test_contrastive_losses_need_the_whole_batch_and_mixit_does_not() -> None:
    assert CoincidenceLearner(CoincidenceLearnerConfig()).needs_whole_batch
    assert not SeparationLearner(SeparationLearnerConfig()).needs_whole_batch
    assert SeparationLearner(SeparationLearnerConfig(contrast_weight=1.0)).needs_whole_batch
    assert not SeparationLearner(SeparationLearnerConfig(contrast_weight=1.0, phase="audio")).needs_whole_batch


def test_more_parts_than_examples_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"accumulate = 5: expected at most batch_size, 4"):
        accumulating(5)
