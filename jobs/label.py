"""Label clips by raters' judgements or published lists: label files and clips/00042 -> labels/00042."""

import dataclasses
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.resources import LABELING
from jobs.console.options import Session, with_session
from jobs.console.progress import printable
from pipeline.formatting import format_counts

if TYPE_CHECKING:
    from pipeline.labels.labeling import FileFacts, LabelSummary

LABELS_HELP = (
    "CSV or Parquet with video, on_screen, off_screen; or a published clip list. Repeatable, and '*' matches any "
    "letters: 'lists/*screen_unanimous_clips.csv'."
)
Labels = Annotated[list[str], typer.Option(help=LABELS_HELP)]


def label(session: Session, labels: Labels) -> None:
    """Label clips as on-screen, off-screen, mixed or quiet.

    Reads label files and clips. Writes the table labels: one row per clip that is judged, with the label that all its
    raters gave it, or `conflict`, or `too_few_raters` (labeling.min_raters).

    Example: earshot label --root my_workspace --labels votes.csv --labels more_votes.parquet
    """
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
            files = {name: dataclasses.asdict(found) for name, found in work.files.items()}
            workspace.finish(LABELS_FOLDER, files=files, **summary.facts())
        _print_quality(session, work.files, summary)
        session.done("label", format_counts(counts) or "nothing to do, every part is labelled", LABELS_FOLDER)


def _print_quality(session: Session, files: "dict[str, FileFacts]", summary: "LabelSummary") -> None:
    """Print what the files hold, how much is labelled, how far the raters agree, and where they do not."""
    from pipeline.collection.published_lists import ROWS

    for name, facts in files.items():
        whole = " as published" if name in ROWS else ""  # another number would have been refused
        here = f"{facts.num_matched} of {facts.num_videos} videos are here"
        print(f"{printable(name)}: {facts.num_rows} rows{whole}, {here}")
    print(summary)
    if summary.num_conflicts:
        sql = "SELECT * FROM labels WHERE label = 'conflict'"
        print(
            f"conflicts: {summary.num_conflicts} clips, first {', '.join(summary.conflicts)}; all of them: "
            f'earshot query --root {shlex.quote(session.workspace.root)} "{sql}"'
        )


command = with_session(label)
