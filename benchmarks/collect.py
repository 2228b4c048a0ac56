"""Seconds and memory of planning 200 k videos, and of planning 1 000 more, each over its limit.

Usage: python benchmarks/collect.py [NUM_VIDEOS]

The collection is a generated table in a temporary folder; nothing is cut. Each plan runs in a process of its own, so
the peak is its own.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT_S = 60.0
LIMIT_BYTES = 1e9
CHILD = """
import json, resource, sys, time
from pipeline.storage.workspace import Workspace
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos

begin = time.perf_counter()
planned = plan_parts(Workspace(sys.argv[1]), list_videos(sys.argv[2]), CollectingConfig())
peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([planned.num_new, time.perf_counter() - begin, peak_bytes]))
"""


def main() -> None:
    num_videos = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "collection.csv"
        for count in (num_videos, num_videos + 1000):
            with table.open("w") as file:
                file.write("uri,license,author\n")
                for i in range(count):
                    file.write(f"s3://bucket/videos/{i % 1000:03d}/video_{i:07d}.mp4,CC BY 4.0,author {i % 5000}\n")
            command = [sys.executable, "-c", CHILD, f"{folder}/workspace", str(table)]
            num_new, wall_s, peak_bytes = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            print(
                f"{num_new} new of {count} videos: {wall_s:.1f} s, ratio {wall_s / LIMIT_S:.2f} (limit 1); "
                f"{peak_bytes / 1e6:.0f} MB, ratio {peak_bytes / LIMIT_BYTES:.2f} (limit 1)"
            )


if __name__ == "__main__":
    main()
