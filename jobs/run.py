"""The table of contents of the whole program: every stage, in order, on one collection."""

import contextlib
import time
from typing import Annotated

import typer

from jobs.console.exit_codes import PartialError
from jobs.console.label_options import MASKS_HELP, SPANS_HELP
from jobs.console.options import Collection, MaxRejectRate, Media, Session, one_of, with_session
from jobs.console.run_checks import check_run
from jobs.console.scoring_while_cutting import score_while_cutting
from jobs.console.systems import (
    CLIPS_OF,
    EVENTS,
    LIPREADING,
    SEGMENTATION,
    SEPARATION,
    SYSTEMS,
    needs_coincidence,
    of_sound_alone,
    of_words,
)
from jobs.duplicates import find
from jobs.evaluate import evaluate
from jobs.features import extract
from jobs.filter import select
from jobs.label import label
from jobs.mix import mix
from jobs.report import report
from jobs.score import score
from jobs.shard import shard
from jobs.train import MinWorkers, Workers, train_model


def run(
    session: Session,
    collection: Collection,
    labels: Annotated[list[str] | None, typer.Option(help="Label file, as for `earshot label`. Repeatable.")] = None,
    spans: Annotated[list[str] | None, typer.Option(help=f"For events, or words for lipreading. {SPANS_HELP}")] = None,
    masks: Annotated[str | None, typer.Option(help=f"For segmentation. {MASKS_HELP}")] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What is trained, all but lipreading on top of coincidence: {', '.join(SYSTEMS)}. Repeatable. "
            f"Default: {SEPARATION}.",
            callback=one_of("--system", SYSTEMS),
        ),
    ] = None,
    workers: Workers = None,
    min_workers: MinWorkers = None,
    media: Media = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Score clips while others are cut, where the model is trained already.")
    ] = False,
    max_reject_rate: MaxRejectRate = None,
) -> None:
    """Run every stage in order on a collection. What is finished is not done again.

    Reads the collection, and labels, spans and masks if given. Writes tables/, clips/, models/, stages/ and report.html
    to the root, for separation mixtures/, for events features/, for segmentation masks/. Without labels, separation's
    evaluation sets come from the selection, and their label_source is `coincidence`. Lip reading needs no label and no
    coincidence model; with spans and without events, the spans are words, and a model of words is trained too.

    Example: earshot run --collection my_videos --root my_workspace --preset tiny
    """
    began, systems, partial = time.monotonic(), system or [SEPARATION], None
    check_run(session, collection, systems, labels, spans, masks, stream, workers)
    with score_while_cutting(session) if stream else contextlib.nullcontext(session) as cutting:
        clips = ["base"] if needs_coincidence(systems) else []
        clips += [CLIPS_OF[name] for name in SYSTEMS if name in systems and name in CLIPS_OF]
        try:
            shard(cutting, collection, media=media, clips=clips, max_reject_rate=max_reject_rate)
        except PartialError as error:  # the models are trained on what was kept, and the exit code is for the rest
            partial = error
    models = [name for name in SYSTEMS if name in systems]
    if needs_coincidence(systems):  # which sounds belong to what is on screen
        train_model(session, "coincidence", workers=workers, min_workers=min_workers)
        score(session)
        models = ["coincidence", *models]
    if labels or spans or masks:
        label(session, labels, spans, masks)
    if session.config.duplicates.similarity is not None and needs_coincidence(systems):
        find(session)  # selections keep one of each group, and no figure counts one that is in two splits
    if SEPARATION in systems:
        _separate(session, workers, min_workers)
    if EVENTS in systems:
        extract(session)
        train_model(session, EVENTS, workers=workers, min_workers=min_workers)
    if SEGMENTATION in systems:
        train_model(session, SEGMENTATION, workers=workers, min_workers=min_workers)
    if LIPREADING in systems:
        train_model(session, LIPREADING, workers=workers, min_workers=min_workers)
        if words := of_words(session, systems, spans):
            train_model(words.session, LIPREADING, words.name, workers=workers, min_workers=min_workers)
            models.append(words.name)
    for model in models:
        evaluate(session, model)
    report(session.workspace)
    session.done("run", f"finished in {time.monotonic() - began:.0f} s", "report.html")
    if partial is not None:
        raise partial


def _separate(session: Session, workers: int | None, min_workers: int | None) -> None:
    """Select clips, freeze what will judge the model, and train it."""
    select(session)
    mix(session)  # frozen before the model that it will judge is trained
    if separator := of_sound_alone(session):
        # on sound alone, before anything is judged
        train_model(separator.session, SEPARATION, separator.name, workers=workers, min_workers=min_workers)
    train_model(session, SEPARATION, workers=workers, min_workers=min_workers)


command = with_session(run)
