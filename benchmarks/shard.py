"""CPU seconds of cutting clips, over those of plain single-thread ffmpeg decoding of the same files.

Usage: python -m benchmarks.shard [FOLDER]

Default: ten minutes of generated 720p. Both run in this process and its children, one after the other, with the same
ffmpeg. Clips: 5 s at 1 s hop, 5 frames of 128x128, FLAC and JPEG and tar included; nothing of Ray.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.clip_specs import ClipSpec
from pipeline.clips.sharding import ShardingConfig, ShardPart
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.estimate.usage import cpu_s
from pipeline.media.sandbox import ffmpeg_path
from pipeline.storage.workspace import Workspace
from schemas.videos import VIDEOS
from tests.helpers.media import minute_of_720p, repeated

LIMIT = 0.9


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            collection = Path(sys.argv[1])
        else:
            collection = repeated(minute_of_720p(Path(folder)), 10, Path(folder) / "videos" / "ten_minutes.mp4").parent
        workspace = Workspace(f"{folder}/workspace")
        plan_parts(workspace, list_videos(str(collection)), CollectingConfig())
        before = cpu_s()
        for part in workspace.parts("collection"):
            ShardPart(workspace, ClipSpec(), ShardingConfig())(part)
        ours = cpu_s() - before
        rows = workspace.read_all("videos", VIDEOS).to_pylist()
        cut = [row for row in rows if row["num_clips"]]
        before = cpu_s()
        for row in cut:
            command = [ffmpeg_path(), "-v", "error", "-threads", "1", "-i", row["uri"], "-f", "null", "-"]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        plain = cpu_s() - before
    seconds = sum(row["duration_s"] for row in cut)
    clips = sum(row["num_clips"] for row in cut)
    print(f"{len(cut)} of {len(rows)} videos, {seconds:.0f} s, {clips} clips")
    print(f"cutting {ours:.1f} CPU s, plain decode {plain:.1f} CPU s, ratio {ours / plain:.2f} (limit {LIMIT})")


if __name__ == "__main__":
    main()
