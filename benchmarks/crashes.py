"""Bytes of a collection cut through crashes, over those of an undisturbed run: equal or not, for each crash.

Usage: python -m benchmarks.crashes [--runs 25] [--seed 0] [--root s3://bucket/prefix]

24 short videos in 12 parts are cut by `earshot shard`. In each run SIGKILL goes to the driver, to a worker or to Ray's
raylet at a random moment, from the command's start to the last part; then the same command is given until it ends well.
Compared is the sha256 over all files of collection/, clips/ and videos/. Linux only: processes are found in /proc.
"""

import argparse
import hashlib
import itertools
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks._media import ffmpeg
from pipeline.storage import files
from pipeline.storage.workspace import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER, Workspace

PROJECT = Path(__file__).parent.parent
NUM_VIDEOS = 24
SETTINGS = (
    "collecting.videos_per_part=2",
    "clips.base.clip_s=2",
    "clips.base.frame_height=32",
    "clips.base.frame_width=32",
)
# How the command line of each begins, in /proc.
VICTIMS = {"worker": b"ray::_run", "raylet": b"raylet"}
MAX_TRIES = 3
LONGEST_DELAY_S = 0.5  # about as long as a part takes
LIMIT_S = 300.0  # a command that takes longer hangs


class Kill(NamedTuple):
    """SIGKILL to a driver, worker or raylet, so long after this many parts were finished."""

    victim: str
    after_parts: int
    delay_s: float = 0.0


class Crash(NamedTuple):
    """What came of a command that was disturbed."""

    exit_code: int
    killed: list[tuple[float, int]]
    """Seconds since its start and parts finished, for each kill that found its victim before the command had ended."""
    took_s: float
    stderr: str

    @property
    def end_s(self) -> float:
        """From the last kill to the command's end."""
        return self.took_s - self.killed[-1][0]


def make_videos(folder: Path, num_videos: int = NUM_VIDEOS) -> None:
    """Videos of 4, 5 and 6 s, no two alike."""
    folder.mkdir(parents=True)
    for index in range(num_videos):
        length = 4 + index % 3
        picture, sound = f"testsrc2=s=96x64:r=10:d={length}", f"sine=frequency={200 + 20 * index}:d={length}"
        codecs = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")
        ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *codecs, folder / f"{index:02d}.mp4")


def shard(collection: Path, root: str) -> list[str]:
    """The command that is disturbed."""
    options = [option for setting in SETTINGS for option in ("--set", setting)]
    return [sys.executable, "-m", "jobs.cli", "shard", "--collection", str(collection), "--root", root, *options]


def content(root: str) -> str:
    """sha256 over the names and bytes of all parts."""
    total = hashlib.sha256()
    for folder in (COLLECTION_FOLDER, CLIPS_FOLDER, VIDEOS_FOLDER):
        for entry in files.list_files(files.join(root, folder)):
            if not entry.uri.endswith("/_stage.json"):  # it holds times
                data = files.read_bytes(entry.uri)
                total.update(f"{files.relative(entry.uri, root)} {len(data)}\n".encode() + data)
    return total.hexdigest()


def disturb(command: Sequence[str], workspace: Workspace, kills: Sequence[Kill] = ()) -> Crash:
    """Run a command; kill, one after the other, what is to be killed.

    Raises:
        TimeoutError: the command hangs.
    """
    began, killed, waiting = time.monotonic(), [], list(kills)
    with tempfile.TemporaryFile() as stderr:
        driver = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=stderr)
        due_s = math.inf
        while driver.poll() is None:
            elapsed_s = time.monotonic() - began
            if waiting:
                num_parts = len(workspace.parts(VIDEOS_FOLDER))
                if num_parts >= waiting[0].after_parts:
                    due_s = min(due_s, elapsed_s + waiting[0].delay_s)
                victims = find(driver.pid, waiting[0].victim) if elapsed_s >= due_s else []
                if victims:
                    os.kill(victims[0], signal.SIGKILL)
                    killed.append((elapsed_s, num_parts))
                    del waiting[0]
                    due_s = math.inf
            if elapsed_s > LIMIT_S:
                driver.kill()
                raise TimeoutError(f"{kills}: the command still runs after {LIMIT_S:.0f} s.")
            time.sleep(0.02)
        took_s = time.monotonic() - began
        stderr.seek(0)
        return Crash(driver.returncode, killed, took_s, stderr.read().decode(errors="replace"))


def find(driver: int, victim: str) -> list[int]:
    """Processes of that kind below a driver."""
    if victim == "driver":
        return [driver]
    parents: dict[int, int] = {}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            name = (folder / "cmdline").read_bytes().split(b"\0")[0]
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended since it was listed
        if name.rpartition(b"/")[2].startswith(VICTIMS[victim]):
            found.append(int(folder.name))
    return sorted(pid for pid in found if driver in ancestors(pid, parents))


def ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid in parents:
        pid = parents[pid]
        yield pid


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", help="of the disturbed runs, such as s3://bucket/prefix; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_videos(Path(folder) / "videos")
        base = options.root or f"{folder}/disturbed"
        undisturbed = Workspace(f"{folder}/undisturbed")
        run = disturb(shard(Path(folder) / "videos", undisturbed.root), undisturbed)
        if run.exit_code:
            print(run.stderr)
            return 1
        expected = content(undisturbed.root)
        num_parts = len(undisturbed.parts(VIDEOS_FOLDER))
        print(f"undisturbed: {run.took_s:.1f} s, {num_parts} parts, sha256 {expected[:16]}", flush=True)
        num_equal = 0
        for run in range(options.runs):
            random = np.random.default_rng([options.seed, run])
            for draw in itertools.count():  # until the moment comes before the command's end
                after_parts = int(random.integers(0, num_parts))
                delay_s = random.uniform(0, LONGEST_DELAY_S if after_parts else run.took_s / 2)
                kill = Kill(("driver", "worker", "raylet")[run % 3], after_parts, delay_s)
                workspace = Workspace(files.join(base, f"{run:03d}_{draw}"))
                command = shard(Path(folder) / "videos", workspace.root)
                crash = disturb(command, workspace, [kill])
                if crash.killed:
                    break
            tries = 0
            last = crash
            while last.exit_code and tries < MAX_TRIES:
                last, tries = disturb(command, workspace), tries + 1
            is_equal = last.exit_code == 0 and content(workspace.root) == expected
            num_equal += is_equal
            at_s, num_finished = crash.killed[0]
            when = f"at {at_s:.1f} s, {num_finished} of {num_parts} parts finished"
            end = f"exit {crash.exit_code} after {crash.end_s:.1f} s, went on {tries} times"
            result = "same bytes" if is_equal else f"DIFFERENT: {last.stderr[-500:]}"
            print(f"{run:3d} {kill.victim:6} {when}: {end}, {result}", flush=True)
    print(f"{num_equal} of {options.runs} runs gave the bytes of the undisturbed run")
    return int(num_equal < options.runs)


if __name__ == "__main__":
    sys.exit(main())
