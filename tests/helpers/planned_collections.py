"""Collections of files with a few bytes, and their plan."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.collection.collecting import CollectingConfig, Planned, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.storage.layout import COLLECTION_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.videos import COLLECTION


def fill(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * len(name))
    return folder


def plan(
    workspace: Workspace, collection: str, config: CollectingConfig, media: str | None = None, retry: Sequence[str] = ()
) -> Planned:
    return plan_parts(workspace, list_videos(collection, workspace.root, media), config, retry)


def ids_by_part(workspace: Workspace) -> dict[str, list[str]]:
    return {
        part: workspace.read(COLLECTION_FOLDER, part, COLLECTION).column("video_id").to_pylist()
        for part in workspace.parts(COLLECTION_FOLDER)
    }
