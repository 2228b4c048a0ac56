"""Peak memory of a Ray worker and its ffmpeg child that cut a long video: bounded, and the same for 10 min and 2 h.

Usage: python -m benchmarks.shard_memory

Each length gets a new Ray and thus a new worker. The figure is the peak of the resident sets of the worker, Ray, numpy
and pyarrow included, and of its children together. Limit: 600 MB.
"""

import tempfile
from pathlib import Path

import ray

from cluster.connect import connect
from cluster.mapping import map_parts
from cluster.resources import SHARDING
from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.storage.workspace import Workspace
from tests.helpers.media import minute_of_720p, repeated
from tests.helpers.memory import TreePeak

LIMIT_MB = 600


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        minute = minute_of_720p(Path(folder))
        for minutes in (10, 120):
            collection = repeated(minute, minutes, Path(folder) / f"videos_{minutes}" / "long.mp4").parent
            workspace = Workspace(f"{folder}/workspace_{minutes}")
            plan_parts(workspace, list_videos(str(collection)), CollectingConfig())
            cut = ShardPart(workspace, {BASE: ClipSpec()}, ShardingConfig())

            def measured(part: str, cut: ShardPart = cut) -> tuple[float, float]:
                with TreePeak() as memory:
                    counts = cut(part)
                return counts["clips kept"], memory.peak_mb

            connect()
            ((_, (clips, peak_mb)),) = map_parts(measured, workspace.parts("collection"), SHARDING)
            ray.shutdown()
            print(f"{minutes} minutes, {clips:.0f} clips: {peak_mb:.0f} MB (limit {LIMIT_MB})", flush=True)


if __name__ == "__main__":
    main()
