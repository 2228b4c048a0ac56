"""Shards -> clips and tensor batches, with a position that is one integer.

A `ClipSet` is an index: which clips, of which video, and where each lies in its tar. A batch is drawn from it by a
random generator that depends on (seed, step) alone, so step 1 000 is the same batch whether training ran through or was
resumed there, and on any number of workers (each takes its rows of the one global batch).
"""

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import pyarrow as pa

from pipeline.clips.samples import Clip, decode_sample
from pipeline.clips.tars import parse_sample
from pipeline.storage import files
from pipeline.storage.workspace import Workspace, damaged_tar

S = TypeVar("S")
T = TypeVar("T")
NUM_READERS = 10  # clips read at once: as many connections as a boto3 client keeps
CACHE_BYTES = 2**30  # decoded clips kept: 5 s at 16 kHz and 5 frames of 128x128 are 0.6 MB


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
        offset, length = (self.rows.column(name)[int(number)].as_py() for name in ("tar_offset", "tar_bytes"))
        uri, clip_id = self._tar(number), self.clip_id(number)
        key, members = parse_sample(files.read_bytes(uri, offset, length), uri, clip_id)
        if key != clip_id:
            raise damaged_tar(uri, f"found {key} where its rows have {clip_id}.")
        return members

    def read(self, number: int) -> Clip:
        """The clip, decoded.

        Raises:
            DataError: its tar is missing, truncated, damaged, or holds another clip there.
        """
        return self.read_many([number])[0]

    def read_many(self, numbers: Iterable[int]) -> list[Clip]:
        """The clips, decoded, in that order; those not in memory are read NUM_READERS at a time. Raises as `read`."""
        numbers = [int(number) for number in numbers]
        missing = [number for number in dict.fromkeys(numbers) if number not in self._cache]
        found = dict(zip(missing, prefetch(self._load, missing, NUM_READERS, len(missing)), strict=True))
        for number, clip in found.items():
            if clip.size_bytes <= self._room:
                self._room -= clip.size_bytes
                self._cache[number] = clip
        return [found[number] if number in found else self._cache[number] for number in numbers]

    def _load(self, number: int) -> Clip:
        return decode_sample(self.clip_id(number), self.raw(number), self._tar(number))

    def _tar(self, number: int) -> str:
        return self._workspace.tar_uri(self._folder, self.rows.column("part")[int(number)].as_py())


def step_rng(seed: int, *position: int) -> np.random.Generator:
    """The generator of one step: a function of the seed and the position alone; other positions, other streams.

    numpy splits numbers into words of 32 bits and fills up with zeros, so of its own accord [s], [s, 0] and [s, 0, 0]
    are one stream, and so are [2^32 + s] and [s, 1]. The words of each number, as further entropy, keep them apart.
    Training's (seed, stream, step) goes without, because runs began with those streams before.
    """
    numbers = [int(number) for number in (seed, *position)]
    words = [max(1, -(-number.bit_length() // 32)) for number in numbers]
    return np.random.default_rng(np.random.SeedSequence(numbers, spawn_key=() if words == [1, 1, 1] else words))


def prefetch(make: Callable[[S], T], items: Iterable[S], num_threads: int = 1, depth: int = 2) -> Iterator[T]:
    """`make(item)` for each item in order, `depth` of them made ahead on threads while the caller computes."""
    pool = concurrent.futures.ThreadPoolExecutor(num_threads)
    ahead: collections.deque[concurrent.futures.Future[T]] = collections.deque()
    try:
        for item in items:
            ahead.append(pool.submit(make, item))
            if len(ahead) > depth:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items in order, the next one made on a thread while the caller works on this one."""
    end = object()
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        ahead = pool.submit(next, items, end)
        while (item := ahead.result()) is not end:
            ahead = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
