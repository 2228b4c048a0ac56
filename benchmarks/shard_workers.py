"""Wall time of two workers over that of one, cutting the same videos with Ray on 2 cores.

Usage: python -m benchmarks.shard_workers

12 generated videos of a minute at 720p in 12 parts: a real part is 60 times as long, and pays for its start once. Ray's
start and the first import in each worker come before the clock. One worker alone uses 1.3 cores, because ffmpeg's
demuxing and filtering and Python's encoding run beside the decoder; so it is also measured with one core to itself.
"""

import os
import shutil
import tempfile
import time
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
from tests.helpers.media import minute_of_720p

NUM_VIDEOS, VIDEOS_PER_PART = 12, 1
LIMIT = 0.6


def main() -> None:
    walls = {}
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        videos.mkdir()
        minute = minute_of_720p(Path(folder))
        for index in range(NUM_VIDEOS):
            shutil.copy(minute, videos / f"{index:02d}.mp4")
        for num_workers, num_cores in ((1, 1), (1, 2), (2, 2)):
            os.sched_setaffinity(0, range(num_cores))
            connect(num_cpus=num_workers)
            workspaces = [Workspace(f"{folder}/{kind}_{num_workers}_{num_cores}") for kind in ("warm", "timed")]
            for workspace in workspaces:
                plan_parts(workspace, list_videos(str(videos)), CollectingConfig(videos_per_part=VIDEOS_PER_PART))
                parts = workspace.parts("collection")[: 2 if workspace is workspaces[0] else None]
                began = time.monotonic()
                list(map_parts(ShardPart(workspace, {BASE: ClipSpec()}, ShardingConfig()), parts, SHARDING))
                walls[num_workers, num_cores] = time.monotonic() - began
            ray.shutdown()
            print(f"{num_workers} workers on {num_cores} cores: {walls[num_workers, num_cores]:.1f} s", flush=True)
    print(f"ratio {walls[2, 2] / walls[1, 2]:.2f} (limit {LIMIT}); to one on a core {walls[2, 2] / walls[1, 1]:.2f}")


if __name__ == "__main__":
    main()
