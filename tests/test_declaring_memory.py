"""Memory that declared rights which come later take, by the number of videos."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest

from pipeline.clips import declaring
from pipeline.collection import collecting
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.storage.workspace import Workspace
from schemas.videos import CollectionRow
from tests.helpers.declared_videos import apply, cut, select


class Peak:
    """Most bytes that Python holds while the block runs, and most that Arrow does of what it makes there."""

    _pools: ClassVar[list[pa.MemoryPool]] = []  # what is made in one may outlive the block

    def __enter__(self) -> "Peak":
        self._before = pa.default_memory_pool()
        self._pools.append(pa.proxy_memory_pool(self._before))
        pa.set_memory_pool(self._pools[-1])
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.size_bytes = tracemalloc.get_traced_memory()[1] + self._pools[-1].max_memory()
        tracemalloc.stop()
        pa.set_memory_pool(self._before)


def test_memory_grows_by_the_columns_of_the_videos_that_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "NUM_THREADS", 1)  # what several read at once is another each time,
    monkeypatch.setattr(declaring, "NUM_READERS", 1)  # and does not grow with the number of videos

    def listed(num_videos: int, opt_out: bool) -> Iterator[CollectionRow]:
        for number in range(num_videos):
            yield {
                "video_id": f"video_{number:06d}-{number:012x}", "uri": f"s3://bucket/videos/{number:06d}.mp4",
                "size_bytes": None, "revision": None, "license": "CC BY", "author": f"author {number % 99}",
                "source_url": f"https://example.org/photos/{number:09d}/", "rights_from": "column opt_out",
                "rights": "no_train" if opt_out else "unknown", "split": None, "extra": None, "spans": None,
            }  # fmt: skip

    def peaks(num_videos: int) -> list[int]:
        """Of planning where nothing is new, of planning and of applying where every video is refused."""
        workspace, found = Workspace(str(tmp_path / str(num_videos))), []
        plan_parts(workspace, listed(num_videos, opt_out=False), CollectingConfig(videos_per_part=20))
        cut(workspace, ("base",), can_read=False)
        select(workspace)
        for opt_out in (False, True):
            with Peak() as peak:
                plan_parts(workspace, listed(num_videos, opt_out), CollectingConfig(videos_per_part=20))
            found.append(peak.size_bytes)
        with Peak() as peak:
            assert apply(workspace).num_by_kind == {"no_train": num_videos}
        return [*found, peak.size_bytes]

    same, planned, applied = ((large - small) / 1000 for small, large in zip(peaks(800), peaks(1800), strict=True))
    assert planned - same < 450  # 280 to 290 with one reader; 700 where each is a dict
    assert applied < 1500  # 3 400, with one clip spec
