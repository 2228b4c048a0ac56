"""Peak memory of the driver of `earshot shard` over the number of clips: flat from 10^4 to 10^6.

Usage: python -m benchmarks.driver

Everything is as in the command (planning, Ray, progress, costs, the final count of every row) but the cutting: workers
write the tables and a sparse tar of the right size that cutting would write. Each size gets a new process.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cluster.resources import SHARDING
from jobs.console.session import open_session
from jobs.console.shard_notes import format_cutting
from pipeline.clips.reconciling import reconcile
from pipeline.collection.collecting import plan_parts
from pipeline.collection.listing import list_videos
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.videos import COLLECTION, VIDEOS

CLIPS_PER_VIDEO = 36  # of a video of 40 s
SAMPLE_BYTES, RECORD_BYTES = 110 * 1024, 10240


class PretendToCut:
    """Writes what a part's cutting would write, without any media."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __call__(self, part: str) -> dict[str, float]:
        videos, clips = [], []
        for video in self._workspace.read(COLLECTION_FOLDER, part, COLLECTION).to_pylist():
            known = {name: video[name] for name in ("video_id", "uri")}
            facts = {
                "part": part,
                "duration_s": 40.0,
                "rights": "unknown",
                "num_clips": CLIPS_PER_VIDEO,
                "outcome": "kept",
            }
            videos.append(known | facts)
            for index in range(CLIPS_PER_VIDEO):
                row = {"clip_id": f"{video['video_id']}_{1000 * index:08d}", "video_id": video["video_id"]}
                place = {"tar_offset": len(clips) * SAMPLE_BYTES, "tar_bytes": SAMPLE_BYTES}
                span = {"start_s": float(index), "duration_s": 5.0, "num_frames": 5, "outcome": "kept"}
                clips.append(row | place | span | {"part": part})
        with files.building(self._workspace.tar_uri(CLIPS_FOLDER, part)) as path, path.open("wb") as file:
            file.truncate(-(-(len(clips) * SAMPLE_BYTES + 1024) // RECORD_BYTES) * RECORD_BYTES)
        self._workspace.commit(CLIPS_FOLDER, part, from_rows(clips, CLIPS, part), CLIPS)
        self._workspace.commit(VIDEOS_FOLDER, part, from_rows(videos, VIDEOS, part), VIDEOS)
        return {"video_s": 40.0 * len(videos), "videos kept": len(videos), "clips kept": len(clips)}


def drive(root: str, collection: str) -> None:
    session = open_session(root, settings=["collecting.videos_per_part=80"])
    plan_parts(session.workspace, list_videos(collection), session.config.collecting)
    parts = session.workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER)
    began = time.monotonic()
    session.map("shard", PretendToCut(session.workspace), parts, SHARDING, note=format_cutting)
    cut_s, began = time.monotonic() - began, time.monotonic()
    totals = reconcile(session.workspace)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(
        f"{totals.num_clips} clips in {len(parts)} parts: driver's peak {peak_mb:.0f} MB; pretended to cut in "
        f"{cut_s:.0f} s, counted in {time.monotonic() - began:.1f} s",
        flush=True,
    )


def main() -> None:
    if len(sys.argv) == 3:
        drive(sys.argv[1], sys.argv[2])
        return
    for num_clips in (10_000, 100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "list.csv"
            names = (f"videos/{index:07d}.mp4" for index in range(num_clips // CLIPS_PER_VIDEO))
            table.write_text("\n".join(["uri", *names]) + "\n")
            subprocess.run([sys.executable, "-m", "benchmarks.driver", f"{folder}/root", str(table)], check=True)


if __name__ == "__main__":
    main()
