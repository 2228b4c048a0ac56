"""Train a learner under Ray Train: clips, or a selection -> models/<name>/."""

from typing import Annotated, Any

import typer

from jobs.console.held_out import warn_of_chance, warn_of_few
from jobs.console.options import Selection, Session, named, one_of, with_session
from pipeline.errors import ConfigError, DataError, UnreadError
from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS

NOTED_WAIT = 0.1  # share of a training's time
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes. Default: one per GPU, else 1. 0: in this process, without Ray.")
]
MinWorkers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Fewest processes to go on with while nodes are missing; as they come back, there are more again, up to "
        "--workers. Default: all, and what is missing is waited for.",
    ),
]


def train_model(
    session: Session,
    learner: Annotated[
        str,
        typer.Argument(
            help="; ".join(f"{name}: {entry.help}" for name, entry in LEARNERS.items()),
            callback=one_of("learner", LEARNERS),
        ),
    ],
    name: Annotated[str | None, named("Name of the model. Default: the learner's.")] = None,
    selection: Selection = "default",
    workers: Workers = None,
    min_workers: MinWorkers = None,
) -> None:
    """Train a model.

    Reads clips, and as the learner needs them a selection and the model that it builds on. Writes models/<name>/
    (model.pt with the weights that validate best, checkpoint.pt to go on from) and the table training (the curve).
    Run it again to go on after it was stopped; parts that were added meanwhile are left to another --name.

    Example: earshot train coincidence --root my_workspace --set coincidence.training.num_steps=2000
    """
    from pipeline.learners.loading import check_model
    from pipeline.storage.layout import CLIPS_FOLDER
    from pipeline.storage.lineage import check_unused
    from pipeline.training.clipsets import begun_with

    if workers is not None and min_workers is not None and min_workers > workers:
        raise ConfigError(f"--min-workers {min_workers}, --workers {workers}: expected no more than there are.")
    name = name or learner
    folder, stage = f"models/{name}", f"train {learner}"
    session = session.resume(folder)
    workspace, config = session.workspace, getattr(session.config, learner)
    built = LEARNERS[learner].learner()(config)
    clips = f"clips/{built.clip_spec}"
    if built.reads == "selection" and clips != CLIPS_FOLDER:
        raise ConfigError(f"{learner}: reads a selection of {clips}; selections are of {CLIPS_FOLDER} alone.")
    source = clips if built.reads == "clips" else f"selections/{selection}"
    num_parts = [len(workspace.require(read)) for read in (clips, source)][-1]
    inputs = {read: workspace.stage(read)["hash"] for read in (clips, source)}
    for model, of_learner in built.builds_on().items():
        inputs |= check_model(workspace, model, of_learner)
    job: dict[str, Any] = {"learner": learner, learner: as_dict(config), "splitting": as_dict(session.config.splitting)}
    job |= {"selection": None if built.reads == "clips" else selection, "seed": session.seed}
    if not workspace.has_stage(folder):
        check_unused(workspace, folder)  # before the training that would make them useless
    with session.begin(folder, job, inputs, needs_ray=workers != 0):
        is_finished = workspace.is_finished(folder)
        parts = begun_with(workspace, folder, source, is_finished)
        of_all = ""
        if len(parts) < num_parts:
            of_all = f" on {len(parts)} of the {num_parts} parts there are now (--name trains another on all)"
        if is_finished:
            session.done(stage, f"nothing to do, it is trained{of_all}", folder)
            return
        if of_all:
            print(f"{stage}: begun{of_all}", flush=True)
        warn_of_few(session, stage, job["selection"], built.clip_spec, parts)
        job |= {"root": workspace.root, "folder": folder, "parts": parts}
        _fit(session, job, stage, workers, min_workers, built.training.num_steps)
        steps = f"{built.training.num_steps} steps{of_all}"
        session.done(stage, f"{steps}, {_format_record(stage, learner, workspace.stage(folder))}", folder)


def _format_record(stage: str, learner: str, record: dict[str, Any]) -> str:
    """Speed, best step and figures of a finished training; warns where they are no better than chance."""
    from pipeline.evaluation.evaluating import VALIDATION

    headlines = LEARNERS[learner].evaluation().headlines
    warn_of_chance(stage, headlines, record["figures"])
    shown = {headline.metric for headline in headlines if headline.eval_set == VALIDATION}
    figures = [f"{m} {value:.3g}" for m, value in record["figures"].items() if m.endswith("loss") or m in shown]
    waited = record["data_wait_fraction"]
    note = f" ({waited:.0%} of the time spent waiting for clips)" if waited > NOTED_WAIT else ""
    return f"{record['clips_per_s']:.0f} clips/s{note}; best at step {record['best_step']}: {', '.join(figures)}"


def _fit(
    session: Session, job: dict[str, Any], step: str, workers: int | None, min_workers: int | None, num_steps: int
) -> None:
    """Run the loop in this process, or under Ray Train, and show how far it is."""
    from jobs.console.monitor import Monitor, publish_training
    from pipeline.learners.loading import train_job
    from pipeline.training.protocols import LocalContext

    is_local, done = workers == 0, 0

    def show(reached: int, metrics: dict[str, float]) -> None:
        nonlocal done
        shown = [f"{name} {value:.3g}" for name, value in metrics.items() if "loss" in name]
        shown += [f"{value:.0f} clips/s" for name, value in metrics.items() if name == "clips_per_s"]
        monitor.advance(reached - done, metrics, ", ".join(shown), are_new=bool(metrics))
        done = reached

    if not is_local:
        session.connect()
    publish = None if is_local else publish_training
    with Monitor(session.workspace, session.stages, step, num_steps, "steps", publish) as monitor:
        if is_local:
            train_job(LocalContext(show), job)
        else:
            from cluster.gpu_nodes import await_gpus
            from cluster.training import fit

            name, fatal = job["folder"].partition("/")[2], (ConfigError, DataError)
            await_gpus(name, min_workers or workers)
            fit(train_job, job, name, workers, show, fatal, transient=(UnreadError,), min_workers=min_workers)


command = with_session(train_model)
