"""Films that tests make, and what the decoder makes of them."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.errors import ClipError
from pipeline.media.decoding import Decoding
from pipeline.media.ffmpeg_log import MediaInfo
from pipeline.media.streams import Frame

RATE_HZ = 16000
BY_25 = ClipSpec(frame_rate_hz=25, frame_height=32, frame_width=32, exact_frames=True)
BY_1 = ClipSpec(frame_height=32, frame_width=32)
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
LAVFI = ("-f", "lavfi", "-i")
# White from 2.0 s to 2.2 s, and a beep at the same time.
FLASH = "color=black:s=64x48:r=25:d=4,drawbox=color=white:t=fill:enable='between(t,1.999,2.199)'"
BEEP = "aevalsrc='if(between(t,2,2.2),0.5*sin(2*PI*1000*t),0)':d=4:s=44100"
# Brightness says the time: luma 16 + 40 t, rounded down, so coding's rounding included within 0.06 s.
CLOCK = "color=black:s=32x32:r=25:d=5,geq=lum='16+40*T':cb=128:cr=128"
TONE = "sine=frequency=1000:sample_rate=44100:duration=5"


def decode(path: Path, spec: ClipSpec = BY_25, limit_s: float = 60.0) -> tuple[np.ndarray, list[Frame], MediaInfo]:
    """All of a file: [T] float in [-1, 1), frames, and what the container says."""
    decoding = Decoding(path, {BASE: spec}, limit_s)
    sound, frames = [np.zeros(0, np.int16)], []
    for item in decoding:
        if isinstance(item, Frame):
            frames.append(item)
        else:
            sound.append(item)
    return np.concatenate(sound) / 32768, frames, decoding.info


def reason(path: Path, limit_s: float = 60.0) -> str:
    """Why a file is refused."""
    with pytest.raises(ClipError) as caught:
        decode(path, BY_1, limit_s)
    assert len(caught.value.detail) > 5
    assert str(path.parent) not in caught.value.detail  # the same on every machine
    return caught.value.reason
