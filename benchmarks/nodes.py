"""Parts per minute on a Ray cluster of three nodes with one CPU each, over those of one such node: cutting and scoring.

Usage: python -m benchmarks.nodes [--videos 24] [--nodes 1 3]

Nodes are raylets on this machine behind a head without CPUs, as in ray_cluster.yaml, so that the cores of the machine
bound the speed-up: two of them to two at most. A generated video of a minute at 720p is a part. The model is
trained for two steps: it costs as much to run as one of days. Measured from the moment when as many parts are
done as there are nodes, so that the start of the workers, 5 to 10 s with torch, does not count.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from cluster.connect import connect
from cluster.mapping import map_parts
from cluster.resources import SCORING, SHARDING, WorkerResources
from jobs.console.session import open_session
from jobs.train import train_model
from pipeline.clip_specs import BASE
from pipeline.clips.sharding import ShardPart
from pipeline.collection.collecting import plan_parts
from pipeline.collection.listing import list_videos
from pipeline.selection.scoring import ScorePart
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER
from tests.helpers.media import minute_of_720p

SETTINGS = [
    "collecting.videos_per_part=1",
    # equal bytes are in one split: that of training
    "splitting.validate_fraction=0",
    "splitting.test_fraction=0",
    "coincidence.training.num_steps=2",
    "coincidence.training.batch_size=4",
    "coincidence.training.validate_every=1",
    "coincidence.matching.num_steps=2",
    "coincidence.matching.num_batches=1",
]


def rate(work: Callable[[str], Any], parts: list[str], needs: WorkerResources, num_nodes: int) -> float:
    """Parts per minute, once each node has had one."""
    done_s = [time.monotonic() for _ in map_parts(work, parts, needs)][num_nodes - 1 :]
    return 60 * (len(done_s) - 1) / (done_s[-1] - done_s[0])


def measure(folder: Path, videos: Path, num_nodes: int) -> tuple[float, float]:
    """Parts cut and parts scored per minute."""
    session = open_session(str(folder / f"root_{num_nodes}"), settings=SETTINGS)
    workspace, config = session.workspace, session.config
    plan_parts(workspace, list_videos(str(videos)), config.collecting)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(num_nodes):
        nodes.add_node(num_cpus=1)
    connect(nodes.address)
    try:
        work = ShardPart(workspace, {BASE: config.clips.base}, config.sharding)
        with session.begin(CLIPS_FOLDER, {"clips": {BASE: config.clips.base}, "sharding": config.sharding}, {}):
            cut = rate(work, workspace.parts(COLLECTION_FOLDER), SHARDING, num_nodes)
            workspace.finish(CLIPS_FOLDER)
        train_model(session, "coincidence", workers=0)
        scored = rate(ScorePart(workspace, "coincidence"), workspace.parts(CLIPS_FOLDER), SCORING, num_nodes)
    finally:
        ray.shutdown()
        nodes.shutdown()
    print(f"{num_nodes} nodes of one CPU: {cut:.1f} parts cut and {scored:.1f} scored per minute", flush=True)
    return cut, scored


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--nodes", type=int, nargs=2, default=[1, 3])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "videos").mkdir()
        minute = minute_of_720p(folder)
        for index in range(options.videos):
            shutil.copy(minute, folder / "videos" / f"{index:02d}.mp4")
        few, many = (measure(folder, folder / "videos", num_nodes) for num_nodes in options.nodes)
    speed_up = [large / small for large, small in zip(many, few, strict=True)]
    print(f"speed-up on {os.cpu_count()} cores: cutting {speed_up[0]:.2f}, scoring {speed_up[1]:.2f}")


if __name__ == "__main__":
    main()
