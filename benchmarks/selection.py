"""Selecting the best 36 000 of 7.2 M clips with a cap per video and splits: seconds and memory against their limits.

Run: python benchmarks/selection.py [parts, 2500] [folder]. Makes clips/, videos/ and scores/ of that many parts with
80 videos of 36 clips each (embeddings of 8 dimensions: a selection reads none), then runs what `earshot filter` runs,
on this machine's cores. Memory is the proportional share (PSS) of the command and of Ray's workers; beside it, that of
Ray's own processes. (Not `select.py`: a script's folder comes first on the path, and would hide Python's own module.)
"""

import concurrent.futures
import dataclasses
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from jobs.console.pipeline_config import PipelineConfig
from jobs.console.session import Session
from jobs.filter import select
from pipeline.selection.filtering import FilteringConfig
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.scores import SCORES
from schemas.videos import VIDEOS

VIDEOS_PER_PART, CLIPS_PER_VIDEO = 80, 36
KEPT, CAP = 36_000, 5
LIMIT_S, LIMIT_GIB = 60, 2.0


def main() -> None:
    num_parts = int(sys.argv[1]) if len(sys.argv) > 1 else 2500
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        workspace = Workspace(folder)
        began = time.perf_counter()
        with concurrent.futures.ProcessPoolExecutor() as pool:
            list(pool.map(generate, [folder] * num_parts, range(num_parts), chunksize=10))
        for name in ("clips/base", "scores/m"):
            workspace.begin(name, {}, {})
        num_clips = num_parts * VIDEOS_PER_PART * CLIPS_PER_VIDEO
        print(f"generated {num_clips} clips in {time.perf_counter() - began:.0f} s", flush=True)
        filtering = FilteringConfig(top_clips=KEPT, max_clips_per_video=CAP)
        session = Session(workspace, dataclasses.replace(PipelineConfig(), filtering=filtering), 0)
        memory = MemoryBank()
        memory.start()
        began, before_s = time.perf_counter(), cpu_s(os.getpid())
        select(session, "best", "m")
        seconds, used_s = time.perf_counter() - began, cpu_s(os.getpid()) - before_s
        used_s += sum(cpu_s(pid) for pid in descendants(os.getpid()))
        memory.stop()
        kept = workspace.stage("selections/best")["reasons"]["kept"]
    print(
        f"kept {kept} of {num_clips} clips: {seconds:.1f} s (limit {LIMIT_S}), {used_s:.0f} CPU s, Ray's own included"
    )
    ours = (memory.driver_bytes + memory.workers_bytes) / 2**30
    print(
        f"peak of driver {memory.driver_bytes / 2**30:.2f} GiB, of all workers {memory.workers_bytes / 2**30:.2f} GiB: "
        f"together at most {ours:.2f} (limit {LIMIT_GIB}); Ray's own processes {memory.ray_bytes / 2**30:.2f} GiB"
    )


def generate(root: str, number: int) -> None:
    """One part of each table."""
    workspace, part, rng = Workspace(root), f"{number:05d}", np.random.default_rng([1, number])
    names = [f"video_{number * VIDEOS_PER_PART + i:07d}-0123456789ab" for i in range(VIDEOS_PER_PART)]
    count = VIDEOS_PER_PART * CLIPS_PER_VIDEO
    starts = np.tile(np.arange(CLIPS_PER_VIDEO), VIDEOS_PER_PART)
    ids = {
        "clip_id": [f"{name}_{start:05d}000" for name in names for start in range(CLIPS_PER_VIDEO)],
        "video_id": np.repeat(names, CLIPS_PER_VIDEO),
    }
    clips = {
        "start_s": starts.astype(float),
        "duration_s": np.full(count, 5.0),
        "part": [part] * count,
        "tar_offset": np.arange(count) * 109_000,
        "tar_bytes": np.full(count, 109_000),
        "num_frames": np.full(count, 5, np.int32),
        "outcome": np.where(rng.random(count) < 0.05, "silent", "kept"),
    }
    measures = {name: rng.random(count) for name in CLIPS.names if name not in ids | clips}
    workspace.commit("clips/base", part, pa.table(ids | clips | measures, schema=CLIPS), CLIPS)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rng.random(count * 8).astype(np.float32)), 8)
    scores = {"score": rng.random(count).astype(np.float32)}
    scores |= {f"{side}_embedding": vectors.cast(pa.list_(pa.float32())) for side in ("audio", "visual")}
    scored = pa.table(ids | scores, schema=SCORES).filter(pa.array(clips["outcome"] == "kept"))
    workspace.commit("scores/m", part, scored, SCORES)
    facts = {"part": part, "rights": "unknown", "num_clips": CLIPS_PER_VIDEO, "outcome": "kept"}
    rows = [facts | {"video_id": name, "uri": f"s3://videos/{name}.mp4"} for name in names]
    workspace.commit("videos/base", part, from_rows(rows, VIDEOS, part), VIDEOS)


class MemoryBank(threading.Thread):
    """The largest proportional memory of this process, of Ray's workers, and of what else Ray starts."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.driver_bytes = self.workers_bytes = self.ray_bytes = 0
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(0.5):
            workers = ray = 0
            for pid in descendants(os.getpid()):
                is_worker = b"ray::" in read(f"/proc/{pid}/cmdline")
                workers, ray = workers + is_worker * pss_bytes(pid), ray + (not is_worker) * pss_bytes(pid)
            self.driver_bytes = max(self.driver_bytes, pss_bytes(os.getpid()))
            self.workers_bytes, self.ray_bytes = max(self.workers_bytes, workers), max(self.ray_bytes, ray)

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def descendants(pid: int) -> list[int]:
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            fields = read(f"/proc/{path.name}/stat").rpartition(b")")[2].split()
            if fields:
                parents[int(path.name)] = int(fields[1])
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found[1:]


def cpu_s(pid: int) -> float:
    """CPU time that a process has used."""
    fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def pss_bytes(pid: int) -> int:
    lines = [line.split() for line in read(f"/proc/{pid}/smaps_rollup").splitlines() if line.startswith(b"Pss:")]
    return int(lines[0][1]) * 1024 if lines else 0


def read(path: str) -> bytes:
    """A file of /proc; empty when its process has ended."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    main()
