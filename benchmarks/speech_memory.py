"""Peak memory of cutting clips of mouths from one talking head: bounded, and the same for a minute and an hour of it.

Usage: python -m benchmarks.speech_memory [MINUTES ...]

A video of GRID (EARSHOT_MEDIA) is repeated to each length, 1 and 60 minutes if none is given; an hour takes ten minutes
of CPU time. Each length gets a process of its own. The figure is the peak of the resident sets of that process, with
torch, LiteRT, numpy and pyarrow, and of its ffmpeg child together. Limit: the longest at most LIMIT times the shortest.
"""

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

from pipeline.clip_specs import ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.storage.workspace import Workspace
from tests.helpers.media import ffmpeg, repeated
from tests.helpers.memory import TreePeak

LIMIT = 1.15
SPEC = "speech"
CLIP = "LipNet__bbaf2n.mpg"  # of 3 s
PER_MINUTE = 20


def measure(video: Path) -> tuple[float, float]:
    """Clips kept, and the peak in MB, of cutting a video."""
    workspace = Workspace(str(video.parent) + "_root")
    plan_parts(workspace, list_videos(str(video.parent)), CollectingConfig())
    shard = ShardPart(workspace, {SPEC: getattr(ClipSpecs(), SPEC)}, ShardingConfig())
    with TreePeak() as memory:
        counts = shard("00000")
    return counts["clips kept"], memory.peak_mb


def main() -> None:
    if "EARSHOT_MEDIA" not in os.environ:
        print("left out: set EARSHOT_MEDIA to the folder of real videos")
        return
    lengths = sorted(map(int, sys.argv[1:])) or [1, 60]
    clip, peaks = Path(os.environ["EARSHOT_MEDIA"]) / "videos" / CLIP, []
    with tempfile.TemporaryDirectory() as folder:
        once = Path(folder) / "once.mp4"
        ffmpeg("-i", clip, "-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac", once)
        for minutes in lengths:
            video = repeated(once, PER_MINUTE * minutes, Path(folder) / f"videos_{minutes}" / "long.mp4")
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                kept, peak_mb = pool.apply(measure, (video,))
            peaks.append(peak_mb)
            print(f"{minutes} minutes, {kept:.0f} clips: {peak_mb:.0f} MB", flush=True)
    print(f"the longest over the shortest: {peaks[-1] / peaks[0]:.2f} (limit {LIMIT:g})")


if __name__ == "__main__":
    main()
