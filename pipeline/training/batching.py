"""Shards -> clips and tensor batches, with a position that is one integer.

A `ClipSet` is an index: which clips, of which video, and where each lies in its tar. A batch is drawn from it by a
random generator that depends on (seed, step) alone, so step 1 000 is the same batch whether training ran through or was
resumed there, and on any number of workers (each takes its rows of the one global batch).
"""

import collections
import concurrent.futures
import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar, overload

import numpy as np
import pyarrow as pa

from pipeline.clips.samples import Clip, EncodedClip, decode_clip
from pipeline.clips.tars import parse_sample
from pipeline.storage import files
from pipeline.storage.workspace import Workspace, damaged_tar


class HasSize(Protocol):
    """A decoded sample that can be kept."""

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""


S = TypeVar("S")
T = TypeVar("T")
Sample = TypeVar("Sample", bound=HasSize)
Decode = Callable[[str, dict[str, bytes], str], Sample]  # of a key, members by suffix, and the tar's address
NUM_READERS, MIN_READERS, MAX_READERS = 10, 4, 64  # clips read at once: at first, on a local disk, from far away
CLIP_READ_S = 0.001  # as many clips are read at once as bring one in this time: decoding it takes three times as long
# Batches made at once. One that reads uses no CPU, hence two more than there are CPUs. Each holds its batch in memory.
NUM_PRODUCERS = min(8, 2 + len(os.sched_getaffinity(0)))
CACHE_BYTES = 2**30  # decoded clips kept: 5 s at 16 kHz and 5 frames of 128x128 are 0.6 MB


class ClipSet(Generic[Sample]):
    """Clips, or features of clips, that can be drawn and read in any order.

    Args:
        workspace: where the tars lie.
        folder: the tars' folder, such as clips.
        rows: one row per clip: clip_id, video_id, part, tar_offset, tar_bytes, and whatever a learner asks for.
        decode: makes of a sample's members what `read` gives; raises DataError where they are damaged.
        cache_bytes: decoded clips kept in memory, the first ones read; 0 keeps none.
    """

    @overload
    def __init__(
        self: "ClipSet[Clip]", workspace: Workspace, folder: str, rows: pa.Table, *, cache_bytes: int = CACHE_BYTES
    ) -> None: ...

    @overload
    def __init__(
        self, workspace: Workspace, folder: str, rows: pa.Table, decode: Decode[Sample], cache_bytes: int = CACHE_BYTES
    ) -> None: ...

    def __init__(
        self,
        workspace: Workspace,
        folder: str,
        rows: pa.Table,
        decode: Decode[Any] = decode_clip,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._workspace, self._folder, self._decode = workspace, folder, decode
        self.rows = rows
        ids = rows.column("video_id").combine_chunks().dictionary_encode()
        self.video_index = ids.indices.to_numpy(zero_copy_only=False)
        """[clips] number of each clip's video: equal numbers, one video."""
        order = np.argsort(self.video_index, kind="stable")
        bounds = np.searchsorted(self.video_index[order], np.arange(len(ids.dictionary) + 1))
        self.clips_of = [order[a:b] for a, b in itertools.pairwise(bounds)]
        """Clip numbers of each video."""
        self._cache: dict[int, Sample] = {}
        self._room, self._room_lock = cache_bytes, threading.Lock()
        self._read_s = NUM_READERS * CLIP_READ_S
        self._readers = concurrent.futures.ThreadPoolExecutor(MAX_READERS)  # of all batches that are made at once

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

    def read(self, number: int) -> Sample:
        """The clip, decoded.

        Raises:
            DataError: its tar is missing, truncated, damaged, or holds another clip there.
        """
        return self.read_many([number])[0]

    def read_many(self, numbers: Iterable[int]) -> list[Sample]:
        """The clips, decoded, in that order, several at a time. Raises as `read`."""
        return self._each(self._load, numbers)

    def open_many(self: "ClipSet[Clip]", numbers: Iterable[int]) -> list[Clip | EncodedClip]:
        """The clips in that order, read several at a time: decoded if memory has room to keep them, else as they are.

        Raises as `read`; what is not decoded yet may raise later.
        """
        return self._each(self._open, numbers)

    def _each(self, make: Callable[[int], T], numbers: Iterable[int]) -> list[T]:
        """`make(number)` for each number in order, by the readers for clips that are not in memory."""
        numbers = [int(number) for number in numbers]
        missing = [number for number in dict.fromkeys(numbers) if number not in self._cache]
        made = dict(zip(missing, in_order(self._readers, make, missing, self.num_readers - 1), strict=True))
        return [made[number] if number in made else make(number) for number in numbers]

    def _load(self, number: int) -> Sample:
        if number in self._cache:
            return self._cache[number]
        clip = self._decode(self.clip_id(number), self._fetch(number), self._tar(number))
        with self._room_lock:
            fits = clip.size_bytes <= self._room
            self._room = self._room - clip.size_bytes if fits else 0
            if fits:
                self._cache[number] = clip
        return clip

    def _open(self: "ClipSet[Clip]", number: int) -> Clip | EncodedClip:
        if number in self._cache or self._room > 0:
            return self._load(number)
        return EncodedClip(self.clip_id(number), self._fetch(number), self._tar(number))

    def _fetch(self, number: int) -> dict[str, bytes]:
        began = time.monotonic()
        members = self.raw(number)
        self._read_s += (time.monotonic() - began - self._read_s) / 16  # mean of about the last 16
        return members

    @property
    def num_readers(self) -> int:
        """Clips to be read at once, by how long reading one has taken lately."""
        return min(MAX_READERS, max(MIN_READERS, math.ceil(self._read_s / CLIP_READ_S)))

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
    try:
        yield from in_order(pool, make, items, depth)
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(pool: concurrent.futures.Executor, make: Callable[[S], T], items: Iterable[S], depth: int) -> Iterator[T]:
    """`make(item)` for each item in order, by the pool: `depth` of them ahead of the one that is waited for."""
    ahead: collections.deque[concurrent.futures.Future[T]] = collections.deque()
    try:
        for item in items:
            ahead.append(pool.submit(make, item))
            if len(ahead) > depth:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items in order, the next one made on a thread while the caller works on this one."""
    end = object()
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        ahead = pool.submit(next, items, end)
        while (item := ahead.result()) is not end:
            ahead = pool.submit(next, items, end)
            yield item  # type: ignore[misc]


class Feed(Generic[T]):
    """Items in order, and how long each but the first, before which nothing can have been made, was waited for."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._waited_s, self._began_s = 0.0, math.inf

    def __iter__(self) -> Iterator[T]:
        while True:
            asked_s = time.monotonic()
            try:
                item = next(self._items)
            except StopIteration:
                return
            got_s = time.monotonic()
            if self._began_s == math.inf:
                self._began_s = got_s
            else:
                self._waited_s += got_s - asked_s
            yield item

    @property
    def wait_fraction(self) -> float:
        """Share of the time since the first item that was spent waiting for further ones."""
        passed_s = time.monotonic() - self._began_s
        return self._waited_s / passed_s if passed_s > 0 else 0.0
