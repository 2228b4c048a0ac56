"""`earshot import` of 7.2 million rows of eight columns, one for each clip of a generated root of 2 500 parts.

    python -m benchmarks.import_columns [MILLIONS]

Limits: 90 s and 1.5 GB.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS

CLIPS_OF_PART, BATCH_PARTS = 2880, 100
MAX_S, MAX_BYTES = 90.0, 1.5e9


def make_part(workspace: Workspace, part: int) -> pa.Array:
    """Commit one part of kept clips; return their ids."""
    name = f"{part:05d}"
    ids = pa.array([f"v{part:05d}x{row // 36:03d}_{row % 36 * 1000:08d}" for row in range(CLIPS_OF_PART)])
    columns = {
        "clip_id": ids,
        "video_id": pa.array([f"v{part:05d}x{row // 36:03d}" for row in range(CLIPS_OF_PART)]),
        "start_s": pa.array(np.arange(CLIPS_OF_PART) % 36, pa.float64()),
        "duration_s": pa.array(np.full(CLIPS_OF_PART, 5.0)),
        "part": pa.array([name] * CLIPS_OF_PART),
        "num_frames": pa.array(np.full(CLIPS_OF_PART, 5), pa.int32()),
        "outcome": pa.array(["kept"] * CLIPS_OF_PART),
    }
    rows = pa.table({item.name: columns.get(item.name, pa.nulls(CLIPS_OF_PART, item.type)) for item in CLIPS})
    workspace.commit("clips/base", name, rows.cast(CLIPS), CLIPS)
    return ids


def main() -> None:
    """Print time and memory beside their limits; exit code 1 if one is missed."""
    num_parts = round((float(sys.argv[1]) if len(sys.argv) > 1 else 7.2) * 1e6 / CLIPS_OF_PART)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="earshot-import-bench-") as folder:
        workspace, file = Workspace(str(Path(folder) / "root")), Path(folder) / "peav.parquet"
        schema = pa.schema([("clip_id", pa.string()), *((f"x{i}", pa.float64()) for i in range(8))])
        with pq.ParquetWriter(file, schema) as writer:
            for first in range(0, num_parts, BATCH_PARTS):
                ids = [make_part(workspace, part) for part in range(first, min(first + BATCH_PARTS, num_parts))]
                order = rng.permutation(len(ids) * CLIPS_OF_PART)  # other tools work in an order of their own
                keys = pa.concat_arrays(ids).take(pa.array(order))
                values = [pa.array(rng.normal(size=len(order))) for _ in range(8)]
                writer.write_table(pa.table([keys, *values], schema=schema))
        workspace.begin("clips/base", {}, {})
        began = time.monotonic()
        command = [sys.executable, "-m", "jobs.cli", "-q", "import", "--root", workspace.root, "--name", "peav", file]
        child = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        wall_s, peak_bytes = time.monotonic() - began, used.ru_maxrss * 1024
        assert os.waitstatus_to_exitcode(status) == 0
        assert len(workspace.parts("imported/peav")) == num_parts
        print(
            f"{num_parts * CLIPS_OF_PART:,} rows of 8 columns: {wall_s:.0f} s (limit {MAX_S:g}), "
            f"{used.ru_utime + used.ru_stime:.0f} s of CPU, {peak_bytes / 1e9:.2f} GB (limit {MAX_BYTES / 1e9:g})"
        )
    sys.exit(wall_s > MAX_S or peak_bytes > MAX_BYTES)


if __name__ == "__main__":
    main()
