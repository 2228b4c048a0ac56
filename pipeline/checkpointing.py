"""What a training run keeps on disk: a checkpoint to go on from, the model, the curve. Each in one atomic step.

A checkpoint is one file of tensors and plain values, read with `weights_only`: it runs nothing. The curve goes to
Parquet at the end, and to a TensorBoard event file whenever a checkpoint is written.
"""

import io
import math
from pickle import UnpicklingError
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pipeline import storage
from pipeline.artifacts import TRAINING_FOLDER, Workspace
from pipeline.errors import DataError
from pipeline.eventfiles import FILE_NAME, event_file
from schemas.fields import from_rows
from schemas.reports import TRAINING


class Workers(Protocol):
    """What this file needs of a `training.Context`."""

    world_size: int

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all workers."""

    def mean(self, values: dict[str, float], weight: float = 1.0) -> dict[str, float]:
        """Each value's mean over the workers."""


def read_checkpoint(uri: str, device: torch.device, names: tuple[str, ...]) -> dict[str, Any]:
    """The named values of a file that torch.save wrote, without running anything in it.

    Raises:
        DataError: the file is missing, damaged, or holds something else.
    """
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


class Progress:
    """What a checkpoint holds: weights, memory, the step, figures since the last report, the curve, the best weights.

    The step is the data position: every batch is a function of the seed and the step.
    """

    def __init__(
        self,
        workspace: Workspace,
        folder: str,
        model: nn.Module,
        memory: nn.Module,
        optimiser: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self._workspace, self._folder, self._run = workspace, folder, folder.rpartition("/")[2]
        self._model = model
        self._parts: dict[str, Any] = {"model": model, "memory": memory, "optimiser": optimiser, "scaler": scaler}
        self.step = 0
        self.elapsed_s = 0.0
        self.sums: dict[str, float] = {}
        self.since = 0
        self._best_loss = math.inf
        self._best: dict[str, Tensor] = {}
        self._curve: list[dict[str, Any]] = []

    def restore(self, device: torch.device) -> None:
        """Go back to the checkpoint on disk, if there is one.

        Raises:
            DataError: it is damaged, or of another model.
        """
        uri = self._workspace.uri(self._folder, "checkpoint.pt")
        if not storage.exists(uri):
            return
        saved = read_checkpoint(uri, device, (*self._parts, *self._facts()))
        try:
            for name, part in self._parts.items():
                part.load_state_dict(saved[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise DataError(f"{uri}: of another model ({error}). Delete it to train anew.") from error
        self.step, self.elapsed_s, self._curve = saved["step"], saved["elapsed_s"], saved["curve"]
        self.sums, self.since = saved["sums"], saved["since"]
        self._best_loss = saved["best_loss"]
        self._best = {name: value.cpu() for name, value in saved["best"].items()}

    def add(self, parts: dict[str, Tensor]) -> None:
        """Count one step and its losses."""
        for name, value in parts.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        self.since += 1
        self.step += 1

    def means(self) -> dict[str, float]:
        """Of the figures since the last call."""
        means = {name: value / self.since for name, value in self.sums.items()}
        self.sums, self.since = {}, 0
        return means

    def agree(self, context: Workers, weight: float) -> None:
        """Make equal what each worker has gathered alone, figures and batch statistics: rank 0 writes for all."""
        self.sums = context.mean(self.sums, weight)
        if context.world_size > 1:
            for buffer in self._model.buffers():  # the memory's are equal
                if buffer.is_floating_point():
                    buffer.copy_(context.gather(buffer.unsqueeze(0)).mean(dim=0))

    def note(self, split: str, metrics: dict[str, float]) -> None:
        """Add figures to the curve."""
        facts = {"run": self._run, "step": self.step, "split": split, "elapsed_s": self.elapsed_s}
        self._curve += [facts | {"metric": name, "value": value} for name, value in metrics.items()]

    def keep_if_best(self, loss: float | None) -> None:
        """Copy the weights if this validation loss is the lowest so far, or if there is none to judge by."""
        if loss is None or not self._best or loss < self._best_loss:
            self._best_loss = math.inf if loss is None else loss
            self._best = {name: value.detach().cpu().clone() for name, value in self._model.state_dict().items()}

    def take_best(self) -> None:
        """Put the best weights back into the model."""
        self._model.load_state_dict(self._best)

    def commit(self) -> None:
        """Write the checkpoint, and the curve so far for TensorBoard."""
        saved = {name: part.state_dict() for name, part in self._parts.items()}
        storage.commit_bytes(self._workspace.uri(self._folder, "checkpoint.pt"), _dump(saved | self._facts()))
        self._draw()

    def finish(self) -> None:
        """Write the model, of the best weights, and the whole curve, and declare the folder finished."""
        storage.commit_bytes(self._workspace.uri(self._folder, "model.pt"), _dump({"model": self._best}))
        self._draw()
        self._workspace.commit(TRAINING_FOLDER, self._run, from_rows(self._curve, TRAINING, self._run), TRAINING)
        last = [row for row in self._curve if row["step"] == self.step]
        figures = {f"{row['split']}_{row['metric']}": row["value"] for row in last}
        self._workspace.finish(self._folder, step=self.step, figures=figures)

    def _facts(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "sums": self.sums,
            "since": self.since,
            "curve": self._curve,
            "best_loss": self._best_loss,
            "best": self._best,
        }

    def _draw(self) -> None:
        started = self._workspace.stage(self._folder)["started"]
        uri = self._workspace.uri(self._folder, "tensorboard", FILE_NAME)
        storage.commit_bytes(uri, event_file(self._curve, started))
