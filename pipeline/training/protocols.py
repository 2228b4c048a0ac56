"""The interfaces between the training loop, a learner and the machine that runs both. No file, no loop, no Ray.

A learner brings the model, the batches and the loss; a context says where the loop runs: its rank, its device, how
gradients are shared, where reports go; a `TrainingConfig` says how long and how fast.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn

from pipeline.clip_specs import ClipSpec
from pipeline.config import Count, Positive, config_dataclass
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet

Batch = dict[str, Tensor]
Model = TypeVar("Model", bound=nn.Module)
AnyModel = TypeVar("AnyModel", bound=nn.Module, contravariant=True)
HALF_PRECISION_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@config_dataclass
class TrainingConfig:
    """How long and how fast a learner trains."""

    num_steps: Count
    """Optimiser steps. The learning rate falls to zero at the last one, so more steps also mean a slower fall."""
    batch_size: Count
    """Examples per step, over all workers together."""
    accumulate: Count = 1
    """Parts of a worker's examples that go through the network one after the other, their gradients summed: the memory
    of one part, and the step of the whole batch but for batch norm, which sees a part at a time. 1 is fastest."""
    learning_rate: Positive = 1e-4
    """Adam's peak rate."""
    warmup_steps: NonNegativeInt = 100
    """Steps over which the rate rises from zero."""
    weight_decay: NonNegativeFloat = 0.0
    """AdamW's decay. A little (0.01) helps where there are few videos."""
    clip_norm: Positive = 5.0
    """Gradients longer than this are shortened to it."""
    validate_every: Count = 500
    """Steps between validations; each also writes a checkpoint."""
    checkpoint_every: Count | None = None
    """Steps between further checkpoints, where a validation is too far away to repeat after a kill."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of convolutions and products in the network; losses and weights stay fp32. bf16 doubles the speed of a GPU that
    has it, fp16 that of an older one, with its gradients scaled."""
    num_validation_batches: Count = 8
    """Batches per validation, the same ones each time."""

    def __post_init__(self) -> None:
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate = {self.accumulate}: expected at most batch_size, {self.batch_size}, one example a part."
            )

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then half a cosine down to zero."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        return self.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / self.num_steps))


def half_precision(precision: str, device: torch.device) -> torch.autocast:
    """The context in which a network computes; nothing changes for fp32."""
    dtype = HALF_PRECISION_DTYPES.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


class Learner(Protocol[Model]):
    """What a seed system adds to the loop; a subclass, with one entry in `pipeline.learners.LEARNERS`."""

    name: str
    """As in the registry, and the name of its config in `PipelineConfig`."""
    config_class: ClassVar[type[Any]]
    """Of the one argument of `__init__`."""
    presets: ClassVar[Mapping[str, Any]] = {}
    """Its config in each preset; the default one where there is none."""
    clip_spec: str = "base"
    """Field of `ClipSpecs`: the lengths, rates and sizes of the clips that it reads."""
    reads: Literal["clips", "selection", "features", "masks", "words", "vectors", "pairs"] = "clips"
    """All kept clips of a split; or those that a selection keeps, and labelled ones; or features of clips; or those
    with a mask of one of their frames; or words that are spoken in them, within `word_window`; or imported vectors of
    clips, of the columns `vector_columns`; or embeddings of pairs of clips that people judged."""
    vector_columns: tuple[str, ...] = ()
    """Of one that reads vectors: table.column of each kind."""
    word_window: tuple[float, int] = (0.0, 0)
    """Of one that reads words: frames per second of the clips, and frames of the window around a word's middle."""
    needs_labels: bool = False
    """It draws features of those videos alone that people have judged."""
    decided_by_clips: ClassVar[tuple[str, ...]] = ()
    """Fields of its config that `complete_config` sets."""
    needs_whole_batch: bool = False
    """Its loss compares the examples of a batch with each other, so gradients of parts do not add up to the batch's."""
    training: TrainingConfig
    config: Any
    """Of class `config_class`."""

    @staticmethod
    def is_for(config: Any) -> bool:
        """Whether it trains by this config, among the learners of its entry in the registry."""
        return True

    def builds_on(self) -> dict[str, str]:
        """Models that must be trained before: the learner of each, by name."""
        return {}

    def weight_files(self) -> dict[str, str]:
        """Files outside the workspace that `initialise` reads weights from: their addresses, by what they are for."""
        return {}

    def check_settings(self, spec: ClipSpec, configs: Mapping[str, Any]) -> None:
        """Raise a ConfigError if this config does not fit the clip spec, or a learner's in `configs`, by name."""
        return

    def complete_config(self, train_set: ClipSet[Any]) -> Any:
        """The config with the fields of `decided_by_clips` as the training clips have them.

        Called before the training, where there are such fields; the model's record keeps it.
        """
        return self.config

    def model(self) -> Model:
        """A fresh model, its weights drawn from torch's global generator; what asks for no gradient stays as it is."""

    def initialise(self, model: Model, workspace: Workspace) -> None:
        """Load weights of the models that it builds on, and of `weight_files`."""
        return

    def batch(self, clips: ClipSet, rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        """The given rows of the global batch of `count` examples that `rng` determines.

        The first tensor has one row per example; the loss is a mean over examples, this worker's or all workers'. Bytes
        are few, because they are sent to the model's device: `unpack` makes tensors of them there.
        """

    def unpack(self, batch: Batch) -> Batch:
        """What `loss` takes, of what `batch` gave, on the model's device: arithmetic that need not be the CPU's."""
        return batch

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """`loss` (a scalar to minimise) and its parts, each a scalar worth a curve."""


@runtime_checkable
class HasMemoryBank(Protocol):
    """A learner whose loss needs the other workers, or a memory that outlives a step."""

    def begin(self, context: "Context") -> nn.Module:
        """Take what `loss` will need; return the memory, a module of buffers that the checkpoint keeps."""

    def after_step(self) -> None:
        """Write into the memory; not before the step's gradients, which are computed from it, are done."""


@runtime_checkable
class HasFinalPhase(Protocol[AnyModel]):
    """A learner with a phase after the loop, such as a classifier on frozen towers."""

    def conclude(
        self, model: AnyModel, train_set: ClipSet, validation_set: ClipSet, seed: int, context: "Context"
    ) -> dict[str, float]:
        """Finish the best weights in place, on every worker alike, and return figures for the curve.

        A function of its arguments alone: after a kill it runs again from the last checkpoint.
        """


class Context(Protocol):
    """Where the loop runs."""

    rank: int
    world_size: int
    device: torch.device
    is_alone: bool
    """Every worker has the whole batch at the moment, so rows of the others would be the same ones again."""

    def share_gradients(self, model: nn.Module) -> None:
        """Replace the gradient of every parameter that learns by its mean over the workers."""

    def gather(self, rows: Tensor) -> Tensor:
        """[sum of B, ...] the rows [B, ...] of all workers, by rank; gradients flow back, summed over the workers.

        Where every worker then computes the same mean over all rows, the mean of the weights' gradients over the
        workers is that of one process with the whole batch. Batch norm in training is the exception: it shows rows
        only those of their own worker (see `cluster/gathering.py`), so give each worker dozens.

        While `is_alone`, it is this worker's rows as they are.
        """

    def mean(self, values: dict[str, float], weight: float = 1.0) -> dict[str, float]:
        """Each value's mean over the workers, weighted by how many examples each of them has seen."""

    def report(self, step: int, metrics: dict[str, float]) -> None:
        """Send a step and its metrics to the command; called equally often on every worker.

        Without metrics it reports the step from which a resumed run goes on.
        """

    def must_leave(self) -> bool:
        """Whether to write a checkpoint and return, because the run goes on elsewhere; asked after each step.

        The same on every worker.
        """


class LocalContext:
    """One process, no Ray: for training with 0 workers, tests, notebooks and machines without a cluster."""

    rank, world_size, is_alone = 0, 1, False

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

    def must_leave(self) -> bool:
        """There is nowhere else."""
        return False
