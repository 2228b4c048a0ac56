"""Taking 100 videos down from 200 k: which tars are opened, seconds and memory.

    python -m benchmarks.takedown [PARTS]

Makes a root of 2 500 parts of 80 videos with rows of 36 clips each (collection, videos, clips, scores, selections and
imported columns) and tars of a few bytes a clip, of one clip a video. Then `earshot takedown` runs in this process, and
every tar that Python opens is counted. Limit: none is opened that holds none of the videos.
"""

import concurrent.futures
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.cli import main as earshot
from pipeline.clips.tars import TarWriter
from pipeline.outside.imported_types import schema_of
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.videos import COLLECTION, VIDEOS
from tests.helpers.takedown_roots import row

VIDEOS_PER_PART, CLIPS_PER_VIDEO, NUM_TAKEN = 80, 36, 100
STAGES = ("clips/base", "scores/c", "selections/default", "imported/peav")
PEAV = {"similarity": "DOUBLE"}


def generate(root: str, number: int) -> None:
    """One part of each table, and its tar."""
    workspace, part = Workspace(root), f"{number:05d}"
    names = [video_id(number * VIDEOS_PER_PART + place) for place in range(VIDEOS_PER_PART)]
    listed = [row(COLLECTION, video_id=name, uri=f"/videos/{name}.mp4") for name in names]
    workspace.commit("collection", part, from_rows(listed, COLLECTION, part), COLLECTION)
    cut = [row(VIDEOS, video_id=name, uri=f"/videos/{name}.mp4", part=part, content_hash=name) for name in names]
    cut = [video | {"outcome": "kept", "num_clips": CLIPS_PER_VIDEO} for video in cut]
    workspace.commit("videos/base", part, from_rows(cut, VIDEOS, part), VIDEOS)
    places: dict[str, tuple[int, int]] = {}
    with files.building(workspace.tar_uri("clips/base", part)) as path, TarWriter(path) as tar:
        for name in names:
            clip, facts = f"{name}_00000000", json.dumps({"video_id": name}).encode()
            places[clip] = tar.add(clip, {"flac": f"sound of {name}".encode(), "json": facts})
    ids = [f"{name}_{start:05d}000" for name in names for start in range(CLIPS_PER_VIDEO)]
    columns: dict[str, Any] = {
        "clip_id": ids,
        "video_id": np.repeat(names, CLIPS_PER_VIDEO),
        "part": [part] * len(ids),
        "outcome": ["kept" if name in places else "silent" for name in ids],
        "tar_offset": [places[name][0] if name in places else None for name in ids],
        "tar_bytes": [places[name][1] if name in places else None for name in ids],
        "score": np.full(len(ids), 0.5, np.float32),
        "kept": [name in places for name in ids],
        "reason": ["kept" if name in places else "not_cut:silent" for name in ids],
        "split": ["train"] * len(ids),
        "similarity": np.zeros(len(ids)),
    }
    own = schema_of("peav", PEAV)
    for partition, schema in zip(STAGES, (CLIPS, SCORES, SELECTIONS, own), strict=True):
        filled = {field.name: _column(field, columns, len(ids)) for field in schema}
        workspace.commit(partition, part, pa.table(filled).cast(schema), schema)


def video_id(number: int) -> str:
    return f"video_{number:07d}-0123456789ab"


def _column(field: pa.Field, columns: dict[str, Any], count: int) -> pa.Array:
    if field.name in columns:
        return pa.array(columns[field.name]).cast(field.type)
    if field.nullable:
        return pa.nulls(count, field.type)
    return pa.array(np.zeros(count)).cast(field.type)


def main() -> None:
    num_parts = int(sys.argv[1]) if len(sys.argv) > 1 else 2500
    opened: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="earshot-takedown-") as folder:
        workspace = Workspace(str(Path(folder) / "root"))
        with concurrent.futures.ProcessPoolExecutor() as pool:
            list(pool.map(generate, [workspace.root] * num_parts, range(num_parts), chunksize=10))
        for stage in STAGES:
            workspace.begin(stage, {"spec": "base", "columns": PEAV} if stage.startswith("imported") else {}, {})
            workspace.finish(stage)
        files.commit_bytes(workspace.uri("earshot.json"), b"{}")
        rng = np.random.default_rng(0)
        numbers = rng.choice(num_parts * VIDEOS_PER_PART, NUM_TAKEN, replace=False).tolist()
        asked = Path(folder) / "asked.txt"
        asked.write_text("".join(f"{video_id(number)}\n" for number in numbers))
        holding = {workspace.tar_uri("clips/base", f"{number // VIDEOS_PER_PART:05d}") for number in numbers}

        def note(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and str(arguments[0]).endswith(".tar"):
                opened.add(str(arguments[0]))

        sys.addaudithook(note)
        began, used = time.monotonic(), time.process_time()
        code = earshot(["-q", "takedown", "--root", workspace.root, "--videos", str(asked), "--reason", "a benchmark"])
        wall_s, cpu_s = time.monotonic() - began, time.process_time() - used
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            f"{NUM_TAKEN} of {num_parts * VIDEOS_PER_PART:,} videos: {wall_s:.0f} s, {cpu_s:.0f} s of CPU, "
            f"{peak_bytes / 1e9:.2f} GB; {len(opened)} of {num_parts} tars opened, {len(opened - holding)} of them "
            f"hold none of the videos (limit 0), {len(holding - opened)} that do were left"
        )
    sys.exit(code or opened != holding)


if __name__ == "__main__":
    main()
