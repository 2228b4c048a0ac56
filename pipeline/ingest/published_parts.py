"""A published data set of masks -> tables and tars of a workspace, part by part; a part on disk is finished work."""

import collections
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipeline.clips.tars import TarWriter
from pipeline.collection.merging import video_id
from pipeline.errors import ConfigError
from pipeline.ingest.avsbench_lists import ListedVideo
from pipeline.ingest.published_clips import SPEC, PublishedClips, TakenVideo
from pipeline.ingest.published_trees import PublishedTree
from pipeline.masks.mask_parts import Mask, write_masks
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER, MASKS_FOLDER
from pipeline.storage.lineage import places
from pipeline.storage.tombstones import taken_down
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.videos import COLLECTION, VIDEOS, CollectionRow

STAGE, VIDEOS_FOLDER = f"clips/{SPEC}", f"videos/{SPEC}"
VIDEOS_PER_PART = 80
NUM_READERS = 4  # videos read at once: pillow and libjpeg let other threads work


class PublishedParts:
    """A tree's videos in parts, and what a workspace needs of them.

    Args:
        tree: what is published.
        as_published: as of `PublishedClips`.
    Raises:
        ConfigError: what the colours of masks stand for cannot be read.
    """

    def __init__(self, workspace: Workspace, tree: PublishedTree, as_published: bool) -> None:
        self._workspace, self._tree, self._as_published = workspace, tree, as_published
        self._clips = PublishedClips(tree, as_published)
        self.spec = self._clips.spec
        rows = [self._collection_row(video) for video in tree.videos]
        listed, gone = list(zip(tree.videos, rows, strict=True)), taken_down(workspace)
        self._parts: dict[str, list[tuple[ListedVideo, CollectionRow]]] = {
            f"{number:05d}": [
                pair
                for pair in listed[first : first + VIDEOS_PER_PART]
                if not gone.has(pair[1]["video_id"], pair[1]["uri"])
            ]
            for number, first in enumerate(range(0, len(listed), VIDEOS_PER_PART))
        }

    def settings(self) -> dict[str, Any]:
        """What the content follows from, for the stages' records."""
        return {
            "published": self._tree.data_set.name,
            "as_published": self._as_published,
            "content": self._tree.content(),
            "clips": {SPEC: self.spec},
        }

    def check_root(self) -> None:
        """Refuse a root that holds another collection.

        Raises:
            ConfigError: it does.
        """
        for part in self._workspace.parts(COLLECTION_FOLDER):
            rows = self._workspace.read(COLLECTION_FOLDER, part, COLLECTION, ["video_id"])["video_id"].to_pylist()
            if rows != [row["video_id"] for _, row in self._parts.get(part, ())]:
                raise ConfigError(
                    f"root {self._workspace.root}: holds another collection, with {', '.join(rows[:1]) or 'no video'} "
                    f"in part {part}. Expected an empty root, or one with {self._tree.data_set.name}."
                )

    def plan(self) -> list[str]:
        """Commit the parts of the collection that are not there; return the parts without clips or without masks."""
        for place in places(self._workspace, COLLECTION_FOLDER):
            files.store_at(place).remove_unfinished(place)
        there = set(self._workspace.parts(COLLECTION_FOLDER))
        for part, listed in self._parts.items():
            if part not in there:
                table = from_rows([row for _, row in listed], COLLECTION, part)
                self._workspace.commit(COLLECTION_FOLDER, part, table, COLLECTION)
        lacking = (self._workspace.pending(COLLECTION_FOLDER, table) for table in (VIDEOS_FOLDER, MASKS_FOLDER))
        return sorted({part for parts in lacking for part in parts})

    def write(self, part: str) -> dict[str, int]:
        """Commit clips, masks and videos of a part; return how videos and masks ended, by name."""
        videos: list[dict[str, Any]] = []
        clips: list[dict[str, Any]] = []
        counts: collections.Counter[str] = collections.Counter()

        def masks(tar: TarWriter) -> Iterator[Mask]:
            for taken in self._take(self._parts[part]):
                place: dict[str, Any] = {"part": part}
                if taken.members is not None:
                    place["tar_offset"], place["tar_bytes"] = tar.add(taken.clip["clip_id"], taken.members)
                clips.append(taken.clip | place)
                videos.append(taken.video | {"part": part})
                counts["masks with unknown colours"] += taken.num_odd
                yield from taken.masks

        with files.building(self._workspace.tar_uri(STAGE, part)) as path, TarWriter(path) as tar:
            written = write_masks(self._workspace, part, masks(tar))
        self._workspace.commit(STAGE, part, from_rows(clips, CLIPS, part), CLIPS)
        self._workspace.commit(VIDEOS_FOLDER, part, from_rows(videos, VIDEOS, part), VIDEOS)
        counts.update(f"videos {row['outcome']}" for row in videos)
        counts.update(f"masks {row['outcome']}" for row in written)
        return counts

    def _take(self, listed: Sequence[tuple[ListedVideo, CollectionRow]]) -> Iterator[TakenVideo]:
        with ThreadPoolExecutor(NUM_READERS) as pool:
            for first in range(0, len(listed), NUM_READERS):
                yield from pool.map(lambda pair: self._clips.take(*pair), listed[first : first + NUM_READERS])

    def _collection_row(self, video: ListedVideo) -> CollectionRow:
        tree, where = self._tree, video.places
        below = video.folder if where else f"{tree.data_set.list_name}#{video.line}"
        paths = (*where.frames, where.sound) if where else ()
        extra = {name: value for name, value in video.values.items() if name != "split"}
        return {
            "video_id": video_id(below),
            "uri": files.join(files.absolute(str(tree.folder)), below),
            "size_bytes": sum(tree.sizes.get(path, 0) for path in paths) or None,
            "revision": None,
            "license": None,
            "author": None,
            "source_url": None,
            "rights": "unknown",
            "rights_from": None,
            "split": video.split,
            "extra": json.dumps({"published": tree.data_set.name} | extra, sort_keys=True),
            "spans": None,
        }
