"""CPU seconds of cutting clips, over those of plain single-thread ffmpeg decoding of the same files.

Usage: python -m benchmarks.shard [FOLDER]

Default: ten minutes of generated 720p. All runs are in this process and its children, one after the other, with the
same ffmpeg. Clips of `base`: 5 s at 1 s hop, 5 frames of 128x128, FLAC and JPEG and tar included; nothing of Ray. Then
the same with the clips of `events` cut beside them, from one decoding, and by a second pass of their own. Of ROUNDS
rounds the medians are shown: a machine's speed drifts by a tenth within minutes, so what is compared runs side by side.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.clip_specs import BASE, ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.estimate.usage import cpu_s
from pipeline.media.sandbox import ffmpeg_path
from pipeline.storage.workspace import Workspace
from schemas.videos import VIDEOS, VideoRow
from tests.helpers.media import minute_of_720p, repeated

ROUNDS = 3
LIMIT = 0.9
TOGETHER_LIMIT, PASSES_LIMIT = 1.3, 0.75


def cut(root: str, collection: Path, names: tuple[str, ...]) -> tuple[Workspace, float]:
    """Cut the collection by the clip specs; return the workspace and the CPU seconds."""
    workspace = Workspace(root)
    plan_parts(workspace, list_videos(str(collection)), CollectingConfig())
    before = cpu_s()
    shard = ShardPart(workspace, {name: getattr(ClipSpecs(), name) for name in names}, ShardingConfig())
    for part in workspace.parts("collection"):
        shard(part)
    return workspace, cpu_s() - before


def decode(videos: list[VideoRow]) -> float:
    """Decode each video to nothing; return the CPU seconds."""
    before = cpu_s()
    for video in videos:
        command = [ffmpeg_path(), "-v", "error", "-threads", "1", "-i", video["uri"], "-f", "null", "-"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return cpu_s() - before


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            collection = Path(sys.argv[1])
        else:
            collection = repeated(minute_of_720p(Path(folder)), 10, Path(folder) / "videos" / "ten_minutes.mp4").parent
        rounds = []
        for number in range(ROUNDS):
            workspace, ours = cut(f"{folder}/alone_{number}", collection, (BASE,))
            rows = workspace.read_all("videos/base", VIDEOS).to_pylist()
            kept = [row for row in rows if row["num_clips"]]
            plain = decode(kept)
            _, together = cut(f"{folder}/together_{number}", collection, (BASE, "events"))
            _, later = cut(f"{folder}/later_{number}", collection, ("events",))
            rounds.append((ours, ours / plain, together / ours, together / (ours + later)))
        ours, of_plain, of_ours, of_passes = map(statistics.median, zip(*rounds, strict=True))
    seconds = sum(row["duration_s"] for row in kept)
    clips = sum(row["num_clips"] for row in kept)
    print(f"{len(kept)} of {len(rows)} videos, {seconds:.0f} s, {clips} clips")
    print(f"cutting base: {ours:.1f} CPU s, {of_plain:.2f} of plain decoding (limit {LIMIT})")
    print(
        f"base and events together: {of_ours:.2f} of base alone (limit {TOGETHER_LIMIT}), {of_passes:.2f} of two "
        f"passes (limit {PASSES_LIMIT})"
    )


if __name__ == "__main__":
    main()
