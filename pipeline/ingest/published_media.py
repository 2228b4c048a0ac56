"""Pictures and sounds of a published data set, which come from strangers -> pixels and samples of a clip.

Pictures are PNG or JPEG of bounded size, read by pillow. A wav of 16-bit PCM at the clips' rate is read as it is; any
other sound is decoded, mixed and resampled in the sandbox, as that of a video.
"""

import io
import wave
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError
from pipeline.masks.mask_pictures import DAMAGE, MAX_BYTES, MAX_SIDE
from pipeline.media.decoding import Decoding

FORMATS = ("PNG", "JPEG")
SOUND_LIMIT_S = 60.0  # of wall and CPU time for ten seconds of sound
MAX_CHANNELS = 8
# VGGish hears a sound in windows of 0.96 s, the last of which needs 25 ms, less a hop of 10 ms, beyond its end.
WINDOW_S, OVERHANG_S = 0.96, 0.015


def read_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a picture, or of a sound: ten seconds of 8 channels at 192 kHz in 32 bits are not too long either.

    Raises:
        ClipError: `unreadable`, it cannot be read or is longer than `max_bytes`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ClipError("unreadable", f"{path.name}: cannot be read ({error}).") from error
    if len(data) > max_bytes:
        raise ClipError("unreadable", f"{path.name}: more than {max_bytes} bytes.")
    return data


def decode_picture(data: bytes, name: str) -> np.ndarray:
    """[H, W, 3] uint8 RGB of a PNG or JPEG of any mode; what is transparent keeps its colour.

    Raises:
        ClipError: `unreadable`, it is no whole picture, or has a side above MAX_SIDE.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if max(picture.size) > MAX_SIDE:
                found = f"{picture.width}x{picture.height} pixels"
                raise ClipError("unreadable", f"{name}: {found}, expected at most {MAX_SIDE} a side.")
            return np.asarray(picture.convert("RGB"))
    except DAMAGE as error:
        raise ClipError("unreadable", f"{name}: no whole PNG or JPEG ({error}).") from error


def fit_picture(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[height, width, 3] uint8: the whole picture, its aspect lost, as the published code has it."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def read_sound(path: Path, data: bytes, seconds: float, rate_hz: int) -> np.ndarray:
    """[n] int16, mono: at most the first `seconds` of a sound file, whose bytes are `data`.

    Raises:
        ClipError: it holds no sound that can be decoded.
    """
    count = round(seconds * rate_hz)
    samples = _read_plain(data, count, rate_hz)
    if samples is None:
        spec = ClipSpec(clip_s=seconds, hop_s=seconds, sample_rate_hz=rate_hz, frame_rate_hz=0.0)
        decoding = Decoding(path, {"sounds": spec}, SOUND_LIMIT_S, end_s=seconds)
        chunks = [item for item in decoding if isinstance(item, np.ndarray)]
        samples = np.concatenate(chunks or [np.zeros(0, np.int16)])[:count]
    if not len(samples):
        raise ClipError("no_audio", f"{path.name}: no samples.")
    return samples


def _read_plain(data: bytes, count: int, rate_hz: int) -> np.ndarray | None:
    """The first `count` samples of a wav of 16-bit PCM at this rate, the mean of its channels; None for any other."""
    try:
        with wave.open(io.BytesIO(data), "rb") as file:
            channels = file.getnchannels()
            if (file.getframerate(), file.getsampwidth()) != (rate_hz, 2) or channels > MAX_CHANNELS:
                return None
            found = file.readframes(count)
    except (wave.Error, EOFError, RuntimeError):  # the last of a chunk that ends beyond the file
        return None
    samples = np.frombuffer(found[: len(found) - len(found) % (2 * channels)], "<i2").reshape(-1, channels)
    return samples[:, 0] if channels == 1 else np.rint(samples.mean(axis=1)).astype(np.int16)


def fill_sound(samples: np.ndarray, seconds: float, rate_hz: int) -> np.ndarray:
    """A sound of `seconds`: each window that a shorter one lacks is a copy of its last whole one.

    So VGGish gives it the patches of the published code, which repeats the last patch of a short sound (but for the
    last two frames of that one, whose ends lie in the next window). Silence fills what is behind the last window.

    Args:
        samples: [n] int16, at most `seconds` long.
    Raises:
        ClipError: `short_audio`, it has no whole window.
    """
    total, window = round(seconds * rate_hz), round(WINDOW_S * rate_hz)
    num_windows = int(seconds / WINDOW_S)
    num_whole = min(num_windows, (len(samples) - round(OVERHANG_S * rate_hz)) // window)
    if num_whole < 1:
        found = f"{len(samples) / rate_hz:.3f} s of sound"
        raise ClipError("short_audio", f"{found}, expected at least {WINDOW_S + OVERHANG_S:g} s.")
    if num_whole < num_windows:
        last = samples[(num_whole - 1) * window : num_whole * window]
        samples = np.concatenate([samples[: num_whole * window], np.tile(last, num_windows - num_whole)])
    return np.pad(samples, (0, total - len(samples)))
