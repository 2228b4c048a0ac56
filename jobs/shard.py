"""Cut every video of a collection that has no clips yet: collection -> clips/<spec>, clips and videos."""

import collections
import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.resources import SHARDING
from jobs.console.options import Clips, Collection, MaxRejectRate, Media, Session, one_of, with_session
from jobs.console.shard_notes import check_rejects, format_cutting, print_changes, print_notes
from pipeline.formatting import format_counts
from schemas.outcomes import REJECTED

if TYPE_CHECKING:
    from jobs.console.pipeline_config import PipelineConfig
    from pipeline.clip_specs import ClipSpec
    from pipeline.clips.copies import Copy, CopyFinder
    from pipeline.collection.collecting import Planned
    from pipeline.storage.workspace import Workspace


def shard(
    session: Session,
    collection: Collection,
    retry: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Cut rejected videos again, by reason: {', '.join(REJECTED)}. Repeatable.",
            callback=one_of("--retry", REJECTED),
        ),
    ] = None,
    media: Media = None,
    clips: Clips = None,
    max_reject_rate: MaxRejectRate = None,
) -> None:
    """Cut a collection of videos or sounds into clips.

    Reads the collection. Writes clips/<spec>/ (WebDataset tars) and the tables clips (one row per planned clip), videos
    (one row per video, kept or with the reason why not) and, where clips follow faces, tracks. Run it again to cut
    videos that are new, or other clip specs of the same videos, or to go on after it was stopped; licences, authors and
    opt-outs that are declared later reach the table videos, and nothing is cut anew for them. It ends with a count of
    every video and clip by outcome, and fails if one is not accounted for, or if no file gave a clip.

    Example: earshot shard --collection my_videos --root my_workspace --clips base --clips events
    """
    from pipeline.clip_specs import BASE
    from pipeline.clips.copies import CopyFinder
    from pipeline.clips.cut_videos import uncut_parts
    from pipeline.clips.reconciling import reconcile
    from pipeline.clips.splitting import count_splits
    from pipeline.clips.video_cutting import check_faces
    from pipeline.collection.collecting import plan_parts
    from pipeline.collection.listing import list_videos
    from pipeline.storage import files
    from pipeline.storage.layout import COLLECTION_FOLDER
    from pipeline.storage.lineage import check_cut, places
    from pipeline.storage.locking import claim

    workspace, config, specs = session.workspace, session.config, {}
    check_cut(workspace)
    for name in clips or [BASE]:
        config = session.resume(f"clips/{name}").config
        specs[name] = getattr(config.clips, name)
    check_faces(specs)
    videos = list_videos(collection, workspace.root, media)  # a collection that is not there leaves no trace
    first = next(videos)
    videos = itertools.chain([first], videos)
    session.share(f"collection {collection}", first["uri"])
    with contextlib.ExitStack() as stages:
        for name, spec in specs.items():
            settings = {"clips": {name: spec}, "sharding": config.sharding}
            stages.enter_context(session.begin(f"clips/{name}", settings, {}))
        stages.enter_context(claim(workspace, COLLECTION_FOLDER))  # other specs of it may not be cut meanwhile
        for place in places(workspace, COLLECTION_FOLDER):
            files.store_at(place).remove_unfinished(place)
        planned = plan_parts(workspace, videos, config.collecting, retry or ())
        finder = CopyFinder(workspace)
        copies = _declare(workspace, finder, planned)  # whatever becomes of the cutting
        uncut = uncut_parts(workspace, specs)
        cut = _cut(session, config, specs, uncut)
        if uncut:  # what is cut now may be copies
            copies = _declare(workspace, finder, planned)
        totals = {name: reconcile(workspace, name) for name in specs}
        splits = count_splits(workspace, config.splitting, copies)
        cut_now = set(itertools.chain.from_iterable(uncut))
        for name in specs:  # a command may have been killed after its last part
            if name in cut_now or not workspace.is_finished(f"clips/{name}"):
                workspace.finish(f"clips/{name}")
        print_notes(planned, splits)
        news = format_counts({"new": planned.num_new, "retried": planned.num_retried}) or "went on"
        ended = "; ".join(f"{name}: {of}" if len(specs) > 1 else str(of) for name, of in totals.items())
        news = news if uncut else "nothing to do"
        session.done("shard", f"{news}; {ended}; {splits}", f"clips/{next(iter(specs))}")
        check_rejects(session.workspace.root, collection, list(totals.values()), cut, max_reject_rate)


def _declare(workspace: "Workspace", finder: "CopyFinder", planned: "Planned") -> list[list["Copy"]]:
    """Bring what is declared now to the videos that are cut, print what changed, and return which are copies."""
    from pipeline.clips.cut_videos import cut_specs
    from pipeline.clips.declaring import apply_declared

    copies = finder.find(cut_specs(workspace))
    print_changes(apply_declared(workspace, copies, planned.other_files, planned.moved_files))
    return copies


def _cut(
    session: Session,
    config: "PipelineConfig",
    specs: Mapping[str, "ClipSpec"],
    uncut: Mapping[tuple[str, ...], list[str]],
) -> collections.Counter[str]:
    """Cut parts by the specs that they lack; return how videos and clips ended, and what was cut."""
    from jobs.console.missing_videos import check_missing
    from pipeline.clips.sharding import ShardPart

    # time enough for a part in which every video takes all that it may, and an hour for the rest
    limit_s = config.collecting.videos_per_part * config.sharding.video_limit_s + 3600
    needs = dataclasses.replace(SHARDING, limit_s=limit_s)
    counts: collections.Counter[str] = collections.Counter()
    for names, parts in uncut.items():
        work = ShardPart(session.workspace, {name: specs[name] for name in names}, config.sharding)
        verify = functools.partial(check_missing, session.workspace, names)
        counts += session.map(f"shard {' '.join(names)}", work, parts, needs, note=format_cutting, verify=verify)
    return counts


command = with_session(shard)
