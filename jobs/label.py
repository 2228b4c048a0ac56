"""Label clips by raters' judgements or published lists: a label file and clips/00042 -> labels/00042."""

from typing import Annotated, Any

import typer

from cluster.resources import LABELING
from jobs.progress import tell
from jobs.session import Address, Preset, Root, Seed, Session, Set, open_session
from pipeline import storage
from pipeline.artifacts import CLIPS_FOLDER, LABELS_FOLDER
from pipeline.config import hash_bytes
from pipeline.errors import ConfigError
from pipeline.labeling import LabelPart, LabelSummary, summarize_labels

Labels = Annotated[
    str, typer.Option(help="CSV or Parquet with video, on_screen, off_screen; or a published clip list.")
]


def label(session: Session, labels: str) -> None:
    """Label the parts that have no labels yet."""
    workspace = session.workspace
    workspace.require(CLIPS_FOLDER, "earshot shard --collection C")
    work = LabelPart(workspace, labels)
    if not work.num_matched():
        raise ConfigError(
            f"--labels {labels}: none of its {work.num_videos} videos is in {workspace.root}. Expected file names, "
            "addresses or video_ids as in `earshot query 'SELECT video_id, uri FROM videos'`."
        )
    content = hash_bytes(storage.read_bytes(labels))
    with session.begin(LABELS_FOLDER, {"labels": labels.rpartition("/")[2], "content": content}, {}):
        parts = workspace.pending(CLIPS_FOLDER, LABELS_FOLDER)
        counts = session.map("label", work, parts, LABELING)
        summary = summarize_labels(workspace)
        if parts:
            workspace.finish(LABELS_FOLDER, **_facts(summary))
        _tell_quality(session, work, summary)
        session.done("label", tell(counts) or "nothing to do, every part is labelled", LABELS_FOLDER)


def _facts(summary: LabelSummary) -> dict[str, Any]:
    """What is worth keeping of the summary."""
    found = summary.agreement
    kappa = found.kappa if found.kappa == found.kappa else None  # JSON has no NaN
    counts = {"num_kept": summary.num_kept, "num_labelled": summary.num_labelled, "num_rated_twice": found.num_items}
    return counts | {"num_conflicts": summary.num_conflicts, "fleiss_kappa": kappa}


def _tell_quality(session: Session, work: LabelPart, summary: LabelSummary) -> None:
    """Say how much is labelled, how far the raters agree, and where they do not."""
    share = summary.num_labelled / max(summary.num_kept, 1)
    print(
        f"coverage: {summary.num_labelled} of {summary.num_kept} kept clips ({share:.0%}), "
        f"{work.num_matched()} of {work.num_videos} videos of the label file are here"
    )
    found = summary.agreement
    if found.num_items:
        print(
            f"agreement: Fleiss kappa {found.kappa:.3f} (observed {found.observed:.3f}, chance {found.by_chance:.3f})"
            f" over {found.num_items} clips with two named raters or more"
        )
    if summary.num_conflicts:
        sql = "SELECT * FROM labels WHERE label = 'conflict'"
        print(
            f"conflicts: {summary.num_conflicts} clips, first {', '.join(summary.conflicts)}; all of them: "
            f'earshot query --root {session.workspace.root} "{sql}"'
        )


def command(
    root: Root,
    labels: Labels,
    preset: Preset = None,
    settings: Set = None,
    seed: Seed = None,
    address: Address = None,
) -> None:
    """Label clips as on-screen, off-screen, mixed or quiet.

    Reads a label file and clips/. Writes labels/: one row per clip that all its raters judged the same, or `conflict`.

    Example: earshot label --root my_workspace --labels votes.csv
    """
    label(open_session(root, preset, settings, seed, address), labels)
