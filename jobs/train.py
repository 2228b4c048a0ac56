"""Train a learner under Ray Train: clips, a selection, features or masks -> models/<name>/."""

from typing import Annotated

import typer

from jobs.console.coincidence_inputs import with_inputs
from jobs.console.fitting import check_training_address, fit, format_record
from jobs.console.held_out import MIN_VIDEOS, warn_of_few
from jobs.console.options import Selection, Session, named, one_of, with_session
from pipeline.errors import ConfigError
from pipeline.learners import LEARNERS

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
    from pipeline.learners.sources import count_held_out
    from pipeline.learners.training_plan import plan_training
    from pipeline.training.clipsets import begun_with

    if workers is not None and min_workers is not None and min_workers > workers:
        raise ConfigError(f"--min-workers {min_workers}, --workers {workers}: expected no more than there are.")
    folder, stage = f"models/{name or learner}", f"train {learner}"
    if workers != 0 and not session.workspace.is_finished(folder):
        check_training_address(session.address)
    session = with_inputs(session, learner, inputs, pairs, folder).resume(folder)
    workspace, config = session.workspace, session.config
    built = LEARNERS[learner].build(getattr(config, learner))
    plan = plan_training(workspace, built, folder, session.seed, config.splitting, selection, features)
    with session.begin(folder, plan.settings, plan.inputs, needs_ray=workers != 0):
        is_finished = workspace.is_finished(folder)
        parts = begun_with(workspace, folder, plan.clips, is_finished)
        of_all = ""
        if len(parts) < plan.num_parts:
            of_all = f" on {len(parts)} of the {plan.num_parts} parts there are now (--name trains another on all)"
        if is_finished:
            session.done(stage, f"nothing to do, it is trained{of_all}", folder)
            return
        if of_all:
            print(f"{stage}: begun{of_all}", flush=True)
        warn_of_few(stage, plan.settings, count_held_out(workspace, built, plan.settings, parts, enough=MIN_VIDEOS))
        job = plan.settings | {"root": workspace.root, "folder": folder, "parts": parts}
        fit(session, job, stage, workers, min_workers, built.training.num_steps)
        steps = f"{built.training.num_steps} steps{of_all}"
        session.done(stage, f"{steps}, {format_record(stage, learner, workspace.stage(folder))}", folder)


command = with_session(train_model)
