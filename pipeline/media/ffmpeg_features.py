"""Whether this machine's ffmpeg has what the commands of this folder use, and whether it decodes a video under limits.

What is listed is compared with NEEDED; then a video of half a second is encoded and decoded by the very code that cuts
videos, so that an option or an expression that a version does not know is found as well.
"""

import contextlib
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TypedDict

import ffmpeg
import numpy as np
import soundfile

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError, ConfigError
from pipeline.media.decoding import Decoding
from pipeline.media.muxing import H264, MP4, WITH_PROGRESS, Track, run_ffmpeg
from pipeline.media.sandbox import DEMUXERS, compile_command, ffmpeg_path
from pipeline.media.streams import Frame

LIMIT_S = 30.0
DECODERS = (
    "h264 hevc vp8 vp9 libdav1d|libaom-av1 mpeg4 mpeg2video mpeg1video mjpeg flv h263 theora wmv2 vc1 gif png bmp webp "
    "rawvideo aac mp3 opus vorbis flac ac3 mp2 wmav2 amrnb pcm_s16le pcm_s24le pcm_f32le adpcm_ima_wav"
)
# By the option of ffmpeg that lists them; of names with | between them, one is enough. Decoders and demuxers are those
# of the videos that people upload: where one is missing, such videos become rows. All others are what Earshot's own
# commands name.
NEEDED: dict[str, tuple[str, ...]] = {
    "demuxers": (*DEMUXERS.split(","), "png_pipe", "jpeg_pipe", "bmp_pipe", "webp_pipe"),
    "decoders": tuple(DECODERS.split()),
    "muxers": ("s16le", "rawvideo", "au", "null", "framecrc", "mp4"),
    "encoders": ("pcm_s16le", "pcm_f32be", "rawvideo", "aac", "libx264"),
    "filters": (
        "aresample", "pan", "asplit", "asetnsamples", "ametadata", "metadata", "asetpts", "setpts", "settb", "select",
        "scale", "setsar", "pad", "split", "nullsink", "aformat", "crop", "overlay",
    ),
    "protocols": ("file", "pipe"),
}  # fmt: skip
ONLY_MEDIA = ("demuxers", "decoders")
NAME = re.compile(r"^ *(?:[A-Z.|a-z]{1,8} +)?([\w,-]+)(?: |$)", re.MULTILINE)
SPEC = ClipSpec(clip_s=0.5, hop_s=0.5, frame_rate_hz=4.0, frame_height=16, frame_width=16)


class Features(TypedDict):
    """What was found of ffmpeg."""

    path: str
    version: str
    """The first words of what it says of itself; "" if it does not start."""
    missing: dict[str, list[str]]
    """By the keys of NEEDED, what it has not; kinds of which nothing is missing are left out."""
    error: str
    """Why it does not start, or the trial failed; "" if it passed."""


def find_ffmpeg() -> Features:
    """Its path and version; whether it starts."""
    found = Features(path="", version="", missing={}, error="")
    try:
        found["path"] = ffmpeg_path()
        said = _ask("version")
    except ConfigError as error:
        found["error"] = str(error)
    except (OSError, subprocess.SubprocessError) as error:
        found["error"] = f"{found['path']} does not start ({error})"
    else:
        found["version"] = " ".join(said.split()[:3])
        if not found["version"].startswith("ffmpeg version "):
            found["error"] = f"{found['path']} is no ffmpeg: it says {said[:80]!r}"
    return found


def try_ffmpeg() -> Features:
    """The same, with what it lacks and whether it passes the trial."""
    found = find_ffmpeg()
    if found["error"]:
        return found
    for kind, names in NEEDED.items():
        there = _listed(kind)
        if missing := [name for name in names if there.isdisjoint(name.split("|"))]:
            found["missing"][kind] = missing
    try:
        with tempfile.TemporaryDirectory(prefix="earshot-doctor-") as folder:
            _try_decoding(Path(folder))
    except (ClipError, OSError) as error:
        found["error"] = str(error)
    return found


def _ask(option: str) -> str:
    command = [ffmpeg_path(), "-hide_banner", f"-{option}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout


def _listed(kind: str) -> set[str]:
    """Names of what ffmpeg lists of a kind; several names of one thing are separated by commas."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return {name for names in NAME.findall(_ask(kind)) for name in names.split(",")}
    return set()


def _try_decoding(folder: Path) -> None:
    """Encode half a second of grey and of a tone, and decode it as a part does.

    Raises:
        ClipError: one of both failed, or gave too little.
    """
    sound, frames, video = folder / "sound.wav", folder / "frames", folder / "video.mp4"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)
    soundfile.write(sound, tone, 16000, subtype="PCM_16")
    frames.write_bytes(bytes([128]) * (32 * 32 * 3) * 8)
    track = Track(sound, "wav", 16000, 1)
    source = ffmpeg.input("file:frames", format="rawvideo", pixel_format="rgb24", video_size=(32, 32), framerate=16)
    heard = ffmpeg.input("file:sound", **track.input)
    output = ffmpeg.output(source["v:0"], heard["a:0"], "file:made", **MP4, **H264, **track.aac)
    command = compile_command(output.global_args(*WITH_PROGRESS), {"frames": frames, "sound": sound, "made": video})
    if (error := run_ffmpeg(command, LIMIT_S, 2**20)) is not None:
        raise ClipError("unreadable", f"a video could not be encoded: {error}")
    items = list(Decoding(video, {"base": SPEC}, limit_s=LIMIT_S))
    num_frames = sum(isinstance(item, Frame) for item in items)
    num_samples = sum(len(item) for item in items if isinstance(item, np.ndarray))
    if num_frames != 2 or not 7000 <= num_samples <= 10000:
        raise ClipError("unreadable", f"{num_frames} frames and {num_samples} samples decoded, expected 2 and 8 000")
