"""AVSBench, generated: frames ingested per second over reading the files with pillow and soundfile alone.

Usage: python -m benchmarks.ingest_masks

60 test videos of S4 as they are published: five frames of 224x224, five masks and a wav each. The plain loop reads
every file to pixels and samples, and keeps nothing. Ingesting is the whole command: lists, checks, statistics, JPEG,
FLAC and PNG, tars on the disk. Both take turns, from the page cache; the ratio is that of the medians. Limit: 0.25.
"""

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from pipeline.storage.workspace import Workspace
from schemas.masks import MASKS
from tests.helpers.avsbench_trees import Video, write_s4

NUM_VIDEOS, ROUNDS, MIN_RATIO = 60, 3, 0.25


def read_files(folder: Path) -> int:
    """Every frame, mask and wav, one after the other; return the pixels that sound."""
    area = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".wav":
            soundfile.read(path, dtype="float32")
        elif path.suffix == ".png":
            with Image.open(path) as picture:
                if "gt_masks" in path.parts:
                    area += int((np.asarray(picture.convert("L")) > 127).sum())
                else:
                    np.asarray(picture.convert("RGB"))
    return area


def ingest(folder: Path, root: Path) -> int:
    """The command, silent; return the pixels that sound."""
    from jobs.cli import main as earshot

    with contextlib.redirect_stdout(io.StringIO()):
        if earshot(["-q", "ingest", "avsbench-s4", str(folder), "--root", str(root)]):
            raise SystemExit("earshot ingest failed")
    return sum(Workspace(str(root)).read_all("masks", MASKS, ["area"])["area"].to_pylist())


def seconds(work: Callable[[], int]) -> tuple[float, int]:
    """Wall time, and what the work gave."""
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        ingest(write_s4(base / "small", [Video("a")]), base / "root_small")  # imports
        folder = write_s4(base / "tree", [Video(f"v{number}", "test", seed=number) for number in range(NUM_VIDEOS)])
        taken: dict[str, list[float]] = {"reading": [], "ingesting": []}
        for number in range(ROUNDS):
            read_s, area = seconds(lambda: read_files(folder))
            ingest_s, stored = seconds(lambda number=number: ingest(folder, base / f"root{number}"))
            if area != stored:
                raise SystemExit(f"masks of {stored} pixels were stored, expected {area}")
            taken["reading"].append(read_s)
            taken["ingesting"].append(ingest_s)
        reading, ingesting = (5 * NUM_VIDEOS / statistics.median(found) for found in taken.values())
        print(
            f"{NUM_VIDEOS} videos of 5 frames: reading {reading:.0f} frames/s, ingesting {ingesting:.0f} frames/s: "
            f"{ingesting / reading:.2f} (limit {MIN_RATIO})"
        )


if __name__ == "__main__":
    main()
