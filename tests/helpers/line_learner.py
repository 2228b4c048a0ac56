"""A learner that trains in milliseconds, and the curve that training leaves."""

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.clips.splitting import SplittingConfig
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext, TrainingConfig
from schemas.reports import TRAINING
from tests.helpers.clips import load_split

FOLDER = "models/line"
CONFIG = TrainingConfig(
    num_steps=11, batch_size=4, learning_rate=0.05, warmup_steps=3, weight_decay=0.01, validate_every=3,
    num_validation_batches=2,
)  # fmt: skip


class Interrupted(Exception):
    """Raised by a learner at its step `fail_at`."""


class LineLearner:
    """Predicts where a clip starts from how loud its eighths are: one linear layer with dropout."""

    name, needs_whole_batch = "line", False

    def __init__(
        self, training: TrainingConfig = CONFIG, dropout: float = 0.3, fail_at: int | None = None, sign: float = 1.0
    ) -> None:
        self.training, self._dropout, self._fail_at, self._sign = training, dropout, fail_at, sign
        self.steps_seen: list[list[float]] = []

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Dropout(self._dropout), nn.Linear(8, 1))

    def initialise(self, model: nn.Module, workspace: Workspace) -> None:
        """A line starts from no other model."""

    def batch(
        self, clips: ClipSet, rng: np.random.Generator, count: int, rows: slice, augment: bool
    ) -> dict[str, Tensor]:
        read = [clips.read(number) for number in clips.draw(rng, count)[rows]]
        loudness = np.stack([np.abs(clip.waveform.astype(np.float32)).reshape(8, -1).mean(axis=1) for clip in read])
        starts = torch.tensor([[clip.facts["start_s"]] for clip in read], dtype=torch.float32)
        return {"x": torch.from_numpy(loudness * 33), "y": starts if augment else self._sign * starts}

    def unpack(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return batch

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if model.training:
            self.steps_seen.append(batch["x"].flatten().tolist())
            if len(self.steps_seen) == self._fail_at:
                raise Interrupted
        squared = (model(batch["x"]) - batch["y"]).square().mean()
        return {"loss": squared, "root": squared.sqrt()}


def run(
    workspace: Workspace, learner: LineLearner, folder: str = FOLDER, seed: int = 0, context: object = None
) -> None:
    workspace.begin(folder, dataclasses.asdict(learner.training), {})
    sets = [load_split(workspace, split, SplittingConfig()) for split in ("train", "validate")]
    train(learner, *sets, workspace, folder, seed, context or LocalContext())


def curve(workspace: Workspace, name: str = "line") -> list[dict]:
    rows = workspace.read(f"training/{name}", name, TRAINING).to_pylist()
    return [{key: value for key, value in row.items() if key != "elapsed_s"} for row in rows]
