"""A video's picture with another sound -> mp4, by a sandboxed ffmpeg child: the original is untrusted here as well.

Browsers play what is written: the picture is copied if they play it in an mp4 and encoded anew as H.264 otherwise; the
sound is AAC in mono, stereo or 5.1, at a rate up to 48 kHz.
"""

import math
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg

from pipeline.errors import ClipError
from pipeline.media.ffmpeg_log import in_one_line
from pipeline.media.sandbox import LIMITS, QUIET, compile_command, ffmpeg_child
from pipeline.media.stream_choice import FIRST, StreamChoice

LOG_BYTES = 500
AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC_BITS_PER_CHANNEL = 96_000  # per second: 192 kbit/s in stereo
MAX_AAC_CHANNELS = 6
# mp4 holds more: of mpeg4, mpeg2video, mjpeg and, without a decoder in hardware, hevc, Chromium plays the sound alone
PLAYED = {
    "h264": ("yuv420p", "yuvj420p"),
    "vp9": ("yuv420p", "yuv420p10le"),
    "av1": ("yuv420p", "yuv420p10le"),
}
H264: dict[str, Any] = {  # in 4:2:0, which wants even sides and is what browsers play
    "vcodec": "libx264", "preset": "veryfast", "crf": 20, "pix_fmt": "yuv420p",
}  # fmt: skip
MP4 = {"format": "mp4", "movflags": "+faststart"}
WITH_PROGRESS = (*QUIET, "-v", "error", "-y", "-progress", "pipe:1")
EVEN_SIZE = "scale=trunc(iw/2)*2:trunc(ih/2)*2"
OUT_TIME = re.compile(rb"^out_time_us=(\d+)", re.MULTILINE)
Report = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Track:
    """A sound file that takes the place of a video's sound."""

    path: Path
    kind: str
    """flac or wav."""
    rate_hz: int
    num_channels: int

    @property
    def input(self) -> dict[str, Any]:
        """Options of ffmpeg.input."""
        return {"format": self.kind, "protocol_whitelist": "file", "threads": 1}

    @property
    def aac(self) -> dict[str, Any]:
        """Options of ffmpeg.output."""
        layout = {1: "mono", 2: "stereo"}.get(self.num_channels, "5.1")
        filters, num_channels = f"aformat=channel_layouts={layout}", min(self.num_channels, MAX_AAC_CHANNELS)
        if self.num_channels > 8:  # no layout has so many: their places are unknown
            mean = "+".join(f"c{number}" for number in range(self.num_channels))
            filters, num_channels = f"pan=mono|c0<{mean}", 1
        rate_hz = self.rate_hz if self.rate_hz in AAC_RATES_HZ else AAC_RATES_HZ[-1]
        return {"acodec": "aac", "af": filters, "ar": rate_hz, "audio_bitrate": AAC_BITS_PER_CHANNEL * num_channels}


def plays_in_mp4(codec: str | None, pixel_format: str | None) -> bool:
    """Whether browsers play a picture in an mp4, by ffmpeg's names of its codec and its pixel format.

    >>> plays_in_mp4("h264", "yuv420p"), plays_in_mp4("h264", "yuv444p"), plays_in_mp4("mpeg4", "yuv420p")
    (True, False, False)
    """
    return pixel_format in PLAYED.get(codec or "", ())


def write_mp4s(
    video: Path,
    choice: StreamChoice,
    sounds: list[Track],
    made: list[Path],
    limit_s: float,
    *,
    can_copy: bool = True,
    has_sound: bool = True,
    report: Report | None = None,
) -> bool:
    """Write the video's picture with each of the sounds; return whether its stream was copied, not encoded anew.

    Args:
        video: the original.
        choice: its picture, and the sound that the others take the place of.
        sounds: files as long as the video.
        made: where the mp4s go, one per sound.
        limit_s: wall-clock limit of each try: to copy, and to encode where that fails.
        can_copy: whether to try to copy the picture (see `plays_in_mp4`).
        has_sound: whether the original has a sound.
        report: called with the seconds of picture that are encoded.
    Raises:
        ClipError: ffmpeg failed (unreadable), or did not end in time (timeout).
    """
    paths = {f"sound{number}": sound.path for number, sound in enumerate(sounds)}
    paths |= {f"made{number}": path for number, path in enumerate(made)}
    max_bytes = 4 * video.stat().st_size + sum(4 * sound.path.stat().st_size for sound in sounds) + 2**28
    if can_copy:
        copy = compile_command(_mux(choice, sounds, has_sound), {"video": video, **paths})
        if run_ffmpeg(copy, limit_s, max_bytes) is None:
            return True
    encode = compile_command(_mux(choice, sounds[:1], has_sound, **H264, vf=EVEN_SIZE), {"video": video, **paths})
    error = run_ffmpeg(encode, limit_s, max_bytes, report)
    if error is None and len(made) > 1:  # the picture is encoded once
        write_mp4s(made[0], FIRST, sounds[1:], made[1:], limit_s)
    if error is not None:
        raise ClipError("unreadable", f"the mp4 cannot be written: {error}")
    return False


def _mux(choice: StreamChoice, sounds: list[Track], has_sound: bool, **picture: Any) -> Any:
    """What writes file:video's picture with each file:sound<n>: file:made<n>; copied if nothing is said of it."""
    source = ffmpeg.input("file:video", dts_delta_threshold=choice.max_jump_s, **LIMITS)
    # An MPEG-TS begins at the first of the streams in use: without its sound, a late picture would move to the front.
    outputs = [ffmpeg.output(source[choice.sound], "-", format="null", acodec="copy")] if has_sound else []
    for number, sound in enumerate(sounds):
        track = ffmpeg.input(f"file:sound{number}", **sound.input)
        options = sound.aac | (picture or {"vcodec": "copy"})
        streams = source[choice.picture], track["a:0"]
        outputs.append(ffmpeg.output(*streams, f"file:made{number}", **MP4, **options))
    return ffmpeg.merge_outputs(*outputs).global_args(*WITH_PROGRESS)


def run_ffmpeg(command: list[str], limit_s: float, max_bytes: int, report: Report | None = None) -> str | None:
    """Run a command that reports its progress to stdout; return the end of its messages if it failed.

    Args:
        command: with `-progress pipe:1`.
        limit_s: wall-clock limit; CPU time is limited to twice as much.
        max_bytes: limit of each file that it writes.
        report: called with the seconds that are written.
    Raises:
        ClipError: it did not end in time (timeout).
    """
    cpu_s, deadline = 2 * math.ceil(limit_s), time.monotonic() + limit_s
    with (
        tempfile.TemporaryFile() as log,
        ffmpeg_child(command, cpu_s=cpu_s, max_file_bytes=max_bytes, stdout=subprocess.PIPE, stderr=log) as child,
    ):
        assert child.stdout is not None
        try:
            while select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                said = os.read(child.stdout.fileno(), 2**16)
                if not said:
                    break
                if report is not None and (times_us := OUT_TIME.findall(said)):
                    report(int(times_us[-1]) / 1e6)
            code = child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise ClipError("timeout", f"the mp4 was not written within {limit_s:g} s.") from None
        if not code:
            return None
        log.seek(max(0, log.seek(0, 2) - LOG_BYTES))
        return in_one_line(log.read(), command) or f"ffmpeg ended with {code}."
