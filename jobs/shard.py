"""Cut every video of a collection that has no clips yet: collection/00042 -> clips/00042.tar, clips, videos."""

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from cluster.resources import SHARDING
from jobs.console.options import Collection, Media, Session, one_of, with_session
from jobs.console.progress import printable
from pipeline.errors import DataError
from pipeline.formatting import format_counts
from schemas.outcomes import REJECTED

NUM_NAMED = 5  # addresses of changed videos on the terminal


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
) -> None:
    """Cut a collection of videos into clips.

    Reads the collection. Writes clips/ (WebDataset tars, one row per planned clip) and videos/ (one row per video, kept
    or with the reason why not). Run it again to cut videos that are new, or to go on after it was stopped. It ends with
    a count of every video and clip by outcome, and fails if one is not accounted for, or if no file gave a clip.

    Example: earshot shard --collection my_videos --root my_workspace
    """
    from pipeline.clip_specs import BASE
    from pipeline.clips.reconciling import reconcile
    from pipeline.clips.sharding import ShardPart
    from pipeline.clips.splitting import count_splits
    from pipeline.collection.collecting import plan_parts
    from pipeline.collection.listing import list_videos
    from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER

    workspace, config = session.workspace, session.config
    videos = list_videos(collection, workspace.root, media)  # a collection that is not there leaves no trace
    with session.begin(CLIPS_FOLDER, {"clips": config.clips, "sharding": config.sharding}, {}):
        planned = plan_parts(workspace, videos, config.collecting, retry or ())
        parts = workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER)
        work = ShardPart(workspace, {BASE: config.clips.base}, config.sharding)
        # time enough for a part in which every video takes all that it may, and an hour for the rest
        limit_s = config.collecting.videos_per_part * config.sharding.video_limit_s + 3600
        needs = dataclasses.replace(SHARDING, limit_s=limit_s)
        session.map("shard", work, parts, needs, note=format_cutting)
        totals, splits = reconcile(workspace), count_splits(workspace, config.splitting)
        if parts or not workspace.is_finished(CLIPS_FOLDER):  # it may have been killed after its last part
            workspace.finish(CLIPS_FOLDER)
        _say(
            planned.changed,
            "changed since they were listed first, and left as they were cut: {} videos (another file, or other spans)",
            " To cut one anew, give it another name.",
        )
        _say(planned.gone, "no longer in the collection, and kept as they were cut: {} videos")
        copies = [uri for group in splits.copies for uri in group]
        moved = f" {splits.num_moved} of them leave their prescribed split." if splits.num_moved else ""
        _say(copies, f"the same bytes, and so the same split, in {len(splits.copies)} groups: {{}} videos", moved)
        news = format_counts({"new": planned.num_new, "retried": planned.num_retried}) or "went on"
        session.done("shard", f"{news if parts else 'nothing to do'}; {totals}; {splits}", CLIPS_FOLDER)
        if not totals.num_kept:
            root = shlex.quote(workspace.root)
            raise DataError(
                f"collection {collection}: none of {totals.num_videos} files gave a clip "
                f"({format_counts(totals.videos_by_outcome)}). Expected videos with sound. What is wrong with each: "
                f"earshot query --root {root} 'SELECT uri, outcome, detail FROM videos'"
            )


def _say(uris: Sequence[str], what: str, remedy: str = "") -> None:
    """Print how many videos there are of a kind, if any, and the first of them."""
    if uris:
        names = ", ".join(map(printable, uris[:NUM_NAMED]))
        print(f"shard: {what.format(len(uris))}, such as {names}.{remedy}", file=sys.stderr)


def format_cutting(counts: Mapping[str, float], elapsed_s: float) -> str:
    """What the progress bar says: videos, hours, speed, clips, and rejects by reason."""
    videos = sum(count for name, count in counts.items() if name.startswith("videos "))
    hours = counts["video_s"] / 3600
    rejected = {
        name: count for name, count in counts.items() if name.startswith(("videos", "clips")) and "kept" not in name
    }
    speed = f"{videos:.0f} videos, {hours:.2f} h ({hours / elapsed_s * 60:.2f} h/min), {counts['clips kept']:.0f} clips"
    return f"{speed}; rejected: {format_counts(rejected) or 'none'}"


command = with_session(shard)
