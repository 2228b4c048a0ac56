"""A clip's frames and sound -> mp4 that browsers play, by a sandboxed ffmpeg child; frames share its length."""

import tempfile
from pathlib import Path

import ffmpeg
import numpy as np
import soundfile

from pipeline.errors import ClipError
from pipeline.media.muxing import AAC_BITS_PER_CHANNEL, EVEN_SIZE, H264, MP4, WITH_PROGRESS, run_ffmpeg
from pipeline.media.sandbox import compile_command

LIMIT_S = 60.0
MAX_BYTES = 2**27
LOCAL = {"protocol_whitelist": "file", "threads": 1}


def write_clip_video(frames: np.ndarray, waveform: np.ndarray, rate_hz: int, made: Path) -> None:
    """Write frames with their sound; the frames share its length evenly.

    Args:
        frames: [K, 3, H, W] uint8 RGB, one or more.
        waveform: [T] in [-1, 1).
        rate_hz: of the waveform.
        made: where the mp4 goes.
    Raises:
        ClipError: ffmpeg failed (unreadable), or did not end in time (timeout).
    """
    num_frames, _, height, width = frames.shape
    with tempfile.TemporaryDirectory(prefix="earshot-clip-") as folder:
        pixels, sound = Path(folder) / "pixels", Path(folder) / "sound"
        pixels.write_bytes(np.ascontiguousarray(frames.transpose(0, 2, 3, 1)).tobytes())
        soundfile.write(sound, waveform, rate_hz, format="WAV", subtype="PCM_16")
        picture = ffmpeg.input(
            "file:pixels",
            format="rawvideo",
            pixel_format="rgb24",
            video_size=(width, height),
            framerate=f"{num_frames * rate_hz}/{len(waveform)}",
            **LOCAL,
        )
        heard = ffmpeg.input("file:sound", format="wav", **LOCAL)
        options = {**MP4, **H264, "vf": EVEN_SIZE, "acodec": "aac", "audio_bitrate": AAC_BITS_PER_CHANNEL}
        command = ffmpeg.output(picture["v"], heard["a"], "file:made", **options).global_args(*WITH_PROGRESS)
        paths = {"pixels": pixels, "sound": sound, "made": made}
        error = run_ffmpeg(compile_command(command, paths), LIMIT_S, MAX_BYTES)
    if error is not None:
        raise ClipError("unreadable", f"the clip cannot be written as mp4: {error}")
