"""Wall time of two workers over that of one, cutting the same videos with Ray on 2 cores.

Usage: python -m benchmarks.shard_workers

24 generated videos of 20 s at 720p in 12 parts. Ray's start and the first import in each worker come before the clock.
"""

import tempfile
import time
from pathlib import Path

import ray

from benchmarks._media import ffmpeg, minute_of_720p
from cluster.connect import connect
from cluster.mapping import map_parts
from cluster.resources import SHARDING
from pipeline.artifacts import Workspace
from pipeline.collecting import CollectingConfig, plan_parts
from pipeline.sharding import ShardingConfig, ShardPart
from pipeline.views import ClipView

NUM_VIDEOS, VIDEO_S, VIDEOS_PER_PART = 24, 20, 2
LIMIT = 0.6


def main() -> None:
    walls = {}
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        videos.mkdir()
        minute = minute_of_720p(Path(folder))
        for index in range(NUM_VIDEOS):
            start_s = index % 3 * VIDEO_S
            ffmpeg("-ss", str(start_s), "-t", str(VIDEO_S), "-i", minute, "-c", "copy", videos / f"{index:02d}.mp4")
        for num_workers in (1, 2):
            connect(num_cpus=num_workers)
            workspaces = [Workspace(f"{folder}/{kind}_{num_workers}") for kind in ("warm", "timed")]
            for workspace in workspaces:
                plan_parts(workspace, str(videos), CollectingConfig(videos_per_part=VIDEOS_PER_PART))
                parts = workspace.parts("collection")[: 2 if workspace is workspaces[0] else None]
                began = time.monotonic()
                list(map_parts(ShardPart(workspace, ClipView(), ShardingConfig()), parts, SHARDING))
                walls[num_workers] = time.monotonic() - began
            ray.shutdown()
            print(f"{num_workers} workers: {walls[num_workers]:.1f} s", flush=True)
    print(f"ratio {walls[2] / walls[1]:.2f} (limit {LIMIT})")


if __name__ == "__main__":
    main()
