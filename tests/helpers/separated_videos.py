"""A video whose sounds are known, its separation by a model whose answer is known, and what is heard of it."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from pipeline.inference.separating import Options, Separated, separate_video
from pipeline.media.sandbox import ffmpeg_path
from tests.helpers.separators import SPEC, BandSplit

# On the left a tone of 500 Hz, on the right 5 and 12 kHz; the picture is red, then green from 2 s on.
STEREO = "aevalsrc=0.3*sin(2*PI*500*t)|0.2*sin(2*PI*5000*t)+0.05*sin(2*PI*12000*t):d={}:s=44100"
PICTURE = "color=red:s=64x48:r=10:d=2[a];color=lime:s=64x48:r=10:d={}[b];[a][b]concat=n=2"


def separate(path: Path, folder: Path, model: torch.nn.Module | None = None, **options: Any) -> Separated:
    return separate_video(str(path), str(folder), SPEC, model or BandSplit(), Options(**options))


def read(path: Path) -> tuple[np.ndarray, int]:
    """[n, C] and the sample rate."""
    sound, rate_hz = soundfile.read(path, always_2d=True)
    return sound, rate_hz


def stems(folder: Path, *names: str) -> list[np.ndarray]:
    return [read(folder / f"{name}.flac")[0] for name in names or ("on_screen", "off_screen")]


def native_sound(path: Path, *arguments: str) -> np.ndarray:
    """[n, C] by another way: ffmpeg's own WAV."""
    wav = path.with_suffix(".reference.wav")
    command = [
        ffmpeg_path(),
        "-v",
        "error",
        "-y",
        "-i",
        str(path),
        "-map",
        "a:0",
        *arguments,
        "-c:a",
        "pcm_f32le",
        str(wav),
    ]
    subprocess.run(command, check=True)
    return read(wav)[0]


def db(ratio: float) -> float:
    return float(10 * np.log10(ratio + 1e-30))


def level(sound: np.ndarray, rate_hz: int, frequency_hz: float) -> np.ndarray:
    """[C] power of a tone in each channel, but for the first and last half second."""
    inner = sound[rate_hz // 2 : -rate_hz // 2]
    wave = np.exp(-2j * np.pi * frequency_hz * np.arange(len(inner)) / rate_hz)
    return np.abs(wave @ inner / len(inner)) ** 2
