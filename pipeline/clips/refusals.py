"""Whether a store refuses single videos for good, such as archived or forbidden ones, or cannot be read at all.

A refused video becomes a row `refused`, so that one of them does not stop its part at every repeat. An outage must not
turn a collection into such rows: a part with refused videos counts only while some other video can be read.
"""

from collections.abc import Iterator
from typing import Any

from pipeline.errors import DataError, UnreadError
from pipeline.hashing import hash_text
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.videos import COLLECTION

# Videos tried, of 30 ms each. With 95 % of a collection archived, one part in 170 finds none of the others.
MAX_PROBES = 100


def check_store(workspace: Workspace, part: str, videos: list[dict[str, Any]]) -> None:
    """Make sure that the refusals among a part's rows of `schemas.videos.VIDEOS` are about those videos.

    Raises:
        UnreadError: videos were refused, and none of MAX_PROBES others can be read now.
    """
    refused = [row for row in videos if row["outcome"] == "refused"]
    tried = 0
    for uri in _others(workspace, part, videos) if refused else ():
        try:
            files.read_bytes(uri, 0, 1)
        except DataError:
            tried += 1
            if tried == MAX_PROBES:
                break
        else:
            return
    if refused:
        raise UnreadError(
            f"{refused[0]['detail']} So are all {len(refused) + tried} videos that were tried. Expected some that can "
            "be read: check the credentials, the bucket's policy and whether its objects are archived. Then run again."
        )


def _others(workspace: Workspace, part: str, videos: list[dict[str, Any]]) -> Iterator[str]:
    """Addresses of other remote videos: those of the part that were read, then one of each other part.

    Parts and videos are drawn by a hash: archived objects lie together in the order of names.
    """
    yield from (row["uri"] for row in reversed(videos) if row["content_hash"] and _is_remote(row["uri"]))
    for other in sorted(workspace.parts(COLLECTION_FOLDER), key=lambda other: hash_text(f"{part} {other}")):
        if other != part:
            uris = workspace.read(COLLECTION_FOLDER, other, COLLECTION, ["uri"])["uri"].to_pylist()
            yield from sorted(filter(_is_remote, uris), key=hash_text)[:1]


def _is_remote(uri: str) -> bool:
    return not files.store_at(uri).is_local
