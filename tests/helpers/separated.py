"""What `separate` wrote, compared with its input by ffmpeg alone: does it decode, meet, add up, click.

Times are those of the containers, from which players show and play.
"""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from pipeline.media.sandbox import ffmpeg_path

CELL_S = 0.002  # in which a click's energy is compared with that of NEAR_CELLS around it
NEAR_CELLS = 51
WHITE = 200  # mean of a frame that is a flash


class Clicks(NamedTuple):
    """Energy of the second difference of a sound in 2 ms, over its mean in the 100 ms around: median, 99 %, largest."""

    at_seams: tuple[float, float, float]
    elsewhere: tuple[float, float, float]


def run_ffmpeg(*arguments: str | Path) -> bytes:
    """Standard output of ffmpeg, which must not fail."""
    command = [ffmpeg_path(), "-v", "error", "-threads", "1", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def complaints(path: Path) -> str:
    """What ffmpeg says while it decodes all of a file's picture and sound; empty if nothing."""
    command = [ffmpeg_path(), "-v", "warning", "-i", str(path), "-map", "0:v:0", "-map", "0:a:0", "-f", "null", "-"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr.strip()


def picture_times_s(path: Path) -> np.ndarray:
    """[K] time of each frame."""
    said = run_ffmpeg("-i", path, "-map", "0:v:0", "-c", "copy", "-copyts", "-f", "framecrc", "-").decode()
    over, under = map(int, re.findall(r"#tb 0: (\d+)/(\d+)", said)[0])
    times = [int(line.split(",")[2]) for line in said.splitlines() if not line.startswith("#")]
    return np.sort(times) * over / under


def flashes_s(path: Path) -> np.ndarray:
    """Time of the first frame of each flash."""
    small = "scale=16:16:flags=area,format=gray"
    pixels = run_ffmpeg("-i", path, "-map", "0:v:0", "-vf", small, "-fps_mode", "passthrough", "-f", "rawvideo", "-")
    is_white = np.frombuffer(pixels, np.uint8).reshape(-1, 256).mean(axis=1) > WHITE
    times_s = picture_times_s(path)
    assert len(times_s) == len(is_white)
    return times_s[np.flatnonzero(is_white[1:] & ~is_white[:-1]) + 1]


def sound_of(path: Path, folder: Path, rate_hz: int) -> np.ndarray:
    """[n, C] float32 from time 0 on, silence where a stream begins later."""
    wav = folder / "sound.wav"
    placed = f"aresample={rate_hz}:async=1:first_pts=0"
    run_ffmpeg("-y", "-i", path, "-map", "0:a:0", "-af", placed, "-c:a", "pcm_f32le", "-rf64", "auto", wav)
    return soundfile.read(wav, dtype="float32", always_2d=True)[0]


def beeps_s(sound: np.ndarray, rate_hz: int, near_s: np.ndarray, frequency_hz: float) -> np.ndarray:
    """When a tone begins near each of some times: where its envelope passes half of the largest there.

    Args:
        sound: [n, C].
        rate_hz: its sample rate.
        near_s: times, right within 0.5 s.
        frequency_hz: of the tone.
    """
    smooth = np.hanning(max(1, round(0.004 * rate_hz)))
    found = []
    for time_s in near_s:
        first = max(0, round((time_s - 0.5) * rate_hz))
        mono = sound[first : round((time_s + 0.5) * rate_hz)].mean(axis=1)
        wave = np.exp(-2j * np.pi * frequency_hz * np.arange(len(mono)) / rate_hz)
        envelope = np.abs(np.convolve(mono * wave, smooth, "same"))
        found.append((first + np.flatnonzero(envelope > envelope.max() / 2)[0]) / rate_hz)
    return np.array(found)


def missing_db(sound: np.ndarray, stems: list[np.ndarray]) -> float:
    """Power of what the stems lack of a sound, over the sound's."""
    error = np.square(sound - sum(stems), dtype=np.float64).sum()
    return float(10 * np.log10(error / np.square(sound, dtype=np.float64).sum() + 1e-30))


def clicks(sound: np.ndarray, rate_hz: int, hop_s: float) -> Clicks:
    """How rough a sound is where windows begin or end, every `hop_s`, and elsewhere.

    Args:
        sound: [n, C].
        rate_hz: its sample rate.
        hop_s: seconds between seams.
    """
    roughness = np.square(np.diff(sound.mean(axis=1, dtype=np.float64), 2))
    cell = round(CELL_S * rate_hz)
    energy = roughness[: len(roughness) // cell * cell].reshape(-1, cell).sum(axis=1)
    share = energy / np.maximum(np.convolve(energy, np.ones(NEAR_CELLS) / NEAR_CELLS, "same"), 1e-20)
    seams = np.arange(hop_s, len(sound) / rate_hz, hop_s) * rate_hz / cell
    is_seam = np.zeros(len(share), bool)
    for offset in (-1, 0, 1):
        is_seam[np.clip(seams.astype(int) + offset, 0, len(share) - 1)] = True
    at_seams, elsewhere = (
        tuple(np.quantile(part, (0.5, 0.99, 1.0)).round(2).tolist()) if len(part) else (0.0, 0.0, 0.0)
        for part in (share[is_seam], share[~is_seam])
    )
    return Clicks(at_seams, elsewhere)
