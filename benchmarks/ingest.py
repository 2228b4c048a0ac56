"""AVE's published features, generated: bytes ingested per second over reading the rows with h5py alone; peak memory.

Usage: python -m benchmarks.ingest

The files have the published layout: 400 rows of 10 x 7 x 7 x 512 and 10 x 128 in double precision, 805 MB. Reading and
ingesting (the whole command: all checks, half floats, tars on the disk) take turns, and before each the files are taken
out of the page cache, as 8 GB would be; the ratio is that of the medians. Then both once more from the page cache.
Memory is the peak of a process of its own, Python and torch included: of the library, and of the command, which also
imports the settings of every stage. Limits: 0.5 times from the disk; 400 MB for the library, as much with 1 600 rows.
"""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from tests.helpers.ave import write_ave

ROUNDS = 3
MIN_RATIO, LIMIT_MB = 0.5, 400
ARRAYS = ("visual_feature.h5", "audio_feature.h5")


def write_published(folder: Path, num_rows: int) -> int:
    """Write a set of the published layout; return the bytes of its features."""
    lines = [
        f"Category {number % 28}&video_{number:05d}&good&{number % 5}&{5 + number % 6}" for number in range(num_rows)
    ]
    rng, drawn = np.random.default_rng(0), {}

    def row(number: int, shape: tuple[int, ...]) -> np.ndarray:
        if shape not in drawn:
            drawn[shape] = np.maximum(rng.normal(size=shape), 0)  # as after a ReLU
        return drawn[shape] * (1 + number % 7)

    last = num_rows // 10
    orders = {"train": range(2 * last, num_rows), "val": range(last), "test": range(last, 2 * last)}
    write_ave(folder, lines, orders, (7, 7, 512), 128, row)
    return sum((folder / name).stat().st_size for name in ARRAYS)


def read_rows(folder: Path) -> None:
    """Every row of both files, one after the other."""
    for name in ARRAYS:
        with h5py.File(folder / name) as file:
            data = file["avadataset"]
            for number in range(len(data)):
                data[number]


def ingest(folder: Path, root: Path) -> None:
    """The command, silent."""
    from jobs.cli import main as earshot

    with contextlib.redirect_stdout(io.StringIO()):
        if earshot(["-q", "ingest", "ave", str(folder), "--root", str(root)]):
            raise SystemExit("earshot ingest failed")


def forget(folder: Path) -> None:
    """Take the files out of the page cache."""
    for name in ARRAYS:
        handle = os.open(folder / name, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def seconds(work: Callable[[], None]) -> float:
    """Wall time."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_mb(folder: Path, root: Path, how: str) -> float:
    """Resident memory of a process of its own that ingests, at its most."""
    command = [sys.executable, "-m", "benchmarks.ingest", how, str(folder), str(root)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.split()[-1])


def measured(how: str, folder: Path, root: Path) -> None:
    """Ingest in this process, by the library alone or by the command, and print its peak."""
    if how == "command":
        ingest(folder, root)
    else:
        ingest_without_session(folder, root)
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(line.split()[1]) * 1024 / 1e6)


def ingest_without_session(folder: Path, root: Path) -> None:
    """What the command does, less the settings of all stages, which every command reads."""
    from pipeline.ingest.ave_features import STAGE, AveFeatures, commit
    from pipeline.storage.workspace import Workspace

    workspace, found = Workspace(str(root)), AveFeatures(folder)
    with tempfile.TemporaryDirectory() as parts:
        staged = list(found.stage(Path(parts)))
        workspace.begin(STAGE, found.settings(), {})
        for part in staged:
            commit(workspace, part)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_ave(folder / "small")
        ingest(folder / "small", folder / "root_small")  # imports
        num_bytes = write_published(folder / "400", 400)
        for is_cold in (True, False):
            reading, ingesting = [], []
            for number in range(ROUNDS):
                for found, work in (
                    (reading, lambda: read_rows(folder / "400")),
                    (
                        ingesting,
                        lambda number=number, is_cold=is_cold: ingest(folder / "400", folder / f"r{number}{is_cold}"),
                    ),
                ):
                    if is_cold:
                        forget(folder / "400")
                    found.append(seconds(work))
            rates = [num_bytes / 1e6 / statistics.median(found) for found in (reading, ingesting)]
            where = "disk" if is_cold else "page cache"
            limit = f" (limit {MIN_RATIO})" if is_cold else ""
            print(
                f"400 rows from the {where}: reading {rates[0]:.0f} MB/s, ingesting {rates[1]:.0f} MB/s: "
                f"{rates[1] / rates[0]:.2f}{limit}",
                flush=True,
            )
        write_published(folder / "1600", 1600)
        for how, limit in (("library", f" (limit {LIMIT_MB})"), ("command", "")):
            peaks = [peak_mb(folder / rows, folder / f"{how}_{rows}", how) for rows in ("400", "1600")]
            print(f"peak memory, {how}: {peaks[0]:.0f} MB of 400 rows, {peaks[1]:.0f} MB of 1 600{limit}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        measured(sys.argv[1], *map(Path, sys.argv[2:]))
    else:
        main()
