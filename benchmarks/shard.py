"""CPU seconds of cutting clips, over those of plain single-thread ffmpeg decoding of the same files.

Usage: python benchmarks/shard.py [FOLDER]

Default: a minute and a half of the synthetic world at about 720p, rendered first.

Both run in this process's children, one after the other, with the same ffmpeg. Clips: 5 s at 1 s hop, 5 frames of
128x128, FLAC and JPEG and tar included; nothing of Ray.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.artifacts import Workspace
from pipeline.collecting import CollectingConfig, plan_parts
from pipeline.media import ffmpeg_path
from pipeline.sharding import ShardingConfig, ShardPart
from pipeline.synthetic import WorldConfig, render_scene
from pipeline.views import ClipView
from schemas.videos import VIDEOS


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            collection = Path(sys.argv[1])
        else:
            config = WorldConfig(num_videos=3, duration_s=30.0, frame_scale=6)
            for index in range(config.num_videos):
                render_scene(config, index, Path(folder))
            collection = Path(folder) / "videos"
        workspace = Workspace(f"{folder}/workspace")
        plan_parts(workspace, str(collection), CollectingConfig())
        before = cpu_s()
        for part in workspace.parts("collection"):
            ShardPart(workspace, ClipView(), ShardingConfig())(part)
        ours = cpu_s() - before
        rows = workspace.read_all("videos", VIDEOS).to_pylist()
        cut = [row for row in rows if row["num_clips"]]
        before = cpu_s()
        for row in cut:
            command = [ffmpeg_path(), "-v", "error", "-threads", "1", "-i", row["uri"], "-f", "null", "-"]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        plain = cpu_s() - before
    hours = sum(row["duration_s"] for row in cut) / 3600
    clips = sum(row["num_clips"] for row in cut)
    print(f"{len(cut)} of {len(rows)} videos, {hours * 3600:.0f} s, {clips} clips")
    print(f"cutting {ours:.1f} CPU s, plain decode {plain:.1f} CPU s, ratio {ours / plain:.2f} (limit 0.9)")


def cpu_s() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
