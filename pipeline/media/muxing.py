"""A video's picture with another sound -> mp4, by a sandboxed ffmpeg child: the original is untrusted here as well."""

import math
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import ffmpeg

from pipeline.errors import ClipError
from pipeline.media.sandbox import LIMITS, QUIET, compile_command, ffmpeg_child
from pipeline.media.stream_choice import StreamChoice

LOG_BYTES = 500


def write_mp4s(video: Path, choice: StreamChoice, sounds: list[Path], made: list[Path], limit_s: float) -> bool:
    """Write the video's picture with each of the sounds; return whether its stream was copied, not encoded anew.

    Args:
        video: the original.
        choice: its picture, and the sound that the others take the place of.
        sounds: FLAC files, as long as the video.
        made: where the mp4s go, one per sound.
        limit_s: wall-clock limit of each try: to copy, and to encode where mp4 does not hold the picture's codec.
    Raises:
        ClipError: ffmpeg failed (unreadable), or did not end in time (timeout).
    """
    max_bytes = 4 * video.stat().st_size + sum(4 * sound.stat().st_size for sound in sounds) + 2**28
    if _run(mux_command(video.absolute(), choice, sounds, made, copy=True), limit_s, max_bytes) is None:
        return True
    error = _run(mux_command(video.absolute(), choice, sounds, made, copy=False), limit_s, max_bytes)
    if error is not None:
        raise ClipError("unreadable", f"the mp4 cannot be written: {error}")
    return False


def mux_command(video: Path, choice: StreamChoice, sounds: list[Path], made: list[Path], copy: bool) -> list[str]:
    """The command that writes the video's picture with each of the sounds: one mp4 per sound.

    Args:
        video: the original: untrusted.
        choice: its picture and its sound.
        sounds: FLAC files.
        made: where the mp4s go.
        copy: take the picture's stream as it is; else encode it as H.264.
    """
    source = ffmpeg.input("file:video", dts_delta_threshold=choice.max_jump_s, **LIMITS)
    picture: dict[str, Any] = {"vcodec": "copy"}
    if not copy:  # H.264 in 4:2:0 wants even sides
        picture = {"vcodec": "libx264", "pix_fmt": "yuv420p", "vf": "scale=trunc(iw/2)*2:trunc(ih/2)*2", "crf": 20}
    # An MPEG-TS begins at the first of the streams in use: without its sound, a late picture would move to the front.
    outputs = [ffmpeg.output(source[choice.sound], "-", format="null", acodec="copy")]
    for number in range(len(made)):
        track = ffmpeg.input(f"file:sound{number}", format="flac", protocol_whitelist="file", threads=1)
        outputs.append(
            ffmpeg.output(
                source[choice.picture],
                track["a:0"],
                f"file:made{number}",
                format="mp4",
                acodec="aac",
                movflags="+faststart",
                **picture,
            )
        )
    command = ffmpeg.merge_outputs(*outputs).global_args(*QUIET, "-v", "error", "-y")
    paths = {
        f"{name}{number}": path for name, of in (("sound", sounds), ("made", made)) for number, path in enumerate(of)
    }
    return compile_command(command, {"video": video, **paths})


def _run(command: list[str], limit_s: float, max_bytes: int) -> str | None:
    """Run ffmpeg, each of its files up to `max_bytes`; return the end of its messages if it failed."""
    cpu_s = 2 * math.ceil(limit_s)
    with (
        tempfile.TemporaryFile() as log,
        ffmpeg_child(command, cpu_s=cpu_s, max_file_bytes=max_bytes, stderr=log) as child,
    ):
        try:
            code = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise ClipError("timeout", f"the mp4 was not written within {limit_s:g} s.") from None
        if not code:
            return None
        log.seek(max(0, log.seek(0, 2) - LOG_BYTES))
        return log.read().decode("utf-8", "replace").strip() or f"ffmpeg ended with {code}."
