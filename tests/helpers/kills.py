"""SIGKILL at a chosen moment to `earshot shard`, to one of its workers or to Ray's raylet, and a digest of the result.

Linux only: processes are found in /proc.
"""

import hashlib
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

from pipeline.storage import files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from tests.helpers.media import ffmpeg

PROJECT = Path(__file__).parent.parent.parent  # its code runs, also where another checkout is the installed one
SETTINGS = (
    "collecting.videos_per_part=2",
    "clips.base.clip_s=2",
    "clips.base.frame_height=32",
    "clips.base.frame_width=32",
    "clips.events.clip_s=1",
    "clips.events.hop_s=1",
    "clips.events.frame_height=16",
    "clips.events.frame_width=16",
)
SPECS = ("base", "events")  # cut from one decoding
# How the command line of each begins, in /proc.
VICTIMS: dict[str, tuple[bytes, ...]] = {
    "worker": (b"ray::_run", b"ray::_Worker"),
    "raylet": (b"raylet",),
    "trainer": (b"ray::RayTrainWorker",),
}
LIMIT_S = 300.0  # a command that takes longer hangs


class Kill(NamedTuple):
    """SIGKILL to a driver, worker or raylet, so long after this many parts were finished."""

    victim: str
    after_parts: int
    delay_s: float = 0.0


class Crash(NamedTuple):
    """How a command ended that was disturbed."""

    exit_code: int
    killed: list[tuple[float, int]]
    """Seconds since its start and parts finished, for each kill that found its victim before the command had ended."""
    took_s: float
    stderr: str

    @property
    def end_s(self) -> float:
        """From the last kill to the command's end."""
        return self.took_s - self.killed[-1][0]


def make_videos(folder: Path, num_videos: int) -> None:
    """Videos of 4, 5 and 6 s, no two alike."""
    folder.mkdir(parents=True)
    for index in range(num_videos):
        length = 4 + index % 3
        picture, sound = f"testsrc2=s=96x64:r=10:d={length}", f"sine=frequency={200 + 20 * index}:d={length}"
        codecs = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")
        ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *codecs, folder / f"{index:02d}.mp4")


def shard(collection: Path | str, root: str) -> list[str]:
    """The command that is disturbed."""
    options = [option for setting in SETTINGS for option in ("--set", setting)]
    options += [option for spec in SPECS for option in ("--clips", spec)]
    return [sys.executable, "-m", "jobs.cli", "shard", "--collection", str(collection), "--root", root, *options]


def content(root: str) -> str:
    """sha256 over the names and bytes of all parts."""
    total = hashlib.sha256()
    for folder in ("clips", "tables/collection", "tables/clips", "tables/videos"):
        for entry in files.list_files(files.join(root, folder)):
            data = files.read_bytes(entry.uri)
            total.update(f"{files.relative(entry.uri, root)} {len(data)}\n".encode() + data)
    return total.hexdigest()


def disturb(command: Sequence[str], workspace: Workspace, kills: Sequence[Kill] = ()) -> Crash:
    """Run a command to its end and send the kills, one after the other.

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
    """Processes of that kind among the descendants of a driver."""
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
    """The parent of a process, its parent, and so on."""
    while pid in parents:
        pid = parents[pid]
        yield pid
