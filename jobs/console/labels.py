"""The steps of `earshot label`: one each for labels of clips, spans of events and masks of what sounds."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cluster.resources import LABELING
from jobs.console.options import Session
from jobs.console.progress import printable
from jobs.console.remedies import query_command
from pipeline.formatting import format_counts

if TYPE_CHECKING:
    from pipeline.labels.label_files import FileRows
    from pipeline.labels.labeling import LabelSummary
    from pipeline.labels.video_names import FileFacts
    from pipeline.masks.mask_folders import MaskFiles
    from pipeline.masks.mask_labeling import MasksPart, MasksSummary
    from pipeline.metrics.agreement import Agreement

MAX_NAMED = 3


def label_clips(session: Session, labels: list[str]) -> None:
    """Label files -> labels/base."""
    from pipeline.labels.labeling import RULES, LabelPart, summarize_labels
    from pipeline.labels.ratings import read_judgements
    from pipeline.labels.self_agreement import repeat_facts, self_agreement
    from pipeline.storage.layout import CLIPS_FOLDER, LABELS_FOLDER

    session = session.resume(LABELS_FOLDER)
    workspace, config = session.workspace, session.config.labeling
    workspace.require(CLIPS_FOLDER)
    judgements = read_judgements(labels)
    work = LabelPart(workspace, judgements, config)
    facts = {"labeling": config, "labels": ", ".join(judgements.contents), "content": judgements.contents}
    facts |= {"rules": RULES}
    with session.begin(LABELS_FOLDER, facts, {}):
        parts = workspace.pending(CLIPS_FOLDER, LABELS_FOLDER)
        counts = session.map("label", work, parts, LABELING)
        summary, repeats = summarize_labels(workspace), self_agreement(judgements)
        if parts or not workspace.is_finished(LABELS_FOLDER):  # it may have been killed after its last part
            repeated = {"self_agreement": {rater: repeat_facts(found) for rater, found in repeats.items()}}
            workspace.finish(LABELS_FOLDER, files=_as_dicts(work.files), **summary.facts(), **repeated)
        _print_files(work.files)
        _print_quality(session, summary)
        _print_repeats(repeats)
        session.done("label", format_counts(counts) or "nothing to do, every part is labelled", LABELS_FOLDER)


def label_events(session: Session, rows: "FileRows") -> None:
    """Rows of span files -> the table spans."""
    from pipeline.clips.cut_videos import unlabelled_parts
    from pipeline.labels.event_spans import SpansPart, summarize_spans
    from pipeline.storage.layout import SPANS_FOLDER

    workspace = session.workspace
    work = SpansPart(workspace, rows)
    with session.begin(SPANS_FOLDER, {"spans": ", ".join(rows.contents), "content": rows.contents}, {}):
        parts = unlabelled_parts(workspace, SPANS_FOLDER)
        counts = session.map("label spans", work, parts, LABELING)
        summary = summarize_spans(workspace)
        if parts or not workspace.is_finished(SPANS_FOLDER):
            workspace.finish(SPANS_FOLDER, files=_as_dicts(work.files), **summary.facts())
        _print_files(work.files)
        print(summary)
        session.done("label", format_counts(counts) or "nothing to do, every part has its spans", SPANS_FOLDER)


def label_masks(session: Session, masks: "MaskFiles") -> None:
    """A folder of masks -> masks/ and the table masks."""
    from pipeline.clips.cut_videos import unlabelled_parts
    from pipeline.masks.mask_labeling import MasksPart, summarize_masks
    from pipeline.storage.layout import MASKS_FOLDER

    workspace = session.workspace
    work = MasksPart(workspace, masks)
    session.share("the folder of masks", masks.table["uri"][0].as_py())
    with session.begin(MASKS_FOLDER, {"masks": ", ".join(masks.contents), "content": masks.contents}, {}):
        parts = unlabelled_parts(workspace, MASKS_FOLDER)
        counts = session.map("label masks", work, parts, LABELING)
        summary = summarize_masks(workspace)
        if parts or not workspace.is_finished(MASKS_FOLDER):
            workspace.finish(MASKS_FOLDER, files=_as_dicts(work.files), **summary.facts())
        _print_masks(session, masks, work, summary)
        session.done("label", format_counts(counts) or "nothing to do, every part has its masks", MASKS_FOLDER)


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
        found = f"conflicts: {summary.num_conflicts} clips, first {', '.join(summary.conflicts)}"
        sql = "SELECT * FROM labels WHERE label = 'conflict'"
        print(f"{found}; all of them: {query_command(session.workspace.root, sql)}")


def _print_repeats(repeats: "Mapping[str, Agreement]") -> None:
    """Print how far raters agree with themselves on the clips that they were shown twice."""
    for rater, found in repeats.items():
        who = f"rater {rater} with themself" if rater else "raters with themselves"
        same = f"{round(found.observed * found.num_items)} of {found.num_items} clips shown twice are answered alike"
        print(printable(f"agreement of {who}: Fleiss kappa {found.kappa:.3f}, {same}"))


def _print_masks(session: Session, masks: "MaskFiles", work: "MasksPart", summary: "MasksSummary") -> None:
    """Print which files are masks of videos of the workspace, what they are, and which are not kept."""
    for name, facts in work.files.items():
        unknown = f"; not {', '.join(work.unknown[:MAX_NAMED])}" if work.unknown else ""
        more = f" and {len(work.unknown) - MAX_NAMED} more" if len(work.unknown) > MAX_NAMED else ""
        print(printable(f"folder {name}: {masks}; {facts}{unknown}{more}"))
    for line in str(summary).splitlines():
        print(printable(line))
    if summary.num_rejected:
        sql = "SELECT source, outcome, detail FROM masks WHERE outcome <> 'kept'"
        print(f"all of them: {query_command(session.workspace.root, sql)}")
