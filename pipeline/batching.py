"""Shards -> clips and tensor batches, with a position that is one integer.

A `ClipSet` is an index: which clips, of which video, and where each lies in its tar. A batch is drawn from it by a
random generator that depends on (seed, step) alone, so step 1 000 is the same batch whether training ran through or was
resumed there, and on any number of workers (each takes its rows of the one global batch).
"""

import concurrent.futures
import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pyarrow as pa

from pipeline import storage
from pipeline.artifacts import Workspace
from pipeline.errors import DataError
from pipeline.samples import Clip, decode_sample
from pipeline.tars import parse_sample

T = TypeVar("T")
CACHE_BYTES = 2**30  # decoded clips kept: 5 s at 16 kHz and 5 frames of 128x128 are 0.4 MB


class ClipSet:
    """Clips that can be drawn and read in any order.

    Args:
        workspace: where the tars lie.
        folder: the tars' folder, such as clips.
        rows: one row per clip: clip_id, video_id, part, tar_offset, tar_bytes, and whatever a learner asks for.
        cache_bytes: decoded clips kept in memory, the first ones read; 0 keeps none.
    """

    def __init__(self, workspace: Workspace, folder: str, rows: pa.Table, cache_bytes: int = CACHE_BYTES) -> None:
        self._workspace, self._folder = workspace, folder
        self.rows = rows
        ids = rows.column("video_id").combine_chunks().dictionary_encode()
        self.video_index = ids.indices.to_numpy(zero_copy_only=False)
        """[clips] number of each clip's video: equal numbers, one video."""
        order = np.argsort(self.video_index, kind="stable")
        bounds = np.searchsorted(self.video_index[order], np.arange(len(ids.dictionary) + 1))
        self.clips_of = [order[a:b] for a, b in itertools.pairwise(bounds)]
        """Clip numbers of each video."""
        self._cache: dict[int, Clip] = {}
        self._room = cache_bytes

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def num_videos(self) -> int:
        """Videos that the clips are from."""
        return len(self.clips_of)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """`count` clip numbers of as many different videos; fewer where there are fewer videos."""
        videos = rng.permutation(self.num_videos)[:count]
        return np.array([rng.choice(self.clips_of[video]) for video in videos], dtype=np.int64)

    def draw_other(self, rng: np.random.Generator, *clips: int) -> int:
        """A clip number of a video other than the given clips'; needs more videos than they are from."""
        taken = sorted({int(self.video_index[clip]) for clip in clips})
        video = int(rng.integers(self.num_videos - len(taken)))
        for other in taken:  # the number of the video among those that are not taken becomes its number among all
            video += video >= other
        return int(rng.choice(self.clips_of[video]))

    def clip_id(self, number: int) -> str:
        """The clip's key."""
        return self.rows.column("clip_id")[int(number)].as_py()

    def raw(self, number: int) -> dict[str, bytes]:
        """The clip's tar members by suffix.

        Raises:
            DataError: its tar is missing, truncated, or holds another clip there.
        """
        names = ("clip_id", "part", "tar_offset", "tar_bytes")
        row = {name: self.rows.column(name)[int(number)].as_py() for name in names}
        uri = self._workspace.uri(self._folder, f"{row['part']}.tar")
        where = f"{uri}, {row['clip_id']}"
        key, members = parse_sample(storage.read_bytes(uri, row["tar_offset"], row["tar_bytes"]), where)
        if key != row["clip_id"]:
            raise DataError(f"{where}: found {key} there. The tar is not the one its rows describe.")
        return members

    def read(self, number: int) -> Clip:
        """The clip, decoded. Raises what `raw` raises."""
        number = int(number)
        if number in self._cache:
            return self._cache[number]
        clip = decode_sample(self.clip_id(number), self.raw(number))
        if clip.size_bytes <= self._room:
            self._room -= clip.size_bytes
            self._cache[number] = clip
        return clip


def step_rng(seed: int, *position: int) -> np.random.Generator:
    """The generator of one step: a function of the seed and the position alone."""
    return np.random.default_rng([seed, *position])


def prefetch(make: Callable[[int], T], positions: range) -> Iterator[T]:
    """`make(position)` for each position in order, one made ahead on a thread while the caller computes."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        ahead: concurrent.futures.Future[T] | None = None
        for position in positions:
            current = ahead or pool.submit(make, position)
            result = current.result()
            ahead = pool.submit(make, position + 1) if position + 1 in positions else None
            yield result


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items in order, the next one made on a thread while the caller works on this one."""
    end = object()
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        ahead = pool.submit(next, items, end)
        while (item := ahead.result()) is not end:
            ahead = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
