"""Cut every video of a collection that has no clips yet: collection/00042 -> clips/00042.tar, clips, videos."""

from cluster.resources import SHARDING
from jobs.session import Address, Collection, Preset, Root, Seed, Session, Set, open_session, tell
from pipeline.artifacts import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.collecting import list_videos, plan_parts
from pipeline.sharding import ShardPart


def shard(session: Session, collection: str) -> None:
    """List the collection, give new videos a part, and cut the parts that are not cut."""
    workspace, config = session.workspace, session.config
    next(list_videos(collection, workspace.root))  # a collection that is not there leaves no trace
    session.begin(CLIPS_FOLDER, {"view": config.view, "sharding": config.sharding}, {})
    num_new = plan_parts(workspace, collection, config.collecting)
    parts = workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER)
    counts = session.map("shard", ShardPart(workspace, config.view, config.sharding), parts, SHARDING)
    if parts:
        workspace.finish(CLIPS_FOLDER)
    found = f"{num_new} new videos; {tell(counts)}" if parts else "nothing to do, every video has its row"
    session.done("shard", found, CLIPS_FOLDER)


def command(
    collection: Collection,
    root: Root,
    preset: Preset = None,
    settings: Set = None,
    seed: Seed = None,
    address: Address = None,
) -> None:
    """Cut a collection of videos into clips.

    Reads the collection. Writes clips/ (WebDataset tars, one row per planned clip) and videos/ (one row per video, kept
    or with the reason why not). Run it again to cut videos that are new, or to go on after it was stopped.

    Example: earshot shard --collection my_videos --root my_workspace
    """
    shard(open_session(root, preset, settings, seed, address), collection)
