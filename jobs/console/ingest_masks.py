"""How `earshot ingest` takes over data sets of masks: AVSBench's clips, masks and splits into a root."""

import collections
import dataclasses
from pathlib import Path

from jobs.console.progress import printable
from pipeline.formatting import format_counts


def ingest_masks(dataset: str, folder: Path, root: str, as_published: bool) -> None:
    """Clips, masks and splits of AVSBench, into a root; what is missing in the folder is said before."""
    from jobs.console.progress import progress_bar
    from jobs.console.session import open_session
    from pipeline.clips.copies import find_copies
    from pipeline.clips.cut_videos import cut_parts
    from pipeline.clips.reconciling import reconcile
    from pipeline.clips.splitting import count_splits
    from pipeline.ingest.avsbench_lists import DATA_SETS
    from pipeline.ingest.published_clips import SPEC
    from pipeline.ingest.published_parts import STAGE, PublishedParts
    from pipeline.ingest.published_trees import PublishedTree
    from pipeline.storage.layout import MASKS_FOLDER

    tree = PublishedTree(folder, DATA_SETS[dataset])
    session = open_session(root)
    workspace = session.workspace
    parts = PublishedParts(workspace, tree, as_published)
    clips = dataclasses.replace(session.config.clips, **{SPEC: parts.spec})
    session = dataclasses.replace(session, config=dataclasses.replace(session.config, clips=clips))
    settings = parts.settings()
    parts.check_root()
    for stage in (STAGE, MASKS_FOLDER):
        workspace.check_same(stage, settings, {})
    print(f"{dataset}: {tree.counts()}")
    for finding in tree.findings:
        print(printable(f"  {finding}"), flush=True)
    with session.begin(STAGE, settings, {}, needs_ray=False), session.begin(MASKS_FOLDER, settings, {}, False):
        pending, counts = parts.plan(), collections.Counter[str]()
        with progress_bar("ingest", len(pending)) as advance:
            for part in pending:
                counts.update(parts.write(part))
                advance(1, format_counts(counts))
        totals, copies = reconcile(workspace, SPEC), find_copies(workspace, cut_parts(workspace))
        splits = count_splits(workspace, session.config.splitting, copies)
        if splits.num_moved:
            print(
                f"  {splits.num_moved} with the bytes of another video, and so in its split: --as-published moves none"
            )
        if pending or not (workspace.is_finished(STAGE) and workspace.is_finished(MASKS_FOLDER)):
            findings = {finding.what: len(finding.names) for finding in tree.findings}
            workspace.finish(MASKS_FOLDER, num_videos=len(tree.videos))
            workspace.finish(STAGE, findings=findings, splits=splits.num_videos)
        news = {name: count for name, count in counts.items() if name.startswith("masks")}
        done = format_counts(news) if pending else "nothing to do, all is there"
        session.done("ingest", f"{totals}; {splits}; {done}", STAGE)
