"""Label clips by raters' judgements or published lists, and videos by spans of events: files -> labels/, spans/."""

import dataclasses
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.resources import LABELING
from jobs.console.options import Session, with_session
from jobs.console.progress import printable
from pipeline.errors import ConfigError
from pipeline.formatting import format_counts

if TYPE_CHECKING:
    from pipeline.labels.labeling import LabelSummary
    from pipeline.labels.video_names import FileFacts

LABELS_HELP = (
    "CSV or Parquet with video, on_screen, off_screen; or a published clip list. Repeatable, and '*' matches any "
    "letters: 'lists/*screen_unanimous_clips.csv'."
)
SPANS_HELP = (
    "CSV or Parquet with video, start_s, end_s, category (what is seen and heard at once; 0 to 0: nothing); or AVE's "
    "Annotations.txt. Repeatable, with patterns as --labels."
)
Labels = Annotated[list[str] | None, typer.Option(help=LABELS_HELP)]
Spans = Annotated[list[str] | None, typer.Option(help=SPANS_HELP)]


def label(session: Session, labels: Labels = None, spans: Spans = None) -> None:
    """Label clips as on-screen, off-screen, mixed or quiet; and seconds of videos by the event in them.

    Reads label files, span files and what is cut. Writes the table labels: one row per clip that is judged, with the
    label that all its raters gave it, or `conflict`, or `too_few_raters` (labeling.min_raters). And the table spans:
    one row per event, or per video without one.

    Example: earshot label --root my_workspace --labels votes.csv --labels more_votes.parquet
    """
    from pipeline.labels.span_files import read_spans

    if not labels and not spans:
        raise ConfigError("label: no files. Give --labels or --spans.")
    if labels and spans:
        read_spans(spans)  # files that cannot be used are refused before labels are written
    if labels:
        _label_clips(session, labels)
    if spans:
        _label_events(session, spans)


def _label_clips(session: Session, labels: list[str]) -> None:
    from pipeline.labels.labeling import LabelPart, summarize_labels
    from pipeline.labels.ratings import read_judgements
    from pipeline.storage.layout import CLIPS_FOLDER, LABELS_FOLDER

    session = session.resume(LABELS_FOLDER)
    workspace, config = session.workspace, session.config.labeling
    workspace.require(CLIPS_FOLDER)
    judgements = read_judgements(labels)
    work = LabelPart(workspace, judgements, config)
    facts = {"labeling": config, "labels": ", ".join(judgements.contents), "content": judgements.contents}
    with session.begin(LABELS_FOLDER, facts, {}):
        parts = workspace.pending(CLIPS_FOLDER, LABELS_FOLDER)
        counts = session.map("label", work, parts, LABELING)
        summary = summarize_labels(workspace)
        if parts or not workspace.is_finished(LABELS_FOLDER):  # it may have been killed after its last part
            workspace.finish(LABELS_FOLDER, files=_as_dicts(work.files), **summary.facts())
        _print_files(work.files)
        _print_quality(session, summary)
        session.done("label", format_counts(counts) or "nothing to do, every part is labelled", LABELS_FOLDER)


def _label_events(session: Session, spans: list[str]) -> None:
    from pipeline.labels.event_spans import SpansPart, pending_parts, summarize_spans
    from pipeline.labels.span_files import read_spans
    from pipeline.storage.layout import SPANS_FOLDER

    workspace = session.workspace
    pending_parts(workspace)  # refuses a root without clips before any file is read
    rows = read_spans(spans)
    work = SpansPart(workspace, rows)
    with session.begin(SPANS_FOLDER, {"spans": ", ".join(rows.contents), "content": rows.contents}, {}):
        parts = pending_parts(workspace)
        counts = session.map("label spans", work, parts, LABELING)
        summary = summarize_spans(workspace)
        if parts or not workspace.is_finished(SPANS_FOLDER):
            workspace.finish(SPANS_FOLDER, files=_as_dicts(work.files), **summary.facts())
        _print_files(work.files)
        print(summary)
        session.done("label", format_counts(counts) or "nothing to do, every part has its spans", SPANS_FOLDER)


def _as_dicts(found: "Mapping[str, FileFacts]") -> dict[str, dict[str, int]]:
    return {name: dataclasses.asdict(facts) for name, facts in found.items()}


def _print_files(found: "Mapping[str, FileFacts]") -> None:
    """Print how much of the files is about videos of the workspace."""
    from pipeline.collection.published_lists import ROWS

    for name, facts in found.items():
        whole = " as published" if name in ROWS else ""  # another number would have been refused
        print(f"{printable(name)}: {facts.num_rows} rows{whole}, {facts}")


def _print_quality(session: Session, summary: "LabelSummary") -> None:
    """Print how much is labelled, how far the raters agree, and where they do not."""
    print(summary)
    if summary.num_conflicts:
        sql = "SELECT * FROM labels WHERE label = 'conflict'"
        print(
            f"conflicts: {summary.num_conflicts} clips, first {', '.join(summary.conflicts)}; all of them: "
            f'earshot query --root {shlex.quote(session.workspace.root)} "{sql}"'
        )


command = with_session(label)
