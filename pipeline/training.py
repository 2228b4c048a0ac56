"""The one loop that runs any learner, on one process or many, with or without Ray Train.

A learner (see `pipeline/learners/`) brings the model, the batches and the loss; a context says where the loop runs: its
rank, its device, how gradients are shared, whom to tell. Everything needed to go on lies in one file,
`models/<name>/checkpoint.pt`, committed in one step: a killed run goes on from its last checkpoint with the batches it
would have seen. The weights that validate best become `models/<name>/model.pt`, after the learner's own last word on
them, if it has one (`Concluding`).
"""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.artifacts import Workspace
from pipeline.batching import ClipSet, prefetch, step_rng
from pipeline.checkpointing import Progress, read_checkpoint
from pipeline.errors import ConfigError, DataError

TRAIN_STREAM, VALIDATE_STREAM = 0, 1  # keeps the two splits' random streams apart
Batch = dict[str, Tensor]
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How long and how fast a learner trains."""

    num_steps: int
    """Optimiser steps. The learning rate falls to zero at the last one, so more steps also mean a slower fall."""
    batch_size: int
    """Examples per step, over all workers together."""
    learning_rate: float = 1e-4
    """Adam's peak rate."""
    warmup_steps: int = 100
    """Steps over which the rate rises from zero."""
    weight_decay: float = 0.0
    """AdamW's decay. A little (0.01) helps where there are few videos."""
    clip_norm: float = 5.0
    """Gradients longer than this are shortened to it."""
    validate_every: int = 500
    """Steps between validations; each also writes a checkpoint."""
    checkpoint_every: int | None = None
    """Steps between further checkpoints, where a validation is too far away to repeat after a kill."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of convolutions and products in the network; losses and weights stay fp32. bf16 doubles the speed of a GPU that
    has it, fp16 that of an older one, with its gradients scaled."""
    num_validation_batches: int = 8
    """Batches per validation, the same ones each time."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "validate_every", "num_validation_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name} = {getattr(self, name)}: expected 1 or more.")
        if self.checkpoint_every is not None and self.checkpoint_every < 1:
            raise ValueError(f"training.checkpoint_every = {self.checkpoint_every}: expected 1 or more, or none.")
        if self.precision not in ("fp32", *HALVES):
            raise ValueError(f"training.precision = {self.precision}: expected fp32, {' or '.join(HALVES)}.")
        for name in ("learning_rate", "clip_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"training.{name} = {getattr(self, name)}: expected more than 0.")
        for name in ("warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"training.{name} = {getattr(self, name)}: expected 0 or more.")

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then half a cosine down to zero."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        return self.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / self.num_steps))


class Learner(Protocol):
    """What a seed system adds to the loop."""

    name: str
    training: TrainingConfig

    def model(self) -> nn.Module:
        """A fresh model, its weights drawn from torch's global generator."""

    def initialise(self, model: nn.Module, workspace: Workspace) -> None:
        """Load weights that another stage trained, where the learner builds on one."""

    def batch(self, clips: ClipSet, rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        """The given rows of the global batch of `count` examples that `rng` determines.

        The first tensor has one row per example; the loss is a mean over examples, this worker's or all workers'.
        """

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """`loss` (a scalar to minimise) and its parts, each a scalar worth a curve."""


@runtime_checkable
class Beginning(Protocol):
    """A learner whose loss needs the other workers, or a memory that outlives a step."""

    def begin(self, clips: ClipSet, seed: int, context: "Context") -> nn.Module:
        """Take what `loss` will need; return the memory, a module of buffers that the checkpoint keeps."""

    def after_step(self) -> None:
        """Write into the memory; not before the step's gradients, which are computed from it, are done."""


@runtime_checkable
class Concluding(Protocol):
    """A learner with a phase after the loop, such as a classifier on frozen towers."""

    def conclude(
        self, model: nn.Module, train_set: ClipSet, validation_set: ClipSet, seed: int, context: "Context"
    ) -> dict[str, float]:
        """Finish the best weights in place, on every worker alike, and return figures for the curve.

        A function of its arguments alone: after a kill it runs again from the last checkpoint.
        """


class Context(Protocol):
    """Where the loop runs."""

    rank: int
    world_size: int
    device: torch.device

    def share_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by its mean over the workers."""

    def gather(self, rows: Tensor) -> Tensor:
        """[sum of B, ...] the rows [B, ...] of all workers, by rank; gradients flow back, summed over the workers.

        Where every worker then computes the same mean over all rows, the mean of the weights' gradients over the
        workers is that of one process with the whole batch.
        """

    def mean(self, values: dict[str, float], weight: float = 1.0) -> dict[str, float]:
        """Each value's mean over the workers, weighted by how many examples each of them has seen."""

    def report(self, step: int, metrics: dict[str, float]) -> None:
        """Tell whoever watches; called equally often on every worker."""


class LocalContext:
    """One process, no Ray: for tests, notebooks and machines without a cluster."""

    rank, world_size = 0, 1

    def __init__(self, on_report: Callable[[int, dict[str, float]], None] | None = None) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._on_report = on_report

    def share_gradients(self, model: nn.Module) -> None:
        """There is one worker."""

    def gather(self, rows: Tensor) -> Tensor:
        """The rows as they are: there is one worker."""
        return rows

    def mean(self, values: dict[str, float], weight: float = 1.0) -> dict[str, float]:
        """The values as they are: there is one worker."""
        return values

    def report(self, step: int, metrics: dict[str, float]) -> None:
        """Pass the metrics on."""
        if self._on_report:
            self._on_report(step, metrics)


def train(
    learner: Learner,
    train_set: ClipSet,
    validation_set: ClipSet,
    workspace: Workspace,
    folder: str,
    seed: int,
    context: Context,
) -> None:
    """Train a learner to its last step, from its last checkpoint if there is one.

    Args:
        learner: model, batches and loss.
        train_set: clips to learn from.
        validation_set: clips of other videos, to choose the best weights by; may be empty (the last weights are kept).
        workspace: where the checkpoint and the model go.
        folder: the model's folder, such as models/coincidence.
        seed: of the first weights and of every batch.
        context: where the loop runs.
    Raises:
        ConfigError: too few videos to train on, or more workers than examples in a step.
        DataError: a damaged checkpoint, or a loss that is not a number.
    """
    config = learner.training
    if train_set.num_videos < 2:
        raise ConfigError(
            f"train {learner.name}: {train_set.num_videos} training videos, expected 2 or more. Add videos, or lower "
            "splitting.test_fraction and what the filter refuses."
        )
    num_examples = min(config.batch_size, train_set.num_videos)
    if context.world_size > num_examples:
        raise ConfigError(
            f"train {learner.name}: {context.world_size} workers, but {num_examples} examples in a step. "
            "Lower --workers."
        )
    torch.manual_seed(seed)
    model = learner.model()
    learner.initialise(model, workspace)
    model.to(context.device)
    memory = learner.begin(train_set, seed, context) if isinstance(learner, Beginning) else nn.Module()
    memory.to(context.device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    scaler = torch.amp.GradScaler(context.device.type, enabled=config.precision == "fp16")
    state = Progress(workspace, folder, model, memory, optimiser, scaler)
    state.restore(context.device)
    rows = slice(context.rank, None, context.world_size)
    num_rows = len(range(num_examples)[rows])
    # where shares differ, the mean over workers must be the mean over examples
    weight = num_rows * context.world_size / num_examples
    began = time.monotonic() - state.elapsed_s

    def make(step: int) -> Batch:
        return learner.batch(train_set, step_rng(seed, TRAIN_STREAM, step), config.batch_size, rows, augment=True)

    for step, batch in enumerate(prefetch(make, range(state.step, config.num_steps)), start=state.step):
        torch.manual_seed(hash((seed, step, context.rank)) & 0x7FFFFFFF)  # dropout, the same after a resume
        for group in optimiser.param_groups:
            group["lr"] = config.rate(step)
        model.train()
        with half_precision(config.precision, context.device):
            parts = learner.loss(model, _to(batch, context.device))
        if not torch.isfinite(parts["loss"]):
            raise DataError(
                f"train {learner.name}, step {step}: the loss is {parts['loss'].item()}. Lower learning_rate."
            )
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(weight * parts["loss"]).backward()
        context.share_gradients(model)
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        scaler.step(optimiser)  # not at all where fp16 overflowed
        scaler.update()
        if isinstance(learner, Beginning):
            learner.after_step()
        state.add(parts)
        is_due = state.step % config.validate_every == 0 or state.step == config.num_steps
        is_kept = is_due or (config.checkpoint_every is not None and state.step % config.checkpoint_every == 0)
        if is_kept:
            state.agree(context, num_rows)
        if is_due:
            means = state.means()
            held_out = validate(learner, model, validation_set, seed, context)
            state.elapsed_s = time.monotonic() - began
            state.note("train", means)
            state.note("validate", held_out)
            if context.rank == 0:
                state.keep_if_best(held_out.get("loss"))
            context.report(state.step, {f"train_{k}": v for k, v in means.items()} | held_out)
        elif state.step % max(1, config.validate_every // 10) == 0:
            context.report(state.step, {f"train_{k}": v / state.since for k, v in state.sums.items()})
        if is_kept:
            state.elapsed_s = time.monotonic() - began
            if context.rank == 0:
                state.commit()
    if isinstance(learner, Concluding):
        context.mean({"ready": 1.0})  # until rank 0, which alone has the best weights, has committed them
        if context.rank != 0:
            state.restore(context.device)
        state.take_best()
        state.note("validate", learner.conclude(model, train_set, validation_set, seed, context))
        state.keep_if_best(None)
    if context.rank == 0:
        state.finish()


def half_precision(precision: str, device: torch.device) -> torch.autocast:
    """The context in which a network computes; nothing changes for fp32."""
    return torch.autocast(device.type, dtype=HALVES.get(precision, torch.bfloat16), enabled=precision in HALVES)


@torch.no_grad()
def validate(learner: Learner, model: nn.Module, clips: ClipSet, seed: int, context: Context) -> dict[str, float]:
    """Means of the learner's losses over the same few batches each time; empty if there are too few videos.

    Over all examples, whatever share of them a worker has; the same on every worker.
    """
    if clips.num_videos < 2:
        return {}
    model.eval()
    num_examples = min(clips.num_videos, learner.training.batch_size)
    is_shared = num_examples >= context.world_size
    rows = slice(context.rank, None, context.world_size) if is_shared else slice(None)
    sums: dict[str, float] = {}
    count = learner.training.num_validation_batches
    for index in range(count):
        rng = step_rng(seed, VALIDATE_STREAM, index)
        batch = learner.batch(clips, rng, learner.training.batch_size, rows, augment=False)
        with half_precision(learner.training.precision, context.device):
            parts = learner.loss(model, _to(batch, context.device))
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value) / count
    return context.mean(sums, len(range(num_examples)[rows]))


def load_weights(model: nn.Module, workspace: Workspace, folder: str) -> None:
    """Put the best weights of a finished training run into a model.

    Raises:
        ConfigError: that run has not finished.
        DataError: the file is damaged, or its weights are another model's.
    """
    if not workspace.is_finished(folder):
        name = folder.rpartition("/")[2]
        raise ConfigError(f"{workspace.uri(folder)}: not trained yet. Run `earshot train ... --name {name}` first.")
    uri = workspace.uri(folder, "model.pt")
    try:
        model.load_state_dict(read_checkpoint(uri, torch.device("cpu"), ("model",))["model"])
    except RuntimeError as error:
        raise DataError(f"{uri}: does not fit the model that the folder's config describes ({error}).") from error


def _to(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}
