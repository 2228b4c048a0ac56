"""Train a learner under Ray Train: clips, a selection, features or masks -> models/<name>/."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.console.fitting import fit, format_record
from jobs.console.held_out import MIN_VIDEOS, warn_of_few
from jobs.console.options import Selection, Session, named, one_of, with_session
from jobs.console.overrides import override
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS

if TYPE_CHECKING:
    from pipeline.training.protocols import Learner

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
    features: Annotated[str, named("Name of the features, for a learner that reads some.")] = "coincidence",
    inputs: Annotated[
        str | None,
        typer.Option(
            help="Of coincidence: imported vectors to learn on in place of clips, as table.column of the picture, a "
            "comma, and table.column of the sound. Short for --set coincidence.inputs=."
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            help="Of coincidence: a table of pairs that people judged, with columns picture, sound and match, on which "
            "the match classifier of coincidence.first_model learns on, under another --name."
        ),
    ] = None,
    workers: Workers = None,
    min_workers: MinWorkers = None,
) -> None:
    """Train a model.

    Reads clips, or imported vectors, or judged pairs and scores, or features and spans, or clips and masks or spans,
    and as the learner needs them a selection and the model that it builds on.
    Writes models/<name>/ (model.pt with the weights that validate best, checkpoint.pt to go on from) and the table
    training (the curve). Run it again to go on after it was stopped; parts that were added meanwhile are left to
    another --name.

    Example: earshot train coincidence --root my_workspace --set coincidence.training.num_steps=2000
    """
    from pipeline.learners.loading import check_model
    from pipeline.learners.sources import complete_config, count_held_out, file_inputs, read_stages
    from pipeline.storage.lineage import check_unused
    from pipeline.training.clipsets import begun_parts, begun_with

    if workers is not None and min_workers is not None and min_workers > workers:
        raise ConfigError(f"--min-workers {min_workers}, --workers {workers}: expected no more than there are.")
    folder, stage = f"models/{name or learner}", f"train {learner}"
    session = _with_inputs(session, learner, inputs, pairs, folder).resume(folder)
    workspace = session.workspace
    built = LEARNERS[learner].build(getattr(session.config, learner))
    reads = read_stages(built, selection, features)
    num_parts = [len(workspace.require(read)) for read in reads][-1]
    made_from = {read: workspace.stage(read)["hash"] for read in reads}
    for model, of_learner in built.builds_on().items():
        made_from |= check_model(workspace, model, of_learner)
    made_from |= file_inputs(built)
    job = _settings(session, built, selection, features)
    if not workspace.has_stage(folder):
        check_unused(workspace, folder)  # before the training that would make them useless
    job[learner] = as_dict(complete_config(workspace, built, job, begun_parts(workspace, folder, reads[-1])))
    with session.begin(folder, job, made_from, needs_ray=workers != 0):
        is_finished = workspace.is_finished(folder)
        parts = begun_with(workspace, folder, reads[-1], is_finished)
        of_all = ""
        if len(parts) < num_parts:
            of_all = f" on {len(parts)} of the {num_parts} parts there are now (--name trains another on all)"
        if is_finished:
            session.done(stage, f"nothing to do, it is trained{of_all}", folder)
            return
        if of_all:
            print(f"{stage}: begun{of_all}", flush=True)
        warn_of_few(stage, job, count_held_out(workspace, built, job, parts, enough=MIN_VIDEOS))
        job |= {"root": workspace.root, "folder": folder, "parts": parts}
        fit(session, job, stage, workers, min_workers, built.training.num_steps)
        steps = f"{built.training.num_steps} steps{of_all}"
        session.done(stage, f"{steps}, {format_record(stage, learner, workspace.stage(folder))}", folder)


def _with_inputs(session: Session, learner: str, inputs: str | None, pairs: str | None, folder: str) -> Session:
    """The session with coincidence.inputs and pairs as the options name them; with pairs, all else as the first model.

    Raises:
        ConfigError: another learner reads neither; or there is no first model, or the new one would take its place.
    """
    from pipeline.learners.loading import check_model, rebuild
    from pipeline.storage import files

    given = [f"coincidence.inputs={inputs}"] if inputs is not None else []
    given += [f"coincidence.pairs={files.absolute(pairs)}"] if pairs is not None else []
    if not given:
        return session
    if learner != "coincidence":
        option = "--inputs" if inputs is not None else "--pairs"
        raise ConfigError(f"{option}: coincidence alone learns on imported vectors or on pairs, not {learner}.")
    config: Any = session.config
    if pairs is not None:
        first = config.coincidence.first_model
        if folder == f"models/{first}":
            raise ConfigError(f"--pairs: learns on top of {folder}, which stays. Give another --name.")
        check_model(session.workspace, first, learner)
        own = rebuild(session.workspace, first, learner).config
        mine = {name: getattr(config.coincidence, name) for name in ("first_model", "pair_training")}
        config = dataclasses.replace(config, coincidence=dataclasses.replace(own, **mine))
    more = None if session.given is None else (*session.given, *given)
    return dataclasses.replace(session, config=override(config, given), given=more)


def _settings(session: Session, learner: "Learner[Any]", selection: str, features: str) -> dict[str, Any]:
    """What the model's record keeps: all that its weights follow from, but for what is read."""
    job = {"learner": learner.name, learner.name: as_dict(learner.config), "seed": session.seed}
    job |= {"splitting": as_dict(session.config.splitting)}
    job |= {"selection": selection if learner.reads == "selection" else None}
    return job | ({"features": features} if learner.reads == "features" else {})


command = with_session(train_model)
