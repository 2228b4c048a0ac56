"""CPU seconds of cutting clips of mouths, over those of decoding the same files to the same padded square.

Usage: python -m benchmarks.speech_clips [FOLDER]

FOLDER has the real videos that the tests use (EARSHOT_MEDIA); its talking heads are cut. All runs are in this process
and its children, one after the other, with the same ffmpeg; what is decoded alone goes nowhere. Clips of `speech`: 2 s,
50 mouths of 96x96 for each face, FLAC, JPEG and tar included; nothing of Ray. Of ROUNDS rounds the medians are shown.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.clip_specs import ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.mouth_cutting import face_finder
from pipeline.clips.sharding import ShardPart
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.estimate.usage import cpu_s
from pipeline.media.decode_command import fit_filters
from pipeline.media.sandbox import ffmpeg_path
from pipeline.storage.workspace import Workspace
from schemas.tracks import TRACKS
from schemas.videos import VIDEOS

ROUNDS = 3
LIMIT = 3.0
SPEC = "speech"
TALKING = (
    *("LipNet__*", "SadTalker__WDA*", "video-retalking__*"),  # one face
    *("VisualVoice__interview*", "avobjects__demo*"),  # two and four at once
)


def cut(root: str, videos: list[Path]) -> tuple[Workspace, float]:
    """Cut the videos; return the workspace and the CPU seconds."""
    listing = Path(f"{root}.csv")
    listing.write_text("\n".join(["uri", *map(str, videos)]) + "\n")
    workspace = Workspace(root)
    plan_parts(workspace, list_videos(str(listing)), CollectingConfig())
    before = cpu_s()
    shard = ShardPart(workspace, {SPEC: getattr(ClipSpecs(), SPEC)}, ShardingConfig())
    for part in workspace.parts("collection"):
        shard(part)
    return workspace, cpu_s() - before


def decode(videos: list[Path]) -> float:
    """Decode picture and sound of each video to what cutting reads; return the CPU seconds."""
    spec, before = getattr(ClipSpecs(), SPEC), cpu_s()
    for video in videos:
        command = [ffmpeg_path(), "-v", "error", "-threads", "1", "-filter_threads", "1", "-i", str(video)]
        command += ["-vf", f"fps={spec.frame_rate_hz},{fit_filters(spec)}", "-pix_fmt", "rgb24", "-c:v", "rawvideo"]
        command += ["-ar", str(spec.sample_rate_hz), "-ac", "1", "-f", "null", "-"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return cpu_s() - before


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("EARSHOT_MEDIA")
    if folder is None:
        print("left out: give the folder of real videos, or set EARSHOT_MEDIA to it")
        return
    videos = sorted(path for pattern in TALKING for path in (Path(folder) / "videos").glob(pattern))
    face_finder()
    with tempfile.TemporaryDirectory() as work:
        rounds = []
        for number in range(ROUNDS):
            workspace, ours = cut(f"{work}/{number}", videos)
            plain = decode(videos)
            rounds.append((ours, plain, ours / plain))
        ours, plain, ratio = map(statistics.median, zip(*rounds, strict=True))
        seconds = sum(row["duration_s"] for row in workspace.read_all(f"videos/{SPEC}", VIDEOS).to_pylist())
        tracks = workspace.read_all(f"tracks/{SPEC}", TRACKS)
    print(f"{len(videos)} videos, {seconds:.0f} s, {len(tracks)} faces in spans of 2 s")
    print(f"cutting {ours:.1f} CPU s, decoding {plain:.1f}: {ratio:.2f} (limit {LIMIT:g})")


if __name__ == "__main__":
    main()
