"""Train a learner under Ray Train: clips, or a selection -> models/<name>/."""

from typing import Annotated, Any

import typer

from cluster.connect import connect
from cluster.training import fit
from jobs.console.options import Address, Preset, Root, Seed, Selection, Set, named
from jobs.console.progress import progress_bar
from jobs.console.session import Session, open_session
from pipeline.clips.splitting import SplittingConfig
from pipeline.config import from_dict
from pipeline.errors import ConfigError, DataError, UnreadError
from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS, build, check_model
from pipeline.storage.workspace import CLIPS_FOLDER, Workspace
from pipeline.training.clipsets import begun_with, load_selected, load_splits
from pipeline.training.loop import train
from pipeline.training.protocols import Context, LocalContext

TOLD = ("loss", "match_auc", "match_calibration_error", "recall_at_1")  # of the best step's figures
SPLITS = ("train", "validate")
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes. Default: one per GPU, else 1. 0: in this process, without Ray.")
]


def train_loop(context: Context, job: dict[str, Any]) -> None:
    """What each training process runs; `job` holds plain JSON types, so that any worker can read it."""
    workspace, learner = Workspace(job["root"]), build(job["learner"], job[job["learner"]])
    if job["selection"] is None:
        sets = load_splits(workspace, SPLITS, from_dict(SplittingConfig, job["splitting"]), job["parts"])
    else:
        sets = load_selected(workspace, job["selection"], SPLITS, job["parts"])
    train_set, validation_set = sets
    train(learner, train_set, validation_set, workspace, job["folder"], job["seed"], context)


def train_model(session: Session, learner: str, name: str, selection: str | None, workers: int | None) -> None:
    """Train `models/<name>`, from its last checkpoint if there is one."""
    folder = f"models/{name}"
    session = session.resume(folder)
    workspace, config = session.workspace, getattr(session.config, learner)
    source = CLIPS_FOLDER if selection is None else f"selections/{selection}"
    num_parts = len(workspace.require(CLIPS_FOLDER))
    if selection is not None:
        num_parts = len(workspace.require(source))
    inputs = {read: workspace.stage(read)["hash"] for read in (CLIPS_FOLDER, source)}
    if getattr(config, "first_model", None):
        inputs |= check_model(workspace, config.first_model, "coincidence")
    job = {"learner": learner, learner: as_dict(config), "selection": selection, "seed": session.seed}
    job["splitting"] = as_dict(session.config.splitting)
    with session.begin(folder, job, inputs):
        is_finished = workspace.is_finished(folder)
        parts = begun_with(workspace, folder, source, is_finished)
        of_all = ""
        if len(parts) < num_parts:
            of_all = f" on {len(parts)} of the {num_parts} parts there are now (--name trains another on all)"
        if is_finished:
            session.done(f"train {learner}", f"nothing to do, it is trained{of_all}", folder)
            return
        if of_all:
            print(f"train {learner}: begun{of_all}", flush=True)
        with progress_bar(f"train {learner}", config.training.num_steps) as advance:
            done = 0

            def show(step: int, metrics: dict[str, float]) -> None:
                nonlocal done
                told = [f"{name} {value:.3g}" for name, value in metrics.items() if "loss" in name]
                told += [f"{value:.0f} clips/s" for name, value in metrics.items() if name == "clips_per_s"]
                advance(step - done, ", ".join(told), are_new=bool(metrics))
                done = step

            todo = job | {"root": workspace.root, "folder": folder, "parts": parts}
            if workers == 0:
                train_loop(LocalContext(show), todo)
            else:
                connect(session.address)
                fit(train_loop, todo, name, workers, show, fatal=(ConfigError, DataError), transient=(UnreadError,))
        stage = workspace.stage(folder)
        steps = f"{config.training.num_steps} steps{of_all}, {stage['clips_per_s']:.0f} clips/s"
        told = ", ".join(f"{metric} {value:.3g}" for metric, value in stage["figures"].items() if metric.endswith(TOLD))
        session.done(f"train {learner}", f"{steps}; best at step {stage['best_step']}: {told}", folder)


def command(
    learner: Annotated[str, typer.Argument(help="coincidence or separation")],
    root: Root,
    name: Annotated[str | None, named("Name of the model. Default: the learner's.")] = None,
    selection: Selection = "default",
    workers: Workers = None,
    preset: Preset = None,
    settings: Set = None,
    seed: Seed = None,
    address: Address = None,
) -> None:
    """Train a model.

    Reads clips/, and for separation a selection and the coincidence model. Writes models/<name>/ (model.pt with the
    weights that validate best, checkpoint.pt to go on from) and training/<name>.parquet (the curve). Run it again to go
    on after it was stopped; parts that were added meanwhile are left to another --name.

    Example: earshot train coincidence --root my_workspace --set coincidence.training.num_steps=2000
    """
    if learner not in LEARNERS:
        raise ConfigError(f"earshot train {learner}: expected one of {', '.join(LEARNERS)}.")
    session = open_session(root, preset, settings, seed, address)
    train_model(session, learner, name or learner, None if learner == "coincidence" else selection, workers)
