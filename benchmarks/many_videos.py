"""Clips per second and core from thousands of short videos, by the command itself, with the number of clips as a gate.

Usage: python -m benchmarks.many_videos [--videos 4000]

Generated videos of 10 s at 320x240, H.264 and AAC: 20 contents, copied, because making them is not what is measured.
Clips of 5 s every 5 s do not overlap, so each video has exactly two. `earshot shard` runs on every core of the machine;
its start and Ray's count. Shown beside it is the floor of NeMo Curator's nightly benchmark.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from tests.helpers.kills import PROJECT
from tests.helpers.media import ffmpeg

NUM_CONTENTS, DURATION_S, CLIPS_PER_VIDEO = 20, 10, 2
NEMO_FLOOR = 15.5  # clips per second of the whole host, 7 600 clips (nightly benchmark of NeMo Curator, 2026)


def make_videos(folder: Path, num_videos: int) -> None:
    """Videos of the same length and other pictures and tones."""
    for index in range(num_videos):
        path, content = folder / f"{index:05d}.mp4", index % NUM_CONTENTS
        if index >= NUM_CONTENTS:
            os.link(folder / f"{content:05d}.mp4", path)
            continue
        picture = f"life=size=320x240:rate=25:seed={content}:mold=10:ratio=0.2"
        tone = f"sine=frequency={200 + 50 * content}:sample_rate=44100"
        sources = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, "-t", str(DURATION_S))
        ffmpeg(*sources, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac", path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=4000)
    num_videos, num_cores = parser.parse_args().videos, len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        videos, root = Path(folder) / "videos", str(Path(folder) / "root")
        videos.mkdir()
        make_videos(videos, num_videos)
        command = [sys.executable, "-m", "jobs.cli", "shard", "--collection", str(videos), "--root", root]
        command += ["--set", "clips.base.hop_s=5"]
        began = time.monotonic()
        subprocess.run(command, check=True, cwd=PROJECT)
        seconds = time.monotonic() - began
        workspace = Workspace(root)
        kept = sum(
            workspace.read(CLIPS_FOLDER, part, CLIPS, ["outcome"])["outcome"].to_pylist().count("kept")
            for part in workspace.parts(CLIPS_FOLDER)
        )
    assert kept == CLIPS_PER_VIDEO * num_videos, f"{kept} clips of {num_videos} videos"
    rate = kept / seconds
    print(f"{kept} clips of {num_videos} videos in {seconds:.0f} s: {rate:.1f} clips/s on {num_cores} cores")
    print(f"{rate / num_cores:.1f} clips/s per core (NeMo Curator's floor, a whole host: {NEMO_FLOOR})")


if __name__ == "__main__":
    main()
