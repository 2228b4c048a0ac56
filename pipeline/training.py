"""The one loop that runs any learner, on one process or many, with or without Ray Train.

A learner (see `pipeline/learners/`) brings the model, the batches and the loss; a context says where the loop runs: its
rank, its device, how gradients are shared, whom to tell. Everything needed to go on lies in one file,
`models/<name>/checkpoint.pt`, committed in one step: a killed run goes on from its last checkpoint with the batches it
would have seen. The weights that validate best become `models/<name>/model.pt`.
"""

import dataclasses
import io
import math
import time
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pipeline import storage
from pipeline.artifacts import TRAINING_FOLDER, Workspace
from pipeline.batching import ClipSet, prefetch, step_rng
from pipeline.errors import ConfigError, DataError
from schemas.fields import from_rows
from schemas.reports import TRAINING

TRAIN_STREAM, VALIDATE_STREAM = 0, 1  # keeps the two splits' random streams apart
Batch = dict[str, Tensor]


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
    num_validation_batches: int = 8
    """Batches per validation, the same ones each time."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "validate_every", "num_validation_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name} = {getattr(self, name)}: expected 1 or more.")
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
        """The given rows of the global batch of `count` examples that `rng` determines."""

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """`loss` (a scalar to minimise) and its parts, each a scalar worth a curve."""


class Context(Protocol):
    """Where the loop runs."""

    rank: int
    world_size: int
    device: torch.device

    def share_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by its mean over the workers."""

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Each value's mean over the workers."""

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

    def mean(self, values: dict[str, float]) -> dict[str, float]:
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
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    state = _Progress(workspace, folder)
    state.restore(model, optimiser, context.device)
    rows = slice(context.rank, None, context.world_size)
    began = time.monotonic() - state.elapsed_s
    sums: dict[str, float] = {}
    since = 0

    def make(step: int) -> Batch:
        return learner.batch(train_set, step_rng(seed, TRAIN_STREAM, step), config.batch_size, rows, augment=True)

    for step, batch in enumerate(prefetch(make, range(state.step, config.num_steps)), start=state.step):
        torch.manual_seed(hash((seed, step, context.rank)) & 0x7FFFFFFF)  # dropout, the same after a resume
        for group in optimiser.param_groups:
            group["lr"] = config.rate(step)
        model.train()
        parts = learner.loss(model, _to(batch, context.device))
        if not torch.isfinite(parts["loss"]):
            raise DataError(
                f"train {learner.name}, step {step}: the loss is {parts['loss'].item()}. Lower learning_rate."
            )
        optimiser.zero_grad(set_to_none=True)
        parts["loss"].backward()
        context.share_gradients(model)
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimiser.step()
        since += 1
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        state.step = step + 1
        if state.step % config.validate_every == 0 or state.step == config.num_steps:
            means = context.mean({name: value / since for name, value in sums.items()})
            sums, since = {}, 0
            held_out = context.mean(validate(learner, model, validation_set, seed, context))
            state.elapsed_s = time.monotonic() - began
            state.note(folder, "train", means)
            state.note(folder, "validate", held_out)
            if context.rank == 0:
                state.keep_if_best(model, held_out.get("loss"))
                state.commit(model, optimiser)
            context.report(state.step, {f"train_{k}": v for k, v in means.items()} | held_out)
        elif state.step % max(1, config.validate_every // 10) == 0:
            context.report(state.step, {f"train_{k}": v / since for k, v in sums.items()})
    if context.rank == 0:
        state.finish()


@torch.no_grad()
def validate(learner: Learner, model: nn.Module, clips: ClipSet, seed: int, context: Context) -> dict[str, float]:
    """Means of the learner's losses over the same few batches each time; empty if there are too few videos."""
    if clips.num_videos < 2:
        return {}
    model.eval()
    is_shared = min(clips.num_videos, learner.training.batch_size) >= context.world_size
    rows = slice(context.rank, None, context.world_size) if is_shared else slice(None)
    sums: dict[str, float] = {}
    count = learner.training.num_validation_batches
    for index in range(count):
        rng = step_rng(seed, VALIDATE_STREAM, index)
        batch = learner.batch(clips, rng, learner.training.batch_size, rows, augment=False)
        for name, value in learner.loss(model, _to(batch, context.device)).items():
            sums[name] = sums.get(name, 0.0) + float(value) / count
    return sums


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
        model.load_state_dict(_load(uri, torch.device("cpu"), ("model",))["model"])
    except RuntimeError as error:
        raise DataError(f"{uri}: does not fit the model that the folder's config describes ({error}).") from error


def _to(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def _load(uri: str, device: torch.device, names: tuple[str, ...]) -> dict[str, Any]:
    data = storage.read_bytes(uri)
    try:
        if not data.startswith(b"PK"):  # torch would try older forms
            raise ValueError("not a file that torch.save wrote")
        loaded = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
        return {name: loaded[name] for name in names}
    except (RuntimeError, EOFError, ValueError, LookupError, TypeError, UnpicklingError) as error:
        why = str(error).partition("\n")[0]
        raise DataError(f"{uri}: not a checkpoint of tensors and numbers ({why}). Delete it to train anew.") from error


def _dump(value: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


class _Progress:
    """What a checkpoint holds beside weights: the step, the curve so far, the best validation loss and its weights."""

    def __init__(self, workspace: Workspace, folder: str) -> None:
        self._workspace, self._folder = workspace, folder
        self.step = 0
        self.elapsed_s = 0.0
        self._best_loss = math.inf
        self._best: dict[str, Tensor] = {}
        self._curve: list[dict[str, Any]] = []

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer, device: torch.device) -> None:
        uri = self._workspace.uri(self._folder, "checkpoint.pt")
        if not storage.exists(uri):
            return
        saved = _load(uri, device, ("model", "optimiser", "step", "elapsed_s", "curve", "best_loss", "best"))
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        self.step, self.elapsed_s, self._curve = saved["step"], saved["elapsed_s"], saved["curve"]
        self._best_loss, self._best = saved["best_loss"], saved["best"]

    def note(self, folder: str, split: str, metrics: dict[str, float]) -> None:
        run = folder.rpartition("/")[2]
        facts = {"run": run, "step": self.step, "split": split, "elapsed_s": self.elapsed_s}
        self._curve += [facts | {"metric": name, "value": value} for name, value in metrics.items()]

    def keep_if_best(self, model: nn.Module, loss: float | None) -> None:
        if loss is None or not self._best or loss < self._best_loss:
            self._best_loss = math.inf if loss is None else loss
            self._best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}

    def commit(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        saved = {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "curve": self._curve,
            "best_loss": self._best_loss,
            "best": self._best,
        }
        storage.commit_bytes(self._workspace.uri(self._folder, "checkpoint.pt"), _dump(saved))

    def finish(self) -> None:
        storage.commit_bytes(self._workspace.uri(self._folder, "model.pt"), _dump({"model": self._best}))
        run = self._folder.rpartition("/")[2]
        self._workspace.commit(TRAINING_FOLDER, run, from_rows(self._curve, TRAINING, run), TRAINING)
        last = [row for row in self._curve if row["step"] == self.step]
        figures = {f"{row['split']}_{row['metric']}": row["value"] for row in last}
        self._workspace.finish(self._folder, step=self.step, figures=figures)
