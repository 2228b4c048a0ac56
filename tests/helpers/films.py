"""Films that tests make, and what the decoder makes of them."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.errors import ClipError
from pipeline.media.decoding import Decoding, SkippedPicturesError
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
    try:
        items = list(decoding)
    except SkippedPicturesError:
        decoding = Decoding(path, {BASE: spec}, limit_s, every_picture=True)
        items = list(decoding)
    sound = [np.zeros(0, np.int16), *(item for item in items if not isinstance(item, Frame))]
    return np.concatenate(sound) / 32768, [item for item in items if isinstance(item, Frame)], decoding.info


def reason(path: Path, limit_s: float = 60.0) -> str:
    """Why a file is refused."""
    with pytest.raises(ClipError) as caught:
        decode(path, BY_1, limit_s)
    assert len(caught.value.detail) > 5
    assert str(path.parent) not in caught.value.detail  # the same on every machine
    return caught.value.reason


def flip_time(path: Path, track: int, number: int, bit: int) -> Path:
    """A copy of a Matroska file in which one bit of the time stamp (16 bits, in ms) of one block of a track differs."""
    data = bytearray(path.read_bytes())
    blocks = [start for start in blocks_of(data) if data[start] == 0x80 | track]
    stamp = int.from_bytes(data[blocks[number] + 1 : blocks[number] + 3], "big") ^ 1 << bit
    data[blocks[number] + 1 : blocks[number] + 3] = stamp.to_bytes(2, "big")
    made = path.with_name(f"{path.stem}_{track}_{number}_{bit}.mkv")
    made.write_bytes(data)
    return made


def blocks_of(data: bytes) -> list[int]:
    """Where the content of each SimpleBlock and Block of a Matroska file begins: track, time stamp, flags, frame."""
    master = {0x18538067, 0x1F43B675, 0xA0}  # Segment, Cluster, BlockGroup
    found, at = [], 0
    while at < len(data):
        length = 9 - data[at].bit_length()
        name, at = int.from_bytes(data[at : at + length], "big"), at + length
        length = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + length], "big") - (1 << 7 * length)
        at += length
        found += [at] if name in (0xA3, 0xA1) else []
        at += 0 if name in master else size
    return found
