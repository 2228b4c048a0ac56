"""A sixth system: one file, and one entry of the registry (ENTRY). It finds loud clips by their level."""

import dataclasses
from typing import Annotated, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.clips.splitting import SplittingConfig
from pipeline.config import config_dataclass
from pipeline.evaluation.evaluating import VALIDATION, Evaluation, Headline, Row
from pipeline.learners import Entry
from pipeline.learners.loading import load_model
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.training.batching import ClipSet
from pipeline.training.clipsets import load_splits
from pipeline.training.protocols import Batch, Learner, TrainingConfig
from schemas.fields import table_schema
from schemas.reports import EVALUATED, SummaryRow


class LoudnessRow(TypedDict):
    """one test clip, classified by one model"""

    clip_id: Annotated[str, "the clip"]
    is_right: Annotated[bool, "whether the model finds it loud where it is, and else not"]


LOUDNESS = table_schema("loudness", version=1, row=LoudnessRow, partitions=EVALUATED)


@config_dataclass
class LoudnessConfig:
    """Training, and what loud is."""

    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(num_steps=4, batch_size=4, validate_every=2, num_validation_batches=1)
    )
    """Length and pace."""
    threshold: float = 0.05
    """Level (RMS) from which a clip counts as loud."""


class LoudnessLearner(Learner[nn.Linear]):
    """Reads all clips, builds on nothing."""

    name = "loudness"
    config_class = LoudnessConfig

    def __init__(self, config: LoudnessConfig) -> None:
        self.config, self.training = config, config.training

    def model(self) -> nn.Linear:
        return nn.Linear(1, 1)

    def batch(self, clips: ClipSet, rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        read = clips.read_many(clips.draw(rng, count)[rows])
        level = torch.tensor([[np.sqrt(np.square(clip.waveform).mean())] for clip in read], dtype=torch.float32)
        return {"level": level, "is_loud": (level >= self.config.threshold).float()}

    def loss(self, model: nn.Linear, batch: Batch) -> dict[str, Tensor]:
        return {"loss": F.binary_cross_entropy_with_logits(model(batch["level"]), batch["is_loud"])}


class LoudnessEvaluation(Evaluation):
    """Each test clip is a row."""

    tables = (LOUDNESS,)
    source = CLIPS_FOLDER
    headlines = (
        Headline(VALIDATION, "validate_loss", "cross-entropy of loud and quiet, validation", 0.6931, "one half each"),
        Headline("test", "accuracy", "loud clips against quiet ones, accuracy", 0.5, "chance"),
    )

    def evaluate(self, part: str) -> dict[str, list[Row]]:
        learner, model = load_model(self.workspace, self.model, "loudness")
        (clips,) = load_splits(self.workspace, ("test",), SplittingConfig(), [part])
        read = clips.read_many(range(len(clips)))
        level = torch.tensor([float(np.sqrt(np.square(clip.waveform).mean())) for clip in read])
        is_right = (model(level[:, None]).flatten() > 0) == (level >= learner.config.threshold)
        rows = [{"clip_id": clips.clip_id(i), "is_right": right} for i, right in enumerate(is_right.tolist())]
        return {"loudness": rows}

    def summarise(self) -> list[SummaryRow]:
        rows = self.workspace.read_all(self.table(LOUDNESS), LOUDNESS).to_pylist()
        accuracy = sum(row["is_right"] for row in rows) / len(rows) if rows else None
        return [self.summary_row("test", "accuracy", accuracy, "1", len(rows))]


ENTRY = Entry(
    "classifies loud and quiet clips",
    "tests.helpers.loudness_learner:LoudnessLearner",
    "tests.helpers.loudness_learner:LoudnessEvaluation",
)
