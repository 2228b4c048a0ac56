"""An image file (PNG, JPEG, WebP or BMP) -> its pixels at a clip spec's size, by a sandboxed ffmpeg child.

What kind of image it is says its content, never its name: ffmpeg's reader of image files takes a name such as
`a%03d.png` for a pattern and would open other files. An animated GIF is a video (`decoding.py`).
"""

import math
import subprocess
import tempfile
from pathlib import Path

import ffmpeg
import numpy as np

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError
from pipeline.media.decode_command import fit_filters
from pipeline.media.ffmpeg_log import in_one_line
from pipeline.media.sandbox import MAX_PIXELS, QUIET, compile_command, ffmpeg_child

LIMIT_S = 60.0
LOG_BYTES = 500
HEAD_BYTES = 12
BEGINNINGS = {"png_pipe": b"\x89PNG\r\n\x1a\n", "jpeg_pipe": b"\xff\xd8\xff", "bmp_pipe": b"BM"}


def image_kind(path: Path) -> str | None:
    """The ffmpeg demuxer of a file that is an image; None for any other file."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "webp_pipe"
    return next((kind for kind, beginning in BEGINNINGS.items() if head.startswith(beginning)), None)


def read_image(path: Path, kind: str, spec: ClipSpec) -> np.ndarray:
    """[H, W, 3] uint8 RGB of an image, at the spec's `decoded_size`, stretched or padded as the spec has it.

    Args:
        path: a local file: untrusted.
        kind: what `image_kind` gave.
        spec: size of the frames.
    Raises:
        ClipError: it cannot be decoded (unreadable), or not in time (timeout).
    """
    limits = {"protocol_whitelist": "file", "max_pixels": MAX_PIXELS, "threads": 1}
    source = ffmpeg.input("file:input", format=kind, **limits)
    frame = {"vf": fit_filters(spec), "format": "rawvideo", "pix_fmt": "rgb24", "vframes": 1}
    command = compile_command(
        ffmpeg.output(source["v:0"], "pipe:1", **frame).global_args(*QUIET, "-v", "error"), {"input": path}
    )
    shape = (*spec.decoded_size, 3)
    with (
        tempfile.TemporaryFile() as log,
        ffmpeg_child(
            command, cpu_s=int(LIMIT_S), max_file_bytes=LOG_BYTES * 2000, stdout=subprocess.PIPE, stderr=log
        ) as child,
    ):
        try:
            pixels, _ = child.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            raise ClipError("timeout", f"the image was not decoded within {LIMIT_S:g} s.") from None
        log.seek(0)
        said = in_one_line(log.read(LOG_BYTES), command)
    if len(pixels) != math.prod(shape):
        raise ClipError("unreadable", said or "the image could not be decoded.")
    return np.frombuffer(pixels, np.uint8).reshape(shape)
