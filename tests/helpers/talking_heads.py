"""Pictures of videos as speech clips decode them, by an ffmpeg command of its own."""

import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.media.sandbox import ffmpeg_path

SIDE = 640


def pictures(path: Path, rate_hz: float = 25.0, limit_s: float | None = None) -> NDArray[np.uint8]:
    """[N, SIDE, SIDE, 3] RGB: the picture in a square, with black bars."""
    fit = f"scale={SIDE}:{SIDE}:force_original_aspect_ratio=decrease,pad={SIDE}:{SIDE}:-1:-1"
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-threads", "1", "-i", str(path)]
    command += ["-t", str(limit_s)] if limit_s is not None else []
    command += ["-vf", f"scale=iw*sar:ih,setsar=1,fps={rate_hz},{fit}", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, SIDE, SIDE, 3)
