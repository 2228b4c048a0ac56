"""The table of contents of the whole program: every stage, in order, on one collection."""

import contextlib
import dataclasses
import time
from typing import Annotated, Any

import typer

from cluster.resources import STAGES
from jobs.console.exit_codes import PartialError
from jobs.console.options import Collection, MaxRejectRate, Media, Session, with_session
from jobs.duplicates import find
from jobs.evaluate import evaluate
from jobs.filter import select
from jobs.label import label
from jobs.mix import mix
from jobs.report import report
from jobs.score import score, score_while_cutting
from jobs.shard import shard
from jobs.train import MinWorkers, Workers, train_model
from pipeline.errors import ConfigError

# Of every stage that has settings of its own.
FOLDERS = (
    "clips/base",
    "models/coincidence",
    "labels/base",
    "duplicates/default",
    "selections/default",
    "mixtures/default",
    "models/separation",
)


def run(
    session: Session,
    collection: Collection,
    labels: Annotated[list[str] | None, typer.Option(help="Label file, as for `earshot label`. Repeatable.")] = None,
    workers: Workers = None,
    min_workers: MinWorkers = None,
    media: Media = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Score clips while others are cut, where the model is trained already.")
    ] = False,
    max_reject_rate: MaxRejectRate = None,
) -> None:
    """Run every stage in order on a collection. What is finished is not done again.

    Reads the collection, and labels if given. Writes tables/, clips/, mixtures/, models/, stages/ and report.html to
    the root. Without labels, evaluation sets come from the selection, and their label_source is `coincidence`.

    Example: earshot run --collection my_videos --root my_workspace --preset tiny
    """
    from jobs.console.preflight import check_here
    from pipeline.collection.listing import list_videos
    from pipeline.labels.ratings import read_judgements
    from pipeline.storage import files

    began = time.monotonic()
    if labels:
        read_judgements(labels)  # a label file that cannot be used is refused now, not after an hour of cutting
    separation = session.config.separation
    if separation.phase != "joint" or separation.audio_from != "selection":
        raise ConfigError(
            f"separation.phase = {separation.phase}, separation.audio_from = {separation.audio_from}: run trains both "
            "phases on its selection, expected joint and selection. Train another model with `earshot train`."
        )
    alone = dataclasses.replace(session, config=_phase_audio(session.config))
    separator = None if separation.start_from else separation.first_separator
    session.check(*FOLDERS)
    if separator:
        alone.check(f"models/{separator}")
    if not (files.exists(collection) or files.store_at(collection).has_folder(collection)):
        list_videos(collection)  # refuses it, before Ray is started
    check_here(session.workspace.root, session.address)
    if not session.workspace.is_finished("models/separation"):
        session.check_placement(STAGES)  # evaluation needs the largest nodes, and comes last
    partial = None
    with score_while_cutting(session) if stream else contextlib.nullcontext(session) as cutting:
        try:
            shard(cutting, collection, media=media, max_reject_rate=max_reject_rate)
        except PartialError as error:  # the models are trained on what was kept, and the exit code tells of the rest
            partial = error
    # which sounds belong to what is on screen
    train_model(session, "coincidence", workers=workers, min_workers=min_workers)
    score(session)
    if labels:
        label(session, labels)
    if session.config.duplicates.similarity is not None:
        find(session)
    select(session)
    mix(session)  # frozen before the model that it will judge is trained
    if separator:
        # on sound alone, before anything is judged
        train_model(alone, "separation", separator, workers=workers, min_workers=min_workers)
    train_model(session, "separation", workers=workers, min_workers=min_workers)
    for model in ("coincidence", "separation"):
        evaluate(session, model)
    report(session.workspace)
    session.done("run", f"finished in {time.monotonic() - began:.0f} s", "report.html")
    if partial is not None:
        raise partial


def _phase_audio(config: Any) -> Any:
    """The config with which the separator that separation starts from is trained."""
    return dataclasses.replace(config, separation=dataclasses.replace(config.separation, phase="audio"))


command = with_session(run)
