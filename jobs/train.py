"""Train a learner under Ray Train: clips, or a selection -> models/<name>/."""

from typing import Annotated, Any

import typer

from cluster.connect import connect
from cluster.training import fit
from jobs.progress import progress_bar
from jobs.session import Address, Preset, Root, Seed, Selection, Session, Set, named, open_session
from pipeline.artifacts import CLIPS_FOLDER, Workspace
from pipeline.clipsets import load_clips, load_split
from pipeline.config import as_dict, from_dict
from pipeline.errors import ConfigError
from pipeline.learners import LEARNERS, build
from pipeline.splitting import SplittingConfig
from pipeline.training import Context, train

TOLD = ("loss", "match_auc", "match_calibration_error", "recall_at_1")  # of a run's last figures
Workers = Annotated[int | None, typer.Option(help="Processes. Default: one per GPU, else 1. 0: in this process.")]


def train_loop(context: Context, job: dict[str, Any]) -> None:
    """What each training process runs; `job` holds plain JSON types, so that any worker can read it."""
    workspace, learner = Workspace(job["root"]), build(job["learner"], job["config"])
    if job["selection"] is None:
        splitting = from_dict(SplittingConfig, job["splitting"])
        train_set, validation_set = (load_split(workspace, split, splitting) for split in ("train", "validate"))
    else:
        train_set, validation_set = (load_clips(workspace, job["selection"], split) for split in ("train", "validate"))
    train(learner, train_set, validation_set, workspace, job["folder"], job["seed"], context)


def train_model(session: Session, learner: str, name: str, selection: str | None, workers: int | None) -> None:
    """Train `models/<name>`, from its last checkpoint if there is one."""
    workspace, config = session.workspace, getattr(session.config, learner)
    sources = [CLIPS_FOLDER]
    workspace.require(CLIPS_FOLDER, "earshot shard --collection C")
    if selection is not None:
        workspace.require(f"selections/{selection}", "earshot filter")
        sources.append(f"selections/{selection}")
    if getattr(config, "first_model", None):
        sources.append(f"models/{config.first_model}")
    inputs = {source: workspace.stage(source)["hash"] for source in sources}
    folder = f"models/{name}"
    job = {"learner": learner, "config": as_dict(config), "selection": selection, "seed": session.seed}
    job["splitting"] = as_dict(session.config.splitting)
    with session.begin(folder, job, inputs):
        if workspace.is_finished(folder):
            session.done(f"train {learner}", "nothing to do, it is trained", folder)
            return
        connect(session.address)
        with progress_bar(f"train {learner}", config.training.num_steps) as advance:
            done = 0

            def show(step: int, metrics: dict[str, float]) -> None:
                nonlocal done
                losses = [f"{name} {value:.3g}" for name, value in metrics.items() if "loss" in name]
                advance(step - done, ", ".join(losses))
                done = step

            fit(train_loop, job | {"root": workspace.root, "folder": folder}, name, workers, show, final=ConfigError)
        figures = workspace.stage(folder)["figures"]
        told = ", ".join(f"{metric} {value:.3g}" for metric, value in figures.items() if metric.endswith(TOLD))
        session.done(f"train {learner}", f"{config.training.num_steps} steps; {told}", folder)


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
    on after it was stopped.

    Example: earshot train coincidence --root my_workspace --set coincidence.training.num_steps=2000
    """
    if learner not in LEARNERS:
        raise ConfigError(f"earshot train {learner}: expected one of {', '.join(LEARNERS)}.")
    session = open_session(root, preset, settings, seed, address)
    train_model(session, learner, name or learner, None if learner == "coincidence" else selection, workers)
