"""A collection -> one row per video, each with a stable id.

A collection is a folder, an s3:// prefix, a table (`table_files.py`, `tables.py`), a published clip list
(`published_lists.py`) or a list of mixtures with known sources (`mixture_lists.py`). A video is its resolved address
(`addresses.py`): rows of a table that spell one address in several ways, or have one `video_id`, are one video with
several spans (`merging.py`).

A video's id depends only on its address below the collection, so it stays when the collection moves. Files and folders
whose names begin with a dot are left out: trash, snapshots and versions. A link to a folder, a link to nowhere or a
pipe is a video that will be `missing`.
"""

import itertools
import posixpath
import sys
from collections.abc import Iterable, Iterator

from pipeline.collection.addresses import Resolver
from pipeline.collection.merging import Listed, group_list, group_table, video_id
from pipeline.collection.mixture_lists import group_mixtures, is_mixture_list, read_mixtures
from pipeline.collection.published_lists import MEDIA, SPLIT_OF, is_list, read_list
from pipeline.collection.table_files import SUFFIXES, find_tables
from pipeline.collection.tables import table_rows
from pipeline.errors import ConfigError
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from schemas.videos import CollectionRow

EXPECTED = "Expected a folder of videos, an s3:// prefix, or a .csv or .parquet table with a column `uri`."
MAX_NAMED = 5


def list_videos(collection: str, root: str | None = None, media: str | None = None) -> Iterator[CollectionRow]:
    """One row of `schemas.videos.COLLECTION` per video, in a stable order.

    The call itself finds the first video, so it raises most errors before the caller writes anything. A folder or
    prefix then streams. A table is read once, in batches, but its videos are held: about 500 bytes each, and 16 a span.

    Args:
        collection: a folder, an s3:// prefix, a table or a published list.
        root: of the workspace: if it is inside the collection's folder, its files are no videos. Neither are those of
            other workspaces in a local folder.
        media: folder or s3:// prefix of a table's relative addresses. Default: the table's own folder, and
            s3://multimedia-commons/ for a published list.
    Raises:
        ConfigError: the collection does not exist, is empty, or has a row that cannot be right; the message names it.
    """
    tables = find_tables(collection)
    if tables:
        rows = _from_table(collection, tables, media)
    elif collection.endswith(SUFFIXES) and not files.store_at(collection).has_folder(collection):
        raise ConfigError(f"collection {collection}: no such file.")
    elif media is None:
        rows = _from_files(collection, root)
    else:
        raise ConfigError(f"media {media}: only a table or list has relative addresses, not {collection}. Drop it.")
    first = next(rows, None)
    if first is None:
        if tables:
            raise ConfigError(f"collection {collection}: a table without rows. Expected one row or more per video.")
        raise ConfigError(f"collection {collection}: no files there. {EXPECTED}")
    return itertools.chain([first], rows)


def _from_files(collection: str, root: str | None) -> Iterator[CollectionRow]:
    if not files.store_at(collection).has_folder(collection):
        found = "a file that is no table" if files.exists(collection) else "nothing"
        raise ConfigError(f"collection {collection}: found {found}. {EXPECTED}")
    absolute = files.absolute(collection, follow_links=True)
    if root == absolute:
        raise ConfigError(f"collection {collection}: is the root too. Choose another root, inside it or elsewhere.")
    own = f"{root}/" if root is not None and f"{root}/".startswith(f"{absolute}/") else None
    skipped = files.Skipped()
    try:
        if files.exists(files.join(absolute, SETTINGS_FILE)):
            raise ConfigError(
                f"collection {collection}: a workspace, as its {SETTINGS_FILE} says; expected a folder of videos. "
                "Give the one that it was made from."
            )
        for uri, size_bytes, revision in files.list_files(absolute, barred=SETTINGS_FILE, skipped=skipped):
            if own is None or not uri.startswith(own):
                yield Listed(video_id(files.relative(uri, absolute)), uri, [None] * 3, spans=None).row(
                    size_bytes, revision
                )
    except OSError as error:
        raise ConfigError(f"collection {collection}: cannot be listed ({error}).") from error
    for left_out, why in (
        (skipped.hidden, "hidden files and folders left out"),
        (skipped.unreadable, "folders left out that may not be read"),
    ):
        if left_out:
            more = ", ..." if len(left_out) > MAX_NAMED else ""
            names = ", ".join(repr(files.relative(uri, absolute)) for uri in left_out[:MAX_NAMED])
            print(f"collection {collection}: {len(left_out)} {why}: {names}{more}", file=sys.stderr, flush=True)


def _from_table(collection: str, uris: list[str], media: str | None) -> Iterator[CollectionRow]:
    where, is_published = f"collection {collection}", False
    if uris[0].endswith(".csv"):
        with files.local_copy(uris[0]) as path:
            is_published = is_list(uris[0], path)
    if is_published and len(uris) > 1:
        raise ConfigError(
            f"{where}: {len(uris)} files, of which {posixpath.basename(uris[0])} is a list of path, start, end without "
            "names of columns; expected one list, or a table. Give one of the files, or name the columns in each."
        )
    base = media or (MEDIA if is_published else posixpath.dirname(files.absolute(collection)))
    resolve = Resolver(files.absolute(base, follow_links=True))
    videos: Iterable[Listed]
    if is_mixture_list(uris[0]):
        with files.local_copy(uris[0]) as path:
            videos = list(group_mixtures(uris[0], read_mixtures(where, path), resolve))
    elif is_published:
        with files.local_copy(uris[0]) as path:
            split = SPLIT_OF.get(posixpath.basename(uris[0]))
            videos = group_list(read_list(where, uris[0], path), split, where, resolve)
    else:
        videos = group_table(where, table_rows(collection, uris), resolve)
    for video in videos:
        yield video.row()
