"""Bytes of a collection cut through crashes, over those of an undisturbed run: equal or not, for each crash.

Usage: python -m benchmarks.crashes [--runs 25] [--seed 0] [--root s3://bucket/prefix]

24 short videos in 12 parts are cut by `earshot shard`. In each run SIGKILL goes to the driver, to a worker or to Ray's
raylet at a random moment, from the command's start to the last part; then the same command is given until it ends well.
Compared is the sha256 over all files of collection/, clips/ and videos/. Linux only: processes are found in /proc.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np

from pipeline.storage import files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from tests.helpers.kills import Kill, content, disturb, make_videos, shard

NUM_VIDEOS = 24
MAX_TRIES = 3
LONGEST_DELAY_S = 0.5  # about as long as a part takes


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", help="of the disturbed runs, such as s3://bucket/prefix; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_videos(Path(folder) / "videos", NUM_VIDEOS)
        base = options.root or f"{folder}/disturbed"
        undisturbed = Workspace(f"{folder}/undisturbed")
        whole = disturb(shard(Path(folder) / "videos", undisturbed.root), undisturbed)
        if whole.exit_code:
            print(whole.stderr)
            return 1
        expected = content(undisturbed.root)
        num_parts = len(undisturbed.parts(VIDEOS_FOLDER))
        print(f"undisturbed: {whole.took_s:.1f} s, {num_parts} parts, sha256 {expected[:16]}", flush=True)
        num_equal = 0
        for run in range(options.runs):
            random = np.random.default_rng([options.seed, run])
            for draw in itertools.count():  # until the moment comes before the command's end
                after_parts = int(random.integers(0, num_parts))
                delay_s = random.uniform(0, LONGEST_DELAY_S if after_parts else whole.took_s / 2)
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
