"""The table of contents of the whole program: every stage, in order, on one collection."""

import time
from typing import Annotated

import typer

from jobs.console.options import Address, Collection, Media, Preset, Root, Seed, Set
from jobs.console.session import Session, open_session
from jobs.duplicates import find
from jobs.evaluate import evaluate
from jobs.filter import select
from jobs.label import label
from jobs.mix import mix
from jobs.report import report
from jobs.score import score
from jobs.shard import shard
from jobs.train import Workers, train_model
from pipeline.labels.ratings import read_judgements

# Of every stage that has settings of its own.
FOLDERS = (
    *("clips", "models/coincidence", "labels", "duplicates/default", "selections/default", "mixtures/default"),
    "models/separation",
)


def run(session: Session, collection: str, labels: list[str], workers: int | None, media: str | None = None) -> None:
    """Videos -> clips -> coincidence -> scores -> selection -> mixtures -> separation -> report."""
    if labels:
        read_judgements(labels)  # what is wrong with a label file is told now, not after an hour of cutting
    session.check(*FOLDERS)
    shard(session, collection, media)
    train_model(session, "coincidence", "coincidence", "default", workers)  # which sounds belong to what is on screen
    score(session, "coincidence")
    if labels:
        label(session, labels)
    if session.config.duplicates.similarity is not None:
        find(session, "default", "coincidence")
    select(session, "default", "coincidence")
    mix(session, "default", "default")  # frozen before the model that it will judge is trained
    train_model(session, "separation", "separation", "default", workers)
    for model in ("coincidence", "separation"):
        evaluate(session, model, "default")
    report(session.workspace)


def command(
    collection: Collection,
    root: Root,
    preset: Preset = None,
    labels: Annotated[list[str] | None, typer.Option(help="Label file, as for `earshot label`. Repeatable.")] = None,
    workers: Workers = None,
    media: Media = None,
    settings: Set = None,
    seed: Seed = None,
    address: Address = None,
) -> None:
    """Run every stage in order on a collection. What is finished is not done again.

    Reads the collection, and labels if given. Writes collection/, clips/, videos/, labels/, scores/, duplicates/,
    selections/, mixtures/, models/, training/, usage/, reports/ and report.html to the root. Without labels, evaluation
    sets come from the selection, and their label_source is `coincidence`.

    Example: earshot run --collection my_videos --root my_workspace --preset tiny
    """
    began = time.monotonic()
    session = open_session(root, preset, settings, seed, address)
    run(session, collection, labels or [], workers, media)
    session.done("run", f"finished in {time.monotonic() - began:.0f} s", "report.html")
