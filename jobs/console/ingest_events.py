"""How `earshot ingest` takes over data sets of events: AVE's features and spans, or tables to cut videos by."""

import os
import tempfile
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.formatting import format_counts

PICKLES = (
    "the features of AVEL100k, and which seconds hold an event, are pickles, and nothing is unpickled. Give --out, cut "
    "its videos, and make features with `earshot features`."
)


def ingest_ave(folder: Path, root: str, as_published: bool) -> None:
    """Features and spans of AVE, into a root."""
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


def refuse_pickles(folder: Path, root: str, as_published: bool) -> None:
    """AVEL100k has nothing that could be taken into a root.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(f"{folder}: {PICKLES}")


def write_ave_tables(folder: Path, out: str) -> None:
    """Tables of the videos of AVE below a folder."""
    from pipeline.ingest.ave_rows import read_rows
    from pipeline.ingest.video_tables import Event

    lists = read_rows(folder, as_published=True)
    if lists.leaks:
        print(f"{lists.name_leaks()}; each is put in the first of them")
    _write(folder, out, [Event(*row.annotation[1:], row.annotation.category, row.split) for row in lists.rows])


def write_avel_tables(folder: Path, out: str) -> None:
    """Tables of the videos of AVEL100k below a folder, or that of its list."""
    from pipeline.ingest import avel_list

    events = avel_list.read_list(folder)
    print(f"avel: an event is said to be all of a video's {avel_list.DURATION_S:g} s, for weak and self-supervision.")
    _write(folder if folder.is_dir() else folder.parent, out, events)


def _write(folder: Path, out: str, events: list) -> None:
    from pipeline.ingest.video_tables import write_tables

    print(f"ingest: {write_tables(out, str(folder), events)} -> {out}", flush=True)
