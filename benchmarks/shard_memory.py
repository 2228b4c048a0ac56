"""Peak memory of a Ray worker and its ffmpeg child that cut a long video: bounded, and the same for 10 min and 2 h.

Usage: python -m benchmarks.shard_memory

Each length gets a new Ray and thus a new worker. The figure is the worker's peak resident set, Ray, numpy and pyarrow
included, plus that of its largest child. Limit: 600 MB.
"""

import resource
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

LIMIT_MB = 600


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        minute = minute_of_720p(Path(folder))
        for minutes in (10, 120):
            collection = repeated(minute, minutes, Path(folder) / f"videos_{minutes}" / "long.mp4").parent
            workspace = Workspace(f"{folder}/workspace_{minutes}")
            plan_parts(workspace, list_videos(str(collection)), CollectingConfig())
            cut = ShardPart(workspace, {BASE: ClipSpec()}, ShardingConfig())

            def measured(part: str, cut: ShardPart = cut) -> tuple[float, float, float]:
                counts = cut(part)
                who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
                worker, child = (resource.getrusage(one).ru_maxrss / 1000 for one in who)
                return counts["clips kept"], worker, child

            connect()
            ((_, (clips, worker, child)),) = map_parts(measured, workspace.parts("collection"), SHARDING)
            ray.shutdown()
            print(
                f"{minutes} minutes, {clips:.0f} clips: worker {worker:.0f} MB + ffmpeg {child:.0f} MB = "
                f"{worker + child:.0f} MB (limit {LIMIT_MB})",
                flush=True,
            )


if __name__ == "__main__":
    main()
