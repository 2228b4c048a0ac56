"""Training: a step is AdamW's, interrupted and resumed equals undisturbed, and the best weights are kept."""

import dataclasses
import math
import threading

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError, DataError
from pipeline.estimate.usage import usage_folder
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.checkpointing import load_weights
from pipeline.training.loop import train, validate
from pipeline.training.protocols import LocalContext, TrainingConfig
from schemas.usage import USAGE
from tests.helpers.clips import load_split
from tests.helpers.line_learner import CONFIG, FOLDER, Interrupted, LineLearner, curve, run
from tests.helpers.two_workers import WorkerContext, Workers


def weights(workspace: Workspace, learner: LineLearner, folder: str = FOLDER) -> dict[str, Tensor]:
    model = learner.model()
    load_weights(model, workspace, folder)
    return model.state_dict()


@pytest.mark.parametrize("fail_at", [2, 4, 8, 11])
def test_interrupted_and_resumed_is_bit_for_bit_undisturbed(workspace: Workspace, fail_at: int) -> None:
    whole = LineLearner()
    run(workspace, whole, "models/whole")
    broken = LineLearner(fail_at=fail_at)
    with pytest.raises(Interrupted):
        run(workspace, broken)
    assert not workspace.is_finished(FOLDER)
    resumed = LineLearner()
    run(workspace, resumed)
    done = (fail_at - 1) // 3 * 3  # steps in the last checkpoint
    assert resumed.steps_seen == whole.steps_seen[done:]
    expected, found = weights(workspace, whole, "models/whole"), weights(workspace, resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert curve(workspace) == curve(workspace, "whole")


class MemoryLearner(LineLearner):
    """Its loss also pulls towards the running mean of all guesses; after the loop it bends the best weights."""

    def __init__(self, training: TrainingConfig, fail_at: int | None = None, fail_at_the_end: bool = False) -> None:
        super().__init__(training, fail_at=fail_at)
        self._fail_at_the_end = fail_at_the_end

    def begin(self, context: object) -> nn.Module:
        self._memory = nn.BatchNorm1d(1, affine=False)  # buffers only
        return self._memory

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        parts = super().loss(model, batch)
        guesses = model(batch["x"])
        self._guesses = guesses.detach()
        pull = (guesses - self._memory.running_mean).square().mean()
        return {"loss": parts["loss"] + pull, "pull": pull}

    def after_step(self) -> None:
        self._memory(self._guesses)

    def conclude(
        self, model: nn.Module, train_set: ClipSet, validation_set: ClipSet, seed: int, context: object
    ) -> dict[str, float]:
        with torch.no_grad():
            model[1].weight.mul_(2)
        if self._fail_at_the_end:
            raise Interrupted
        return {"bent": float(model[1].weight.detach().sum())}


@pytest.mark.parametrize("fail_at", [2, 5, 8, None])
def test_memory_and_last_word_outlive_a_kill_at_any_step(workspace: Workspace, fail_at: int | None) -> None:
    config = dataclasses.replace(CONFIG, checkpoint_every=2)
    run(workspace, MemoryLearner(config), "models/whole")
    with pytest.raises(Interrupted):
        run(workspace, MemoryLearner(config, fail_at=fail_at, fail_at_the_end=fail_at is None))
    resumed = MemoryLearner(config)
    run(workspace, resumed)
    # checkpoints after steps 2, 3, 4, 6, 8, 9, 10, 11
    assert len(resumed.steps_seen) == 11 - {2: 0, 5: 4, 8: 6, None: 11}[fail_at]
    for name in ("model.pt", "checkpoint.pt"):
        whole, found = (
            torch.load(files.local_path(workspace.uri(f"models/{run_name}", name)), weights_only=True)
            for run_name in ("whole", "line")
        )
        assert _flat(whole) == _flat(found)
    assert curve(workspace) == curve(workspace, "whole")
    assert workspace.stage(FOLDER)["figures"]["validate_bent"] == curve(workspace)[-1]["value"]


def _flat(saved: object, path: str = "") -> dict[str, object]:
    """Every value of a checkpoint by its path, times left out."""
    if isinstance(saved, dict | list):
        items = saved.items() if isinstance(saved, dict) else enumerate(saved)
        return {k: v for key, value in items for k, v in _flat(value, f"{path}/{key}").items()}
    if path.endswith(("elapsed_s", "model")):
        return {}
    return {path: saved.tolist() if isinstance(saved, Tensor) else saved}


def test_the_last_word_is_on_the_best_weights_not_the_last(workspace: Workspace) -> None:
    class Worse(MemoryLearner):
        def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            return LineLearner.loss(self, model, batch)

        def after_step(self) -> None:
            """Nothing to remember."""

    learner = Worse(CONFIG)
    learner._dropout, learner._sign = 0.0, -1.0  # validation asks for the opposite: the first weights are the best
    run(workspace, learner, "models/bent")
    saved = torch.load(files.local_path(workspace.uri("models/bent", "checkpoint.pt")), weights_only=True)
    bent = torch.load(files.local_path(workspace.uri("models/bent", "model.pt")), weights_only=True)["model"]
    assert torch.equal(bent["1.weight"], 2 * saved["best"]["1.weight"])
    assert not torch.equal(saved["best"]["1.weight"], saved["model"]["1.weight"])


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training_lowers_the_loss_with_a_network_of_its_precision_and_weights_of_fp32(
    workspace: Workspace, precision: str
) -> None:
    seen: set[torch.dtype] = set()

    class Watching(LineLearner):
        def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            guess = model(batch["x"])
            seen.add(guess.dtype)
            return {"loss": (guess.float() - batch["y"]).square().mean()}

    config = dataclasses.replace(CONFIG, precision=precision, num_steps=60, validate_every=20)
    run(workspace, Watching(config, dropout=0.0))
    assert seen == {{"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]}
    losses = [row["value"] for row in curve(workspace) if row["split"] == "train"]
    assert losses[-1] < losses[0]
    assert {value.dtype for value in weights(workspace, LineLearner()).values()} == {torch.float32}


GRADIENTS = (0.3, 40.0, -2.0, 0.1)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_step_is_adamws_on_the_gradient_unscaled_and_shortened_to_clip_norm(
    workspace: Workspace, precision: str
) -> None:
    weights_seen: list[float] = []

    class Slope(LineLearner):
        """A weight that starts at 1, and at each step the gradient that is asked for."""

        def model(self) -> nn.Module:
            model = nn.Module()
            model.weight = nn.Parameter(torch.ones(()))
            return model

        def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            if model.training:
                weights_seen.append(model.weight.item())
            return {"loss": GRADIENTS[len(weights_seen) - 1] * model.weight}

    config = dataclasses.replace(
        CONFIG, precision=precision, num_steps=4, validate_every=4, clip_norm=5.0, weight_decay=0.5
    )
    run(workspace, Slope(config))
    weight, mean, square, expected = 1.0, 0.0, 0.0, []
    for step, gradient in enumerate(GRADIENTS):  # Loshchilov and Hutter 2019, algorithm 2, its usual constants
        expected.append(weight)
        gradient = min(gradient, 5.0)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        length = mean / (1 - 0.9 ** (step + 1)) / (math.sqrt(square / (1 - 0.999 ** (step + 1))) + 1e-8)
        weight -= config.rate(step) * (length + 0.5 * weight)
    assert weights_seen == pytest.approx(expected, rel=1e-5)


def test_tensorboard_has_the_figures_of_the_curve(workspace: Workspace) -> None:
    run(workspace, LineLearner())
    board = EventAccumulator(str(files.local_path(workspace.uri(FOLDER, "tensorboard")))).Reload()
    for split in ("train", "validate"):
        for metric in ("loss", "root"):
            found = [(event.step, event.value) for event in board.Scalars(f"{split}/{metric}")]
            rows = [row for row in curve(workspace) if (row["split"], row["metric"]) == (split, metric)]
            assert found == [(row["step"], pytest.approx(row["value"])) for row in rows]


def test_a_finished_run_is_not_trained_again(workspace: Workspace) -> None:
    run(workspace, LineLearner())
    again = LineLearner()
    before = weights(workspace, again)
    run(workspace, again)
    assert again.steps_seen == []
    assert all(torch.equal(value, before[name]) for name, value in weights(workspace, again).items())


def test_another_seed_gives_other_weights(workspace: Workspace) -> None:
    run(workspace, LineLearner(), "models/a", seed=0)
    run(workspace, LineLearner(), "models/b", seed=1)
    learner = LineLearner()
    assert not torch.equal(*(weights(workspace, learner, f"models/{name}")["1.weight"] for name in "ab"))


def test_every_step_has_another_batch(workspace: Workspace) -> None:
    learner = LineLearner()
    run(workspace, learner)
    assert len({tuple(batch) for batch in learner.steps_seen}) == CONFIG.num_steps


def test_the_weights_kept_are_those_that_validate_best(workspace: Workspace) -> None:
    # validation asks for the opposite of what training teaches, so it gets worse with every step
    learner = LineLearner(dropout=0.0, sign=-1.0)
    run(workspace, learner)
    losses = [row["value"] for row in curve(workspace) if (row["split"], row["metric"]) == ("validate", "loss")]
    assert len(losses) == 4
    assert losses[0] == min(losses) < losses[-1] / 2
    model = learner.model()
    load_weights(model, workspace, FOLDER)
    held_out = load_split(workspace, "validate", SplittingConfig())
    assert validate(learner, model, held_out, 0, LocalContext())["loss"] == losses[0]


def test_the_curve_has_every_part_of_the_loss_at_every_validation(workspace: Workspace) -> None:
    run(workspace, LineLearner())
    places = [(row["step"], row["split"], row["metric"]) for row in curve(workspace)]
    parts = {"train": ("loss", "root", "gradient_norm", "learning_rate"), "validate": ("loss", "root")}
    assert places == [(s, split, m) for s in (3, 6, 9, 11) for split in ("train", "validate") for m in parts[split]]
    losses = [row for row in curve(workspace) if (row["split"], row["metric"]) == ("validate", "loss")]
    best = min(losses, key=lambda row: row["value"])
    stage = workspace.stage(FOLDER)
    assert (stage["best_step"], stage["figures"]["validate_loss"]) == (best["step"], best["value"])


def test_steps_are_reported_as_they_are_done(workspace: Workspace) -> None:
    seen: list[int] = []
    run(workspace, LineLearner(), context=LocalContext(lambda step, metrics: seen.append(step)))
    assert seen == list(range(1, 12))  # a tenth of validate_every is less than a step


class ZeroLineLearner(LineLearner):
    """Starts from zeros, because two threads share torch's generator."""

    def model(self) -> nn.Module:
        model = super().model()
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        return model

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": super().loss(model, batch)["loss"]}  # a mean over halves of the batch is a mean over all of it


def run_on_two(workspace: Workspace, config: TrainingConfig, folder: str, num_steps: int | None = None) -> None:
    """Train on two workers, at most `num_steps` further steps."""
    workers = Workers()
    errors: list[BaseException] = []

    def work(rank: int) -> None:
        try:
            context = WorkerContext(rank, workers, num_steps)
            run(workspace, ZeroLineLearner(config, dropout=0.0), folder, context=context)
        except BaseException as error:  # noqa: BLE001  a thread's error would go unseen
            errors.append(error)

    workspace.begin(folder, dataclasses.asdict(config), {})
    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def check_alike(workspace: Workspace, one: str, other: str) -> None:
    """Two runs have the same weights and the same curve but for rounding."""
    learner = ZeroLineLearner()
    torch.testing.assert_close(
        *(weights(workspace, learner, f"models/{name}") for name in (one, other)), rtol=1e-5, atol=1e-6
    )
    for first, second in zip(curve(workspace, one), curve(workspace, other), strict=True):
        assert first["value"] == pytest.approx(second["value"], rel=1e-4)  # of three videos to validate on, 2 and 1


@pytest.mark.parametrize("batch_size", [4, 5])
def test_two_workers_train_what_one_trains_however_the_batch_divides(workspace: Workspace, batch_size: int) -> None:
    config = dataclasses.replace(CONFIG, batch_size=batch_size)  # five: three rows and two
    run(workspace, ZeroLineLearner(config, dropout=0.0), "models/one")
    run_on_two(workspace, config, "models/two")
    check_alike(workspace, "one", "two")


class Leaving(LocalContext):
    """A worker that is to leave after some steps."""

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self._steps_left = num_steps

    def must_leave(self) -> bool:
        self._steps_left -= 1
        return self._steps_left == 0


def test_two_workers_then_one_then_two_train_what_one_trains(workspace: Workspace) -> None:
    config = dataclasses.replace(CONFIG, batch_size=5)
    run(workspace, ZeroLineLearner(config, dropout=0.0), "models/one")
    run_on_two(workspace, config, "models/elastic", num_steps=4)
    run(workspace, ZeroLineLearner(config, dropout=0.0), "models/elastic", context=Leaving(3))
    run_on_two(workspace, config, "models/elastic")
    check_alike(workspace, "one", "elastic")


def test_usage_has_a_row_for_each_worker_and_start_with_its_steps(workspace: Workspace) -> None:
    config = dataclasses.replace(CONFIG, batch_size=4)
    run_on_two(workspace, config, "models/line", num_steps=4)
    with pytest.raises(Interrupted):
        run(workspace, LineLearner(config, fail_at=4))  # of the steps 4 to 6 that it takes, two are in its checkpoint
    run(workspace, LineLearner(config))
    folder = usage_folder("train-line")
    rows = {part: workspace.read(folder, part, USAGE).to_pylist()[0] for part in workspace.parts(folder)}
    assert {part: row["steps"] for part, row in rows.items()} == {
        "00000000-00": 4, "00000000-01": 4, "00000004-00": 2, "00000006-00": 5,
    }  # fmt: skip
    assert all(row["gpu_s"] == 0 and row["cpu_s"] > 0 and row["wall_s"] > 0 for row in rows.values())


@pytest.mark.parametrize("num_steps", [1, 3, 5, 10, 11])  # 3 is a checkpoint anyway, after 11 there is nothing to leave
def test_who_must_leave_has_saved_its_last_step_and_who_goes_on_ends_bit_for_bit_alike(
    workspace: Workspace, num_steps: int
) -> None:
    whole, left, resumed = LineLearner(), LineLearner(), LineLearner()
    run(workspace, whole, "models/whole")
    run(workspace, left, context=Leaving(num_steps))
    assert workspace.is_finished(FOLDER) == (num_steps == 11)
    if num_steps < 11:
        run(workspace, resumed)
    assert left.steps_seen + resumed.steps_seen == whole.steps_seen
    expected, found = weights(workspace, whole, "models/whole"), weights(workspace, resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert curve(workspace) == curve(workspace, "whole")


class Crowd(LocalContext):
    """One of eight workers: more than there are videos."""

    rank, world_size = 7, 8


def test_a_worker_for_whom_there_is_no_video_to_validate_on_takes_them_all(workspace: Workspace) -> None:
    learner = LineLearner(dropout=0.0)
    model = learner.model()
    held_out = load_split(workspace, "validate", SplittingConfig())
    assert validate(learner, model, held_out, 0, Crowd()) == validate(learner, model, held_out, 0, LocalContext())


def test_more_workers_than_examples_in_a_step_are_refused(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="8 workers, but 4 examples in a step"):
        run(workspace, LineLearner(), context=Crowd())


def test_the_rate_rises_linearly_and_falls_to_zero_as_half_a_cosine() -> None:
    config = TrainingConfig(num_steps=1000, batch_size=1, learning_rate=2.0, warmup_steps=10)
    assert config.rate(0) == pytest.approx(2.0 / 10, rel=1e-4)
    assert config.rate(4) == pytest.approx(2.0 * 5 / 10, rel=1e-3)
    assert config.rate(500) == pytest.approx(1.0)
    assert config.rate(250) == pytest.approx(1 + math.cos(math.pi / 4))
    assert config.rate(1000) == pytest.approx(0.0)
    assert max(config.rate(step) for step in range(1000)) <= 2.0


def test_a_loss_that_is_no_number_stops_the_run_and_says_at_which_step(workspace: Workspace) -> None:
    class Diverging(LineLearner):
        def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            parts = super().loss(model, batch)
            return parts if len(self.steps_seen) < 5 else {"loss": parts["loss"] * math.nan}

    with pytest.raises(DataError, match="train line, step 4: the loss is nan"):
        run(workspace, Diverging())


def test_one_video_is_too_few_to_train_on(workspace: Workspace) -> None:
    clips = load_split(workspace, "train", SplittingConfig())
    alone = ClipSet(workspace, "clips", clips.rows.slice(0, 4))
    with pytest.raises(ConfigError, match="train line: 1 training videos, expected 2 or more"):
        train(LineLearner(), alone, alone, workspace, FOLDER, 0, LocalContext())


def test_without_videos_to_validate_on_the_last_weights_are_kept(workspace: Workspace) -> None:
    learner = LineLearner(dropout=0.0)
    workspace.begin(FOLDER, {}, {})
    clips = load_split(workspace, "train", SplittingConfig())
    none = ClipSet(workspace, "clips", clips.rows.slice(0, 0))
    train(learner, clips, none, workspace, FOLDER, 0, LocalContext())
    last = torch.load(files.local_path(workspace.uri(FOLDER, "checkpoint.pt")), weights_only=True)["model"]
    assert all(torch.equal(value, last[name]) for name, value in weights(workspace, learner).items())


def test_a_model_that_is_not_finished_is_not_loaded(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="not trained yet"):
        load_weights(nn.Linear(1, 1), workspace, FOLDER)
    with pytest.raises(Interrupted):
        run(workspace, LineLearner(fail_at=9))
    with pytest.raises(ConfigError, match="not trained yet"):
        load_weights(LineLearner().model(), workspace, FOLDER)


def test_weights_of_another_model_are_an_error_that_names_the_file(workspace: Workspace) -> None:
    run(workspace, LineLearner())
    with pytest.raises(DataError, match=r"models/line/model\.pt: does not fit"):
        load_weights(nn.Sequential(nn.Dropout(0), nn.Linear(9, 1)), workspace, FOLDER)
