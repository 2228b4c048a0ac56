"""Parts of the table of videos, as cutting leaves them."""

from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.videos import VIDEOS


def write_videos(
    workspace: Workspace, part: str, *videos: tuple[str, str | None, str | None, str], folder: str = VIDEOS_FOLDER
) -> None:
    """A part of videos: (video_id, split that the collection prescribes, content, address)."""
    facts = {"part": part, "rights": "unknown", "num_clips": 1, "outcome": "kept"}
    names = ("video_id", "split", "content_hash", "uri")
    rows = [facts | dict(zip(names, video, strict=True)) for video in videos]
    workspace.commit(folder, part, from_rows(rows, VIDEOS, part), VIDEOS)
