"""Speed and memory of `earshot separate`: 2 and 20 minutes of 720p with stereo sound, and a model of the preset `tiny`.

Usage: python -m benchmarks.separate [MINUTES ...]

The weights are random, which changes no time. Each length gets a process of its own, since a process's peak memory
never falls. Times are of the whole separation: decoding, the model, both stems, both mp4s. Limits: 4 times real time on
2 cores (by wall clock and, with other work on the machine, by CPU time over 2), 1 GB with the largest ffmpeg child, and
20 minutes in at most 60 MB more than 2.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIN_RATIO, LIMIT_MB, GROWTH_MB = 4.0, 1000, 60


def measure(video: str) -> None:
    """Separate a video; print its length, wall time, CPU time and peak memory."""
    import torch

    from pipeline.clip_specs import ClipSpec
    from pipeline.inference.separating import separate_video
    from pipeline.learners.separation import SeparationLearner

    model = SeparationLearner(SeparationLearner.presets["tiny"]).model().eval()
    torch.manual_seed(0)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        result = separate_video(video, out, ClipSpec(), model)
    wall_s = time.monotonic() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(each.ru_utime + each.ru_stime for each in used)
    print(result.duration_s, wall_s, cpu_s, *(each.ru_maxrss / 1000 for each in used))


def main(minutes: list[int]) -> None:
    from tests.helpers.media import ffmpeg, minute_of_720p

    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        minute = minute_of_720p(Path(folder))
        for length in minutes:
            video = Path(folder) / f"{length}.mp4"
            ffmpeg("-stream_loop", str(length - 1), "-i", minute, "-c:v", "copy", "-c:a", "aac", "-ac", "2", video)
            command = [sys.executable, "-m", "benchmarks.separate", str(video)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            duration_s, wall_s, cpu_s, own_mb, child_mb = map(float, said.split())
            peaks.append(own_mb + child_mb)
            print(
                f"{length} minutes: {duration_s / wall_s:.1f} times real time by wall clock, "
                f"{2 * duration_s / cpu_s:.1f} by CPU time on 2 cores (limit {MIN_RATIO:g}); "
                f"{own_mb:.0f} MB + ffmpeg {child_mb:.0f} MB = {peaks[-1]:.0f} MB (limit {LIMIT_MB})",
                flush=True,
            )
    print(f"growth {peaks[-1] - peaks[0]:.0f} MB (limit {GROWTH_MB})")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) == 1 and not arguments[0].isdigit():
        measure(arguments[0])
    else:
        main([int(argument) for argument in arguments] or [2, 20])
