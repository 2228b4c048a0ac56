"""The one loop that runs any learner, on one process or many, with or without Ray Train.

Everything needed to go on lies in one file, `models/<name>/checkpoint.pt`, committed in one step: a killed run goes on
from its last checkpoint with the batches it would have seen. The weights that validate best become
`models/<name>/model.pt`, after the learner's final phase, if it has one (`HasFinalPhase`).

On a CPU a resumed run ends with the undisturbed one's weights, bit for bit. On a GPU it sees the same batches, and the
weights are equal only where the GPU's kernels are deterministic; cuDNN is set to be.
"""

import math
import time
from collections.abc import Iterator
from typing import Generic

import torch
from torch import Tensor, nn

from pipeline.errors import ConfigError, DataError
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import NUM_PRODUCERS, ClipSet, Feed, prefetch, step_rng
from pipeline.training.checkpointing import TrainState
from pipeline.training.clipsets import describe
from pipeline.training.protocols import Batch, Context, HasFinalPhase, HasMemoryBank, Learner, Model, half_precision
from pipeline.training.writing import CheckpointWriter

TRAIN_STREAM, VALIDATE_STREAM = 0, 1  # keeps the two splits' random streams apart


def train(
    learner: Learner[Model],
    train_set: ClipSet,
    validation_set: ClipSet,
    workspace: Workspace,
    folder: str,
    seed: int,
    context: Context,
) -> None:
    """Train a learner to its last step, from its last checkpoint if there is one.

    Where the context says so, it writes a checkpoint and returns before the last step: who called it goes on elsewhere.

    Args:
        validation_set: clips of other videos, to choose the best weights by; may be empty (the last weights are kept).
        folder: the model's folder in the workspace, such as models/coincidence.
        seed: of the first weights and of every batch.
    Raises:
        ConfigError: too few videos to train on, more workers than examples in a step, a checkpoint of other clips, or
            gradients to accumulate of a loss that needs the whole batch.
        DataError: a damaged checkpoint, or a loss, gradient or weight that is not a number: it is never kept.
    """
    if train_set.num_videos < 2:
        raise ConfigError(
            f"train {learner.name}: {train_set.num_videos} training videos, expected 2 or more. Add videos, or lower "
            "splitting.test_fraction and what the filter refuses."
        )
    if learner.training.accumulate > 1 and learner.needs_whole_batch:
        raise ConfigError(
            f"train {learner.name}: training.accumulate = {learner.training.accumulate}, expected 1, because its loss "
            "compares all examples of a batch with each other. Lower training.batch_size, or train on more workers."
        )
    num_examples = min(learner.training.batch_size, train_set.num_videos)
    if context.world_size > num_examples:
        message = f"train {learner.name}: {context.world_size} workers, but {num_examples} examples in a step."
        raise ConfigError(message, "workers")
    run = _Run(learner, train_set, validation_set, workspace, folder, seed, context)
    steps = range(run.state.step, learner.training.num_steps)
    run.feed = Feed(prefetch(run.batch, steps, NUM_PRODUCERS, NUM_PRODUCERS))
    try:
        for batch in run.feed:
            run.step(batch)
            run.keep()
            if run.state.step < learner.training.num_steps and context.must_leave():
                run.save()
                return
        run.finish()
    finally:
        run.writer.wait()


class _Run(Generic[Model]):
    """One worker's share of a training run: set-up, steps, checkpoints, final phase. Arguments as of `train`."""

    def __init__(
        self,
        learner: Learner[Model],
        train_set: ClipSet,
        validation_set: ClipSet,
        workspace: Workspace,
        folder: str,
        seed: int,
        context: Context,
    ) -> None:
        self.learner, self.config, self.context, self.seed = learner, learner.training, context, seed
        self.train_set, self.validation_set = train_set, validation_set
        torch.backends.cudnn.deterministic = True
        torch.manual_seed(seed)
        self.model = learner.model()
        learner.initialise(self.model, workspace)
        self.model.to(context.device)
        memory = learner.begin(context) if isinstance(learner, HasMemoryBank) else nn.Module()
        memory.to(context.device)
        # what is frozen must not decay
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        rate, decay = self.config.learning_rate, self.config.weight_decay
        self.optimiser = torch.optim.AdamW(learning, lr=rate, weight_decay=decay)
        self.scaler = torch.amp.GradScaler(context.device.type, enabled=self.config.precision == "fp16")
        clips = {"train": describe(train_set), "validate": describe(validation_set)}
        parts = {"model": self.model, "memory": memory, "optimiser": self.optimiser, "scaler": self.scaler}
        self.state = TrainState(workspace, folder, parts, clips)
        if validation_set.num_videos > 1:  # a set that the learner cannot draw from is refused now, not after hours
            learner.batch(validation_set, step_rng(seed, VALIDATE_STREAM, 0), 1, slice(0, 1), augment=False)
        self.state.restore(self.config.num_steps)
        if self.state.step:
            context.report(self.state.step, {})
        self.num_examples = min(self.config.batch_size, train_set.num_videos)
        self.rows = slice(context.rank, None, context.world_size)
        self.num_rows = len(range(self.num_examples)[self.rows])
        self.began = time.monotonic() - self.state.elapsed_s
        self.feed: Feed[Batch] = Feed(iter(()))
        self.writer = CheckpointWriter(workspace, folder, self.state.step, context.rank)

    def batch(self, step: int) -> Batch:
        """This worker's rows of the step's batch, on the CPU."""
        rng = step_rng(self.seed, TRAIN_STREAM, step)
        batch = self.learner.batch(self.train_set, rng, self.num_examples, self.rows, augment=True)
        if self.context.device.type == "cuda":  # only from pinned memory does a copy not wait for the GPU
            batch = {name: value.pin_memory() for name, value in batch.items()}
        return batch

    def step(self, batch: Batch) -> None:
        """Learn from one batch."""
        step, config = self.state.step, self.config
        torch.manual_seed(hash((self.seed, step, self.context.rank)) & 0x7FFFFFFF)  # dropout, the same after a resume
        for group in self.optimiser.param_groups:
            group["lr"] = config.rate(step)
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        figures = self._backward(batch)
        self.context.share_gradients(self.model)
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.scaler.step(self.optimiser)  # not at all where fp16 overflowed
        self.scaler.update()
        if isinstance(self.learner, HasMemoryBank):
            self.learner.after_step()
        figures["gradient_norm"] = norm
        if self.scaler.is_enabled():
            is_skipped = ~norm.isfinite()
            figures |= {"gradient_norm": norm.masked_fill(is_skipped, 0.0), "skipped_fraction": is_skipped}
        self.state.add(figures)

    def _backward(self, batch: Batch) -> dict[str, Tensor]:
        """Add up the gradients of the rows, `accumulate` parts one after the other; return the figures' means."""
        figures: dict[str, Tensor] = {}
        for part in _parts(batch, self.config.accumulate):
            num_rows = len(next(iter(part.values())))
            with half_precision(self.config.precision, self.context.device):
                values = self.learner.loss(self.model, self.learner.unpack(_to(part, self.context.device)))
            # where shares differ, the mean over workers and parts must be the mean over examples
            weight = num_rows * self.context.world_size / self.num_examples
            self.scaler.scale(weight * values["loss"]).backward()
            for name, value in values.items():
                figures[name] = figures.get(name, 0.0) + value.detach() * (num_rows / self.num_rows)
        return figures

    def keep(self) -> None:
        """Where it is time: report, validate, write a checkpoint. Only of steps whose figures are numbers."""
        state, config = self.state, self.config
        is_due = state.step % config.validate_every == 0 or state.step == config.num_steps
        is_kept = is_due or (config.checkpoint_every is not None and state.step % config.checkpoint_every == 0)
        is_reported = is_due or state.step % max(1, config.validate_every // 10) == 0
        if not (is_kept or is_reported):
            return
        self._agree(is_kept)
        means = state.means()
        held_out: dict[str, float] = {}
        if is_due:
            held_out = validate(self.learner, self.model, self.validation_set, self.seed, self.context)
        state.elapsed_s = time.monotonic() - self.began
        if is_due:
            state.restart()
            state.note("train", means | {"learning_rate": config.rate(state.step - 1)})
            state.note("validate", held_out)
            state.keep_if_best(held_out.get("loss"))
        if is_reported:
            figures = {f"train_{name}": value for name, value in means.items()} | held_out
            self.context.report(state.step, figures | self._speed())
        if is_kept:
            self._commit()

    def save(self) -> None:
        """Write a checkpoint of this step, whichever it is."""
        self._agree(is_kept=True)
        self.state.elapsed_s = time.monotonic() - self.began
        self._commit()

    def finish(self) -> None:
        """The learner's final phase on the best weights, then the model."""
        state, context = self.state, self.context
        if self.validation_set.num_videos > 1 and state.best_loss == math.inf:
            raise self._failed(state.step, "no validation loss was a number")
        if isinstance(self.learner, HasFinalPhase):
            state.take_best()
            figures = self.learner.conclude(self.model, self.train_set, self.validation_set, self.seed, context)
            self._check_weights()
            state.note("validate", figures, of_best=True)
            state.keep()
        self.writer.begin(state.step)
        self.writer.wait()
        if context.rank == 0:
            state.finish(self._speed())

    def _commit(self) -> None:
        """Write a checkpoint while training goes on."""
        self.writer.begin(self.state.step, self.state.checkpoint if self.context.rank == 0 else None)

    def _speed(self) -> dict[str, float]:
        """Examples of all workers per second of the run so far, its validations included; the feed's wait fraction."""
        clips_per_s = self.state.step * self.num_examples / max(self.state.elapsed_s, 1e-9)
        return {"clips_per_s": clips_per_s, "data_wait_fraction": self.feed.wait_fraction}

    def _agree(self, is_kept: bool) -> None:
        """Read the figures; before a checkpoint also look at the weights, and average what each worker has alone."""
        self._check_figures()
        if is_kept:
            self._check_weights()
            self.state.agree(self.context, self.num_rows)

    def _check_figures(self) -> None:
        """Refuse to go on from a loss or a gradient that is no number: it is in every weight by now.

        Raises:
            DataError: with the first such step.
        """
        steps = self.state.read()
        for step, figures in enumerate(steps, start=self.state.step - len(steps)):
            for name, value in (("loss", figures["loss"]), ("gradient's norm", figures["gradient_norm"])):
                if not math.isfinite(value):
                    raise self._failed(step, f"the {name} is {value}")
        if self.scaler.is_enabled() and self.scaler.get_scale() < 1:
            raise self._failed(self.state.step, "gradients overflow fp16 even unscaled, so no step is taken")

    def _check_weights(self) -> None:
        """Refuse to keep weights, or batch statistics, that are no numbers; all of them in one transfer.

        Raises:
            DataError: some are not.
        """
        values = [value for value in self.model.state_dict().values() if value.is_floating_point()]
        if values and not torch.stack([value.isfinite().all() for value in values]).all():
            raise self._failed(self.state.step, "weights or batch statistics are no numbers")

    def _failed(self, step: int, what: str) -> DataError:
        return DataError(
            f"train {self.learner.name}, step {step}: {what}. Lower training.learning_rate, or try another precision "
            f"than {self.config.precision}: that is another config, so give it another name."
        )


@torch.no_grad()
def validate(learner: Learner[Model], model: Model, clips: ClipSet, seed: int, context: Context) -> dict[str, float]:
    """Means of the learner's losses over the same few batches each time; empty if there are too few videos.

    Over all examples, whatever share of them a worker has; the same on every worker.
    """
    if clips.num_videos < 2:
        return {}
    model.eval()
    num_examples = min(clips.num_videos, learner.training.batch_size)
    is_shared = num_examples >= context.world_size
    rows = slice(context.rank, None, context.world_size) if is_shared else slice(None)
    losses: list[dict[str, Tensor]] = []
    count = learner.training.num_validation_batches

    def make(index: int) -> Batch:
        return learner.batch(clips, step_rng(seed, VALIDATE_STREAM, index), num_examples, rows, augment=False)

    was_alone, context.is_alone = context.is_alone, context.is_alone or not is_shared
    try:
        for batch in prefetch(make, range(count), num_threads=2):
            with half_precision(learner.training.precision, context.device):
                losses.append(learner.loss(model, learner.unpack(_to(batch, context.device))))
    finally:
        context.is_alone = was_alone
    sums: dict[str, float] = {}
    for parts in losses:  # read at the end: a GPU that must answer after each batch is idle until the next one
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value) / count
    return context.mean(sums, len(range(num_examples)[rows]))


def _parts(batch: Batch, count: int) -> Iterator[Batch]:
    """The batch in `count` parts of its rows, or as many as it has rows; what is not by rows is whole in each."""
    num_rows = len(next(iter(batch.values())))
    count = min(count, num_rows)
    for part in range(count):
        rows = slice(num_rows * part // count, num_rows * (part + 1) // count)
        yield {name: value[rows] if len(value) == num_rows else value for name, value in batch.items()}


def _to(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}
