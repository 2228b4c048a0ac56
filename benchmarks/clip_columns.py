"""CPU seconds of cutting with what is measured of each clip, over those of cutting without: speech, the file's own
channels, noise, sharpness and bars; and with cuts counted beside.

Usage: python -m benchmarks.clip_columns [FOLDER]

Default: a minute of generated 720p. ROUNDS rounds, in each all ways one after the other, since a machine's speed
drifts; the medians of the ratios are shown. Without is the same code with stand-ins that measure nothing and
ask ffmpeg for nothing, in this process and its children alone. BLAS has one thread, as in a worker of one CPU: others
would spin while they wait, and double what is measured.
"""

import contextlib
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips import pictures, sharding
from pipeline.clips import statistics as levels
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.statistics import Look
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.estimate.usage import cpu_s
from pipeline.storage.workspace import Workspace
from tests.helpers.media import minute_of_720p

ROUNDS, LIMIT = 3, 1.05
NOTHING = np.zeros(1, np.uint8)


class Unmeasured:
    """In place of `Meters`."""

    add = None

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz

    def add_sound(self, chunk: np.ndarray) -> None: ...

    def drop_before(self, start_s: float) -> None: ...

    def finish(self) -> None: ...

    def is_known(self, end_s: float, with_shots: bool) -> bool:
        return True

    def levels(self, start_s: float, end_s: float) -> dict[str, Any]:
        return {}


def glance(pixels: np.ndarray) -> Look:
    """In place of `look_at`: what brightness and motion need."""
    return Look(pixels[::4, ::4].mean(axis=2, dtype=np.float32) / 255, 0.0, NOTHING, NOTHING, False)


def cut(root: str, collection: Path, spec: ClipSpec) -> float:
    """Cut the collection; return the CPU seconds."""
    workspace = Workspace(root)
    plan_parts(workspace, list_videos(str(collection)), CollectingConfig())
    before = cpu_s()
    for part in workspace.parts("collection"):
        sharding.ShardPart(workspace, {BASE: spec}, ShardingConfig())(part)
    return cpu_s() - before


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "videos").mkdir()
        collection = Path(sys.argv[1]) if len(sys.argv) > 1 else minute_of_720p(Path(folder) / "videos").parent
        cut(f"{folder}/cold", collection, ClipSpec())  # what is imported and read for the first time is no part of it
        rounds = []
        for number in range(ROUNDS):
            stand_ins = (
                patch.object(sharding, "Meters", Unmeasured),
                patch.object(pictures, "look_at", glance),
                patch.object(levels, "_snr", lambda powers: 0.0),
            )
            with contextlib.ExitStack() as stack:
                for stand_in in stand_ins:
                    stack.enter_context(stand_in)
                without = cut(f"{folder}/without_{number}", collection, ClipSpec())
            measured = cut(f"{folder}/with_{number}", collection, ClipSpec())
            counted = cut(f"{folder}/cuts_{number}", collection, ClipSpec(at_cuts="count"))
            rounds.append((without, measured / without, counted / without))
            print(f"round {number}: {without:.2f} CPU s, {rounds[-1][1]:.3f} and {rounds[-1][2]:.3f}", flush=True)
    without, of_measured, of_counted = map(statistics.median, zip(*rounds, strict=True))
    print(
        f"cutting: {without:.2f} CPU s; with what is measured {of_measured:.3f} (limit {LIMIT}), cuts {of_counted:.3f}"
    )


if __name__ == "__main__":
    if "OMP_NUM_THREADS" not in os.environ:  # is read where numpy is imported
        command = [sys.executable, "-m", "benchmarks.clip_columns", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | {"OMP_NUM_THREADS": "1"})
    main()
