"""A video with maps or drawings laid over it -> mp4: where in the picture something is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from pipeline.errors import ClipError
from pipeline.media.muxing import EVEN_SIZE, H264, MP4, WITH_PROGRESS, Report, Track, run_ffmpeg
from pipeline.media.sandbox import LIMITS, compile_command
from pipeline.media.stream_choice import StreamChoice

MAX_OPACITY = 0.6
AAC: dict[str, Any] = {"acodec": "aac", "ac": 2, "ar": 48_000, "audio_bitrate": 192_000}


@dataclass(frozen=True, slots=True)
class Maps:
    """Maps over time; each is shown until the next one."""

    values: np.ndarray
    """[N, rows, columns] in [0, 1]; 0 is not seen."""
    rate_hz: float
    start_s: float
    """Time of the first."""
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """Left, top, right and bottom of the picture in the map, as shares of its sides."""


def coloured(values: np.ndarray) -> np.ndarray:
    """[N, rows, columns, 4] uint8 RGBA: from nothing over orange to yellow.

    >>> coloured(np.array([[[0.0, 1.0]]])).tolist()
    [[[[255, 64, 0, 0], [255, 255, 0, 153]]]]
    """
    green = 64 + 191 * values
    layers = [np.full_like(values, 255), green, np.zeros_like(values), 255 * MAX_OPACITY * values]
    return np.rint(np.stack(layers, axis=-1)).astype(np.uint8)


def write_overlay(
    video: Path,
    choice: StreamChoice,
    picture: tuple[int, int],
    maps: Maps,
    sound: Track,
    work: Path,
    made: Path,
    limit_s: float,
    report: Report | None = None,
) -> None:
    """Write the video's picture under its maps, with a sound.

    Args:
        video: the original: untrusted.
        choice: its streams.
        picture: width and height of the picture as it is decoded.
        maps: what is laid over.
        sound: as long as the video.
        work: an empty file for the maps' pixels.
        made: where the mp4 goes.
        limit_s: wall-clock limit.
        report: called with the seconds of picture that are encoded.
    Raises:
        ClipError: ffmpeg failed (unreadable), or did not end in time (timeout).
    """
    work.write_bytes(coloured(maps.values).tobytes())
    rows, columns = maps.values.shape[1:]
    left, top, right, bottom = maps.box
    width, height = round(picture[0] / (right - left)), round(picture[1] / (bottom - top))
    source = ffmpeg.input("file:video", dts_delta_threshold=choice.max_jump_s, **LIMITS)
    layer = ffmpeg.input(
        "file:maps",
        format="rawvideo",
        pixel_format="rgba",
        video_size=(columns, rows),
        framerate=maps.rate_hz,
        protocol_whitelist="file",
    )
    laid = (
        layer.video.filter("setpts", f"PTS+{maps.start_s}/TB")
        .filter("scale", width, height, flags="bicubic")
        .filter("crop", *picture, round(left * width), round(top * height))
    )
    both = _under(laid, source[choice.picture])
    track = ffmpeg.input("file:sound", **sound.input)
    unused = ffmpeg.output(source[choice.sound], "-", format="null", acodec="copy")
    command = ffmpeg.merge_outputs(unused, ffmpeg.output(both, track["a:0"], "file:made", **MP4, **H264, **sound.aac))
    paths = {"video": video, "maps": work, "sound": sound.path, "made": made}
    max_bytes = 4 * (video.stat().st_size + sound.path.stat().st_size) + 2**30
    error = run_ffmpeg(compile_command(command.global_args(*WITH_PROGRESS), paths), limit_s, max_bytes, report)
    if error is not None:
        raise ClipError("unreadable", f"the map cannot be laid over the picture: {error}")


def write_layered(
    video: Path,
    choice: StreamChoice,
    picture: tuple[int, int],
    layers: Path,
    rate_hz: float,
    made: Path,
    limit_s: float,
    report: Report | None = None,
) -> None:
    """Write the video's picture under transparent pictures, with its own sound.

    Args:
        video: the original: untrusted.
        choice: its streams.
        picture: width and height of the picture as it is decoded.
        layers: PNGs of one size, one after the other in a file, the first of the video's start; the last one stays.
        rate_hz: how many of them a second.
        made: where the mp4 goes.
        limit_s: wall-clock limit.
        report: called with the seconds of picture that are encoded.
    Raises:
        ClipError: ffmpeg failed (unreadable), or did not end in time (timeout).
    """
    source = ffmpeg.input("file:video", dts_delta_threshold=choice.max_jump_s, **LIMITS)
    layer = ffmpeg.input("file:layers", format="png_pipe", framerate=rate_hz, protocol_whitelist="file")
    both = _under(layer.video.filter("scale", *picture), source[choice.picture])
    command = ffmpeg.output(both, source[choice.sound], "file:made", **MP4, **H264, **AAC)
    max_bytes = 4 * video.stat().st_size + 2**30
    paths = {"video": video, "layers": layers, "made": made}
    error = run_ffmpeg(compile_command(command.global_args(*WITH_PROGRESS), paths), limit_s, max_bytes, report)
    if error is not None:
        raise ClipError("unreadable", f"the outlines cannot be laid over the picture: {error}")


def _under(layer: Any, picture: Any) -> Any:
    """The picture under a layer of its size, with even sides."""
    both = ffmpeg.filter([picture, layer], "overlay", eof_action="repeat")
    return both.filter("scale", *EVEN_SIZE.removeprefix("scale=").split(":"))
