"""Speed, memory and result of `earshot separate`: 2 and 20 minutes of 720p with stereo sound, or a user's videos.

Usage: python -m benchmarks.separate [--root ROOT] [--model NAME] [MINUTES or VIDEO ...]

Each minute has a flash and a beep at 31 s, where no windows meet, over noise below 1.5 kHz. Without a root the model is
of the preset `tiny` with random weights, which changes no time. Each video gets a process of its own, since a process's
memory hardly falls. Times are of the whole separation: decoding, the model, both stems, both mp4s.

Limits: 4 times real time on 2 cores (by wall clock and, with other work on the machine, by CPU time over 2); 1 GB of
this process and its ffmpeg children, and 20 minutes in at most 60 MB more than 2; stems that add up to the input within
-60 dB; beeps that lie where they lay before, within 1 ms; no more clicks where windows meet than elsewhere.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

MIN_RATIO, LIMIT_MB, GROWTH_MB, MAX_MISSING_DB = 4.0, 1000, 60, -60
BEEP_HZ = 3000
PICTURE = "testsrc2=s=1280x720:r=30:d=60,noise=alls=12:allf=t,drawbox=color=white:t=fill:enable='between(t,30.99,31.1)'"
NOISES = [f"anoisesrc=color=pink:r=44100:d=60:a=0.3:seed={seed}" for seed in (1, 2)]
BEEP = f"aevalsrc='if(between(t,31,31.1),0.5*sin(2*PI*{BEEP_HZ}*t),0)':d=60:s=44100"
MIXED = (
    "[1][2]amerge=inputs=2,lowpass=f=1500:p=2,volume='if(between(t,30.8,31.3),0.03,1)':eval=frame[noise];"
    "[3]pan=stereo|c0=c0|c1=c0[beep];[noise][beep]amix=inputs=2:normalize=0[sound]"
)
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", "2500k", "-bf", "3", "-pix_fmt", "yuv420p")


def measure(video: str, out: str, root: str | None, model: str) -> None:
    """Separate a video; print its length, wall time, CPU time, peak memory, seconds between windows, and notes."""
    import torch

    from jobs.console.separation import load_separation
    from pipeline.clip_specs import ClipSpec
    from pipeline.estimate.usage import cpu_s
    from pipeline.inference.separating import separate_video
    from pipeline.learners.separation import SeparationLearner
    from tests.helpers.memory import TreePeak

    torch.manual_seed(0)
    if root is None:
        spec, network = ClipSpec(), SeparationLearner(SeparationLearner.presets["tiny"]).model().eval()
    else:
        spec, network, _ = load_separation(root, model)
    began, before_s = time.monotonic(), cpu_s()
    with TreePeak() as memory:
        result = separate_video(video, out, spec, network)
    took_s, used_s = time.monotonic() - began, cpu_s() - before_s
    print(json.dumps([result.duration_s, took_s, used_s, memory.peak_mb, spec.clip_s / 2, result.notes]))


def check(video: Path, out: Path, hop_s: float) -> None:
    """Print how what was written compares with the input."""
    from tests.helpers import separated

    on, off = (next(out.glob(f"{name}_screen.[fw]*")) for name in ("on", "off"))
    rate_hz = soundfile.info(on).samplerate
    stems = [soundfile.read(path, dtype="float32", always_2d=True)[0] for path in (on, off)]
    sound = separated.sound_of(video, out, rate_hz)[: len(stems[0])]
    sound = np.pad(sound, ((0, len(stems[0]) - len(sound)), (0, 0)))
    missing_db = separated.missing_db(sound, stems)
    print(f"  stems: {rate_hz} Hz, {sound.shape[1]} channels; lack {missing_db:.0f} dB of it (limit {MAX_MISSING_DB})")
    for stem, path in zip(stems, (on, off), strict=True):
        found = separated.clicks(stem, rate_hz, hop_s)
        print(f"  {path.name}: roughness at seams {found.at_seams}, elsewhere {found.elsewhere}")
    flashes_s = separated.flashes_s(video)
    beeps_s = separated.beeps_s(sound, rate_hz, flashes_s, BEEP_HZ)
    for path in sorted(out.glob("o*.mp4")):
        said = separated.complaints(path) or "decodes without a word"
        before_s, after_s = (separated.picture_times_s(file) for file in (video, path))
        print(f"  {path.name}: {said}; {len(after_s)} frames, {len(before_s)} before", end="")
        if len(before_s) == len(after_s) and before_s[0] >= 0:  # an AVI may state no times
            print(f", moved by {1000 * np.abs(after_s - before_s).max():.1f} ms at most", end="")
        if len(flashes_s):
            later_s = separated.beeps_s(separated.sound_of(path, out, rate_hz), rate_hz, flashes_s, BEEP_HZ)
            moved_ms = 1000 * (later_s - beeps_s)
            print(f"; {len(flashes_s)} beeps by {moved_ms.min():.1f} to {moved_ms.max():.1f} ms", end="")
        print(flush=True)


def make(minutes: int, folder: Path) -> Path:
    """A video of so many minutes."""
    from tests.helpers.media import ffmpeg

    minute, video = folder / "minute.mkv", folder / f"{minutes}.mp4"
    if not minute.exists():
        sources = [part for source in (PICTURE, *NOISES, BEEP) for part in ("-f", "lavfi", "-i", source)]
        maps = ("-map", "0:v", "-map", "[sound]", "-c:a", "pcm_s16le")
        ffmpeg(*sources, "-filter_complex", MIXED, *H264, *maps, minute)
    ffmpeg("-stream_loop", str(minutes - 1), "-i", minute, "-c:v", "copy", "-c:a", "aac", "-b:a", "256k", video)
    return video


def main(given: list[str], root: str | None, model: str) -> None:
    peaks_mb = []
    options = ["--root", root, "--model", model] if root else []
    with tempfile.TemporaryDirectory() as folder:
        for number, each in enumerate(given):
            out = Path(folder) / f"out{number}"
            video = make(int(each), Path(folder)) if each.isdigit() else Path(each)
            command = [sys.executable, "-m", "benchmarks.separate", str(video), "--out", str(out), *options]
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            duration_s, wall_s, cpu_s, peak_mb, hop_s, notes = json.loads(said)
            peaks_mb += [peak_mb] if each.isdigit() else []
            print(
                f"{video.name}, {duration_s:.1f} s: {duration_s / wall_s:.1f} times real time by wall clock, "
                f"{2 * duration_s / cpu_s:.1f} by CPU time on 2 cores (limit {MIN_RATIO:g}); "
                f"{peak_mb:.0f} MB (limit {LIMIT_MB}); {'; '.join(notes)}",
                flush=True,
            )
            check(video, out, hop_s)
    if len(peaks_mb) > 1:
        print(f"growth {peaks_mb[-1] - peaks_mb[0]:.0f} MB (limit {GROWTH_MB})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("given", nargs="*", default=["2", "20"])
    parser.add_argument("--root")
    parser.add_argument("--model", default="separation")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    if arguments.out:
        measure(arguments.given[0], arguments.out, arguments.root, arguments.model)
    else:
        main(arguments.given, arguments.root, arguments.model)
