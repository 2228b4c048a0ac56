"""Take over a published data set: its features and spans into a root, or tables to cut its videos by."""

import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.errors import ConfigError
from pipeline.formatting import format_counts

PICKLES = (
    "the features of AVEL100k, and which seconds hold an event, are pickles, and nothing is unpickled. Give --out, cut "
    "its videos, and make features with `earshot features`."
)


def command(
    dataset: Annotated[Literal["ave", "avel"], typer.Argument(help="AVE, or VGGSound-AVEL100k.")],
    folder: Annotated[str, typer.Argument(help="Folder with the published files.")],
    root: Annotated[str | None, typer.Option(help="Workspace for AVE's published features and spans.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder for tables to cut videos by, in place of --root.")] = None,
    as_published: Annotated[
        bool,
        typer.Option("--as-published", help="With --root: leave test clips in test whose video is in another split."),
    ] = False,
) -> None:
    """Take over a published data set.

    Reads the published files below the folder: with --root AVE's Annotations.txt, splits and features (HDF5), whose
    labels are compared. Writes features/events/ave and the tables features and spans; with --out collection.csv (for
    --collection) and spans.csv (for --spans) of the videos below the folder.

    Example: earshot ingest ave AVE_Dataset --root my_workspace
    """
    if not Path(folder).exists():
        raise ConfigError(f"folder {folder}: nothing there. Expected the published files.")
    if dataset == "avel" and out is None:
        raise ConfigError(f"{folder}: {PICKLES}")
    if (root is None) == (out is None):
        raise ConfigError("ingest: give --root (published features), or --out (tables to cut videos by).")
    if as_published and root is None:
        raise ConfigError("ingest: --as-published is about features; expected it with --root.")
    if root is not None:
        _ingest_features(Path(folder), root, as_published)
    elif out is not None:
        _write_tables(dataset, Path(folder), out)


def _ingest_features(folder: Path, root: str, as_published: bool) -> None:
    from jobs.console.progress import progress_bar
    from jobs.console.session import open_session
    from pipeline.ingest.ave_features import CLIPS_PER_PART, STAGE, AveFeatures, commit
    from pipeline.storage.layout import SPANS_FOLDER
    from pipeline.storage.localfiles import scratch

    found = AveFeatures(folder, as_published)
    session, settings, facts = open_session(root), found.settings(), found.facts()
    workspace = session.workspace
    for stage in (STAGE, SPANS_FOLDER):
        workspace.check_same(stage, settings, {})
    with tempfile.TemporaryDirectory(dir=scratch(os.getpid())) as folder_of_parts:
        staged = []
        if not workspace.is_finished(STAGE):
            with progress_bar("ingest", -(-facts["num_clips"] // CLIPS_PER_PART)) as advance:
                for part in found.stage(Path(folder_of_parts)):
                    staged.append(part)
                    advance(1, "")
        with session.begin(STAGE, settings, {}, needs_ray=False), session.begin(SPANS_FOLDER, settings, {}, False):
            for part in staged:
                commit(workspace, part)
            if staged:
                workspace.finish(SPANS_FOLDER, num_videos=facts["num_clips"])
                workspace.finish(STAGE, **facts)
                print(found.lists.name_leaks() or "no video is in several splits")
            labels = f"; labels agree with {', '.join(found.labels)}" if found.labels else ""
            counts = f"{facts['num_clips']} clips, {format_counts(facts['splits'])}{labels}"
            session.done("ingest", counts if staged else "nothing to do, all is there", STAGE)


def _write_tables(dataset: str, folder: Path, out: str) -> None:
    from pipeline.ingest import avel_list, video_tables
    from pipeline.ingest.ave_rows import read_rows

    if dataset == "avel":
        events = avel_list.read_list(folder)
        print(
            f"avel: an event is said to be all of a video's {avel_list.DURATION_S:g} s, for weak and self-supervision."
        )
    else:
        lists = read_rows(folder, as_published=True)
        events = [video_tables.Event(*row.annotation[1:], row.annotation.category, row.split) for row in lists.rows]
        if lists.leaks:
            print(f"{lists.name_leaks()}; each is put in the first of them")
    base = folder if folder.is_dir() else folder.parent
    print(f"ingest: {video_tables.write_tables(out, str(base), events)} -> {out}", flush=True)
