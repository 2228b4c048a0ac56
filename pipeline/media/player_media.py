"""What a page that plays a video with its sources holds, by one ffmpeg child: a small picture, each source as AAC."""

from pathlib import Path
from typing import Any

import ffmpeg

from pipeline.errors import ClipError
from pipeline.media.muxing import AAC_RATES_HZ, H264, MP4, WITH_PROGRESS, Report, Track, run_ffmpeg
from pipeline.media.sandbox import LIMITS, compile_command
from pipeline.media.stream_choice import StreamChoice

MAX_SIDE = 640
PICTURE_BITS, TRACK_BITS, GUIDE_BITS = 1_000_000, 64_000, 32_000  # per second; of each channel, of all of the sound
SMALL = f"scale=w={MAX_SIDE}:h={MAX_SIDE}:force_original_aspect_ratio=decrease:force_divisible_by=2"
MAX_STEREO = 4  # tracks; of more each is mono, since a browser holds all of them decoded


def write_player_media(
    video: Path,
    choice: StreamChoice,
    guide: Track,
    tracks: list[Track],
    max_s: float,
    picture: Path,
    made: list[Path],
    limit_s: float,
    report: Report | None = None,
) -> None:
    """Write the video's picture, small, and each track, all from the start and no longer than `max_s`.

    Args:
        video: the original: untrusted.
        choice: its streams.
        guide: a sound that is as long as the video, for players without scripts, in mono.
        tracks: the sources.
        max_s: what is written of each.
        picture: where the mp4 goes.
        made: where the tracks go, as mp4 with sound alone.
        limit_s: wall-clock limit.
        report: called with the seconds of picture that are encoded.
    Raises:
        ClipError: ffmpeg failed (unreadable), or did not end in time (timeout).
    """
    source = ffmpeg.input("file:video", dts_delta_threshold=choice.max_jump_s, **LIMITS)
    heard = ffmpeg.input("file:guide", **guide.input)
    limits = {"maxrate": PICTURE_BITS, "bufsize": 2 * PICTURE_BITS, "crf": 26, "vf": SMALL, "t": max_s}
    small: dict[str, Any] = {**MP4, **H264, **limits, **_mono(guide), "audio_bitrate": GUIDE_BITS}
    outputs = [
        # with its own sound open, a late picture stays late: see muxing
        ffmpeg.output(source[choice.sound], "-", format="null", acodec="copy", t=max_s),
        ffmpeg.output(source[choice.picture], heard["a:0"], "file:picture", **small),
    ]
    paths = {"video": video, "guide": guide.path, "picture": picture}
    for number, (track, path) in enumerate(zip(tracks, made, strict=True)):
        is_stereo = track.num_channels == 2 and len(tracks) <= MAX_STEREO
        sound = ffmpeg.input(f"file:track{number}", **track.input)
        options = track.aac if is_stereo else _mono(track)
        options |= {"audio_bitrate": TRACK_BITS * (2 if is_stereo else 1), "t": max_s}
        outputs.append(ffmpeg.output(sound["a:0"], f"file:made{number}", **MP4, **options))
        paths |= {f"track{number}": track.path, f"made{number}": path}
    command = ffmpeg.merge_outputs(*outputs).global_args(*WITH_PROGRESS)
    max_bytes = 4 * video.stat().st_size + sum(4 * track.path.stat().st_size for track in tracks) + 2**28
    error = run_ffmpeg(compile_command(command, paths), limit_s, max_bytes, report)
    if error is not None:
        raise ClipError("unreadable", f"the page's media cannot be written: {error}")


def _mono(track: Track) -> dict[str, Any]:
    """Options of ffmpeg.output for a sound in mono: the mean of its channels."""
    mean = "+".join(f"c{number}" for number in range(track.num_channels))
    rate_hz = track.rate_hz if track.rate_hz in AAC_RATES_HZ else AAC_RATES_HZ[-1]
    return {"acodec": "aac", "af": f"pan=mono|c0<{mean}", "ar": rate_hz}
