"""`earshot query` over 10 million generated rows of `examples`: time and memory of a summary, and of a small answer.

    python -m benchmarks.query [MILLIONS]

Limits: a summary by model and set under 5 s and 1 GB, and at most 1.2 s of CPU before a small answer's first row. The
peer is DuckDB's own Python on the same files: the same SELECT over read_parquet with its hive partitions.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace
from schemas.reports import EXAMPLES

ROWS_A_PART = 500_000
NUM_MODELS = 4
SETS = ("on_mom", "off_mom", "on_single", "off_single")
SUMMARY = (
    "SELECT model, eval_set, count(*) AS n, median(si_snr_db) AS si_snr_db, median(osr_db) AS osr_db, "
    "avg(is_answered::INT) AS answered FROM {examples} GROUP BY 1, 2 ORDER BY 1, 2"
)
SMALL = "SELECT * FROM {examples} WHERE model = 'm0' LIMIT 3"
MAX_SUMMARY_S, MAX_SUMMARY_BYTES, MAX_FIRST_ROW_CPU_S = 5.0, 1e9, 1.2


def make_rows(part: int) -> pa.Table:
    """ROWS_A_PART examples: every column of the schema, with numbers of a spread that does not compress away."""
    rng, columns = np.random.default_rng(part), {}
    for item in EXAMPLES:
        if item.name == "eval_set":
            values = pa.array(rng.choice(SETS, ROWS_A_PART))
        elif item.name == "example_id":
            values = pa.array([f"e-{part:03d}-{row:06d}" for row in range(ROWS_A_PART)])
        elif item.name == "video_id":
            values = pa.array([f"v{number:06d}" for number in rng.integers(0, 200_000, ROWS_A_PART)])
        elif pa.types.is_boolean(item.type):
            values = pa.array(rng.random(ROWS_A_PART) < 0.5)
        elif pa.types.is_integer(item.type):
            values = pa.array(rng.integers(1, 4, ROWS_A_PART), item.type)
        else:
            values = pa.array(rng.normal(5, 8, ROWS_A_PART), item.type)
        columns[item.name] = values
    return pa.table(columns, schema=EXAMPLES)


def measure(command: list[str]) -> tuple[float, float, int, str]:
    """Wall time, CPU time and peak memory of a process, and what it printed."""
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    text = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert not child.returncode, command
    cpu_s = used.ru_utime + used.ru_stime
    return time.monotonic() - began, cpu_s, used.ru_maxrss * 1024, text


def main() -> None:
    """Print each figure beside its limit; exit code 1 if one is missed."""
    millions = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory(prefix="earshot-query-bench-") as folder:
        workspace = Workspace(str(Path(folder) / "root"))
        files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
        for part in range(round(millions * 1e6 / ROWS_A_PART)):
            target = Path(workspace.root) / "tables" / "examples" / f"model=m{part % NUM_MODELS}" / "mixtures=top"
            target.mkdir(parents=True, exist_ok=True)
            pq.write_table(make_rows(part), target / f"{part:05d}.parquet")
        earshot = [sys.executable, "-m", "jobs.cli", "query", "--root", workspace.root, "--format", "json"]
        plain = f"read_parquet('{workspace.root}/tables/examples/*/*/*.parquet', hive_partitioning = true)"
        peer = "import sys, duckdb, json; print(json.dumps(duckdb.sql(sys.argv[1]).to_arrow_table().to_pylist()))"
        missed = []
        for name, sql in (("summary", SUMMARY), ("3 rows", SMALL)):
            wall_s, cpu_s, peak_bytes, text = measure([*earshot, sql.format(examples="examples")])
            of_peer = measure([sys.executable, "-c", peer, sql.format(examples=plain)])
            print(
                f"{name} of {millions:g} million: {wall_s:.2f} s, {cpu_s:.2f} s of CPU, {peak_bytes / 1e6:.0f} MB; "
                f"DuckDB alone {of_peer[0]:.2f} s, {of_peer[1]:.2f} s of CPU, {of_peer[2] / 1e6:.0f} MB"
            )
            if name == "summary":
                assert [row["n"] for row in json.loads(text)] == [row["n"] for row in json.loads(of_peer[3])]
                missed += [wall_s > MAX_SUMMARY_S, peak_bytes > MAX_SUMMARY_BYTES]
            else:
                missed += [cpu_s > MAX_FIRST_ROW_CPU_S]
    sys.exit(any(missed))


if __name__ == "__main__":
    main()
