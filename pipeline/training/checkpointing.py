"""What a training run keeps on disk: a checkpoint to go on from, the model, the curve. Each in one atomic step.

A checkpoint is one file of tensors and plain values, read with `weights_only`: it runs nothing. The curve goes to
Parquet and a TensorBoard event file whenever a checkpoint is written, so a run that failed has one too.
"""

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pipeline.errors import ConfigError, DataError
from pipeline.hashing import hash_bytes
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.protocols import Context
from pipeline.training.tensorboard import FILE_NAME, event_file
from schemas.fields import SchemaError, from_rows
from schemas.reports import TRAINING, TrainingRow

T = TypeVar("T")
MAGIC = b"PK\x03\x04"
# Of a `TrainState`.
SAVED_FIELDS = ("clips", "step", "elapsed_s", "sums", "since", "curve", "best_loss", "best_step", "best")
REMEDY = "Remove its folder to train anew."
# What reading a damaged or foreign file raises, here or in torch.
UNREADABLE = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, UnpicklingError,
    zipfile.BadZipFile, SchemaError,
)  # fmt: skip


def read_checkpoint(uri: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The named values of a file that torch.save wrote, on the CPU, without running anything in it.

    Raises:
        DataError: the file is missing, holds something else, or is not, to the bit, what was written.
    """
    with files.local_copy(uri) as path:
        return read_values(path, uri, lambda loaded: {name: loaded[name] for name in names}, REMEDY)


def read_values(path: Path, uri: str, take: Callable[[Any], T], remedy: str, forms: tuple[bytes, ...] = (MAGIC,)) -> T:
    """What `take` makes of the content of a file that torch.save wrote, on the CPU, without running anything in it.

    Args:
        path: the file, or a copy of it.
        uri: its address, for messages.
        take: raises one of UNREADABLE where the content is not what is expected.
        remedy: a sentence, for messages.
        forms: first bytes of the forms that are read; torch alone would try others.
    Raises:
        DataError: the file holds something else, or, in the form of MAGIC, is not to the bit what was written.
    """
    with path.open("rb") as file:
        try:
            start = file.read(max(map(len, forms)))
            if not start.startswith(forms):
                raise ValueError("not a file that torch.save wrote")
            if start.startswith(MAGIC):  # torch itself compares no checksums
                damaged = zipfile.ZipFile(file).testzip()
                if damaged is not None:
                    raise ValueError(f"{damaged} in it is damaged")
            file.seek(0)
            return take(torch.load(file, map_location="cpu", weights_only=True))
        except torch.OutOfMemoryError:
            raise
        except UNREADABLE as error:
            why = str(error).partition("\n")[0]
            raise DataError(f"{uri}: not a checkpoint of tensors and numbers ({why}). {remedy}") from error


def load_weights(model: nn.Module, workspace: Workspace, folder: str) -> None:
    """Put the best weights of a finished training run into a model.

    Raises:
        ConfigError: that run has not finished.
        DataError: the file is damaged, or its weights are another model's.
    """
    if not workspace.is_finished(folder):
        raise workspace.error(folder, "not trained yet.")
    uri = workspace.uri(folder, "model.pt")
    try:
        model.load_state_dict(read_checkpoint(uri, ("model",))["model"])
    except (RuntimeError, TypeError) as error:
        raise DataError(f"{uri}: does not fit the model that the folder's config describes ({error}).") from error


class TrainState:
    """What a checkpoint holds: weights, memory, the step, figures since the last report, the curve, the best weights.

    The step is the data position: every batch is a function of the clips, the seed and the step.

    Args:
        workspace, folder: where the model's files lie.
        parts: what has a state of its own, by name: `model`, and the memory, the optimiser, the scaler.
        clips: the result of `clipsets.describe` for each set, by split.
    """

    def __init__(
        self, workspace: Workspace, folder: str, parts: Mapping[str, Any], clips: dict[str, dict[str, Any]]
    ) -> None:
        self._workspace, self._folder, self._name = workspace, folder, folder.rpartition("/")[2]
        self._model: nn.Module = parts["model"]
        self._parts = parts
        self._unread: list[tuple[list[str], Tensor]] = []
        # the attributes that SAVED_FIELDS names
        self.clips = clips
        self.step = 0
        self.elapsed_s = 0.0
        self.sums: dict[str, float] = {}
        self.since = 0
        self.curve: list[TrainingRow] = []
        self.best_loss = math.inf
        self.best_step = 0
        self.best: dict[str, Tensor] = {}

    def restore(self, num_steps: int) -> None:
        """Go back to the checkpoint on disk, if there is one.

        Raises:
            ConfigError: it has learned from other clips.
            DataError: it is damaged, of another model, or of a step beyond `num_steps`.
        """
        uri = self._workspace.uri(self._folder, "checkpoint.pt")
        if not files.exists(uri):
            return
        saved = read_checkpoint(uri, (*self._parts, *SAVED_FIELDS))
        try:
            for name in SAVED_FIELDS:
                kind = type(getattr(self, name))
                if not isinstance(saved[name], kind):
                    raise TypeError(f"{name} is no {kind.__name__}")
            if not 0 <= saved["step"] <= num_steps:
                raise ValueError(f"step {saved['step']}, expected 0 to {num_steps}")
            if saved["clips"] != self.clips:
                raise ConfigError(
                    f"{uri}: has learned from {_format(saved['clips'])}; there are {_format(self.clips)} now, and a "
                    "run goes on with the clips that it began with. Bring these back, or train another model."
                )
            from_rows(saved["curve"], TRAINING, "curve")
            if saved["best"]:
                self._model.load_state_dict(saved["best"])
            for name, part in self._parts.items():
                part.load_state_dict(saved[name])
            saved["sums"] = {str(name): float(value) for name, value in saved["sums"].items()}
        except torch.OutOfMemoryError:  # the file may be whole
            raise
        except UNREADABLE as error:
            raise DataError(f"{uri}: of another model, or damaged ({error}). {REMEDY}") from error
        for name in SAVED_FIELDS:
            setattr(self, name, saved[name])

    def add(self, figures: dict[str, Tensor]) -> None:
        """Count one step and its figures, which stay on their device until they are read."""
        self._unread.append((list(figures), torch.stack([value.detach().float() for value in figures.values()])))
        self.step += 1

    def read(self) -> list[dict[str, float]]:
        """Add the figures of the steps since the last call to the sums, and return them, step by step.

        One transfer for many steps: a GPU that must answer at each step is idle until the next one begins.
        """
        rows = torch.stack([row for _, row in self._unread]).tolist() if self._unread else []
        read = [dict(zip(names, row, strict=True)) for (names, _), row in zip(self._unread, rows, strict=True)]
        self._unread = []
        for figures in read:
            for name, value in figures.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
        self.since += len(read)
        return read

    def means(self) -> dict[str, float]:
        """Mean of each figure over the steps read since the last `restart`."""
        return {name: value / self.since for name, value in self.sums.items()}

    def restart(self) -> None:
        """Set the sums of figures to zero."""
        self.sums, self.since = {}, 0

    def agree(self, context: Context, weight: float) -> None:
        """Average over the workers what each has gathered alone: figures and batch statistics. Rank 0 writes them."""
        self.sums = context.mean(self.sums, weight)
        if context.world_size > 1:
            for buffer in self._model.buffers():  # the memory's are equal
                if buffer.is_floating_point():
                    buffer.copy_(context.gather(buffer.unsqueeze(0)).mean(dim=0))

    def note(self, split: str, metrics: dict[str, float], of_best: bool = False) -> None:
        """Add figures to the curve: of this step, or of the step that the best weights are from."""
        step = self.best_step if of_best else self.step
        elapsed_s = self.elapsed_s
        self.curve += [
            {"step": step, "split": split, "elapsed_s": elapsed_s, "metric": name, "value": value}
            for name, value in metrics.items()
        ]

    def keep_if_best(self, loss: float | None) -> None:
        """Copy the weights if no validation loss so far is as low; a loss that is None or no number counts as infinite.

        As long as all losses are infinite, the last weights are the best.
        """
        comparable = loss if loss is not None and math.isfinite(loss) else math.inf
        if comparable < self.best_loss or self.best_loss == math.inf:
            self.best_loss, self.best_step = comparable, self.step
            self.keep()

    def keep(self) -> None:
        """Copy the weights, as those of the best step."""
        self.best = {name: value.detach().cpu().clone() for name, value in self._model.state_dict().items()}

    def take_best(self) -> None:
        """Put the best weights back into the model."""
        self._model.load_state_dict(self.best)

    def checkpoint(self) -> Callable[[], None]:
        """The checkpoint of this moment and the curve so far, in memory; called, it writes them."""
        saved = {name: part.state_dict() for name, part in self._parts.items()}
        saved |= {name: getattr(self, name) for name in SAVED_FIELDS}
        content, curve = io.BytesIO(), [*self.curve]
        torch.save(saved, content)

        def write() -> None:
            uri = self._workspace.uri(self._folder, "checkpoint.pt")
            with files.building(uri) as path, files.open_patiently(path) as file:
                file.write(content.getbuffer())
            self._draw(curve)

        return write

    def finish(self, speed: dict[str, float]) -> None:
        """Write the model, of the best weights, and the whole curve, and declare the folder finished.

        The record gets the hash of the model's bytes as `content`, what it has learned from as `clips`, the best step
        with its `figures`, and the figures of the run's speed.
        """
        with files.building(self._workspace.uri(self._folder, "model.pt")) as path:
            with files.open_patiently(path) as file:
                torch.save({"model": self.best}, file)  # into an open file: a path's name would be part of the bytes
            content = hash_bytes(path.read_bytes())
        self._draw(self.curve)
        best = [row for row in self.curve if row["step"] == self.best_step]
        self._workspace.finish(
            self._folder,
            content=content,
            clips=self.clips,
            step=self.step,
            best_step=self.best_step,
            figures={f"{row['split']}_{row['metric']}": row["value"] for row in best},
            **speed,
        )

    def _draw(self, curve: list[TrainingRow]) -> None:
        started = self._workspace.stage(self._folder)["started"]
        uri = self._workspace.uri(self._folder, "tensorboard", FILE_NAME)
        files.commit_bytes(uri, event_file(curve, started))
        self._workspace.commit(f"training/{self._name}", self._name, from_rows(curve, TRAINING, self._name), TRAINING)


def _format(clips: dict[str, dict[str, Any]]) -> str:
    """`12 clips of 3 videos (train, 0a1b2c3d4e5f)` for each split."""
    sets = ((split, facts["num_clips"], facts["num_videos"], facts["fingerprint"]) for split, facts in clips.items())
    return ", ".join(f"{num} clips of {videos} videos ({split}, {name})" for split, num, videos, name in sets)
