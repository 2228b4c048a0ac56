"""An opened video with other sounds -> mp4s, and what is said of them. Where they fail, the sounds are still there."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipeline.errors import ClipError
from pipeline.inference.opening import LIMIT_S, Media
from pipeline.inference.outputs import Outputs
from pipeline.media.muxing import AAC_RATES_HZ, MAX_AAC_CHANNELS, Track, plays_in_mp4, write_mp4s
from pipeline.media.overlay import Maps, write_layered, write_overlay
from pipeline.media.stream_choice import StreamChoice

T = TypeVar("T")
Report = Callable[[str, float, float], None]


def write_videos(media: Media, stems: dict[str, Track], outputs: Outputs, report: Report) -> list[str]:
    """Write the video with each of the sounds, by name; return notes."""
    notes: list[str] = []
    info = media.decoding.info
    is_played = plays_in_mp4(info.video_codec, info.pixel_format)

    def write(made: list[Path]) -> bool:
        return write_mp4s(
            media.path,
            media.choice,
            list(stems.values()),
            made,
            LIMIT_S,
            can_copy=is_played,
            has_sound=media.sound is not None,
            report=lambda done_s: report("encode", done_s, media.duration_s),
        )

    is_copied = _kept(write, [f"{name}.mp4" for name in stems], outputs, notes)
    if is_copied is None:
        return notes
    if not is_copied:
        codec = f"{info.video_codec} ({info.pixel_format})"
        reason = f"{codec} cannot be copied into an mp4" if is_played else f"browsers do not play {codec} in an mp4"
        notes.append(f"picture encoded anew, because {reason}")
    if media.num_channels > MAX_AAC_CHANNELS:
        notes.append(f"{media.num_channels} channels are mixed down in the mp4s, not in the other files")
    if media.rate_hz not in AAC_RATES_HZ:
        notes.append(f"{media.rate_hz} Hz become {AAC_RATES_HZ[-1]} Hz in the mp4s, not in the other files")
    return notes


def write_attention(
    media: Media, sound: Track, maps: Maps | None, name: str, outputs: Outputs, report: Report
) -> list[str]:
    """Write the video under the maps of where the model looked, with a sound; return notes."""
    size = media.decoding.picture_size
    if maps is None or size is None:
        return ["no attention: there is no sound to look for"]
    notes: list[str] = []

    def write(made: list[Path]) -> None:
        write_overlay(
            media.path,
            media.choice,
            size,
            maps,
            sound,
            outputs.work_file("maps"),
            made[0],
            LIMIT_S,
            report=lambda done_s: report("attention", done_s, media.duration_s),
        )

    _kept(write, [name], outputs, notes)
    return notes


def write_outlined(
    video: Path,
    choice: StreamChoice,
    size: tuple[int, int],
    layers: Path,
    rate_hz: float,
    duration_s: float,
    name: str,
    outputs: Outputs,
    report: Report,
) -> list[str]:
    """Write a video under the pictures of a file of PNGs, with its own sound; return notes."""
    notes: list[str] = []

    def write(made: list[Path]) -> None:
        encode = functools.partial(write_layered, video, choice, size, layers, rate_hz, made[0], LIMIT_S)
        encode(report=lambda done_s: report("encode", done_s, duration_s))

    _kept(write, [name], outputs, notes)
    return notes


def _kept(write: Callable[[list[Path]], T], names: list[str], outputs: Outputs, notes: list[str]) -> T | None:
    """What `write` returns of files that become outputs; None, and a note, if it cannot write them."""
    made = [outputs.work_file(name) for name in names]
    try:
        result = write(made)
    except ClipError as error:
        notes.append(f"no {', '.join(names)}: {error.detail}")
        return None
    for path, name in zip(made, names, strict=True):
        shutil.move(path, outputs.file(name))
    return result
