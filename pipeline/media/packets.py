"""A file's packets without decoding: which stream, when they are decoded and shown, and for how long."""

import os
import re
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import ffmpeg

from pipeline.errors import ClipError
from pipeline.media.sandbox import LIMITS, QUIET, compile_command, ffmpeg_child

CHUNK_BYTES = 2**20
PACKET = re.compile(rb"(\d+), *(-?\d+), *(-?\d+), *(\d+),")
TIME_BASE = re.compile(rb"#tb (\d+): (\d+)/(\d+)")


class Packet(NamedTuple):
    """One packet; times are those of the file, the earliest of the streams at 0."""

    stream: int
    """Its place among the streams that were asked for."""
    decoded_s: float
    shown_s: float
    duration_s: float


def read_packets(path: Path, streams: Sequence[str], limit_s: float, max_jump_s: float = 10.0) -> Iterator[Packet]:
    """The packets of some streams, in the file's order. A file that breaks off is read up to there.

    Args:
        path: the file: untrusted.
        streams: as ffmpeg addresses them. An MPEG-TS begins at the first of these.
        limit_s: limit of wall and CPU time.
        max_jump_s: where the times of a broadcast jump farther, they go on as if they did not; 10 is ffmpeg's own.
    Raises:
        ClipError: they were not read in time (timeout).
    """
    source = ffmpeg.input("file:input", dts_delta_threshold=max_jump_s, **LIMITS)
    output = ffmpeg.output(*(source[stream] for stream in streams), "pipe:1", codec="copy", format="framecrc")
    command = compile_command(output.global_args(*QUIET, "-v", "quiet"), {"input": path})
    with ffmpeg_child(
        command, cpu_s=int(limit_s) + 1, max_file_bytes=0, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        yield from _parse(child, limit_s)


def _parse(child: subprocess.Popen, limit_s: float) -> Iterator[Packet]:
    """Read lines `#tb stream: unit` and `stream, dts, pts, duration, size, checksum`, in units of the time base."""
    assert child.stdout is not None
    deadline, rest = time.monotonic() + limit_s, b""
    units_s: dict[int, float] = {}
    while select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(child.stdout.fileno(), CHUNK_BYTES)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if unit := TIME_BASE.match(line):
                units_s[int(unit[1])] = int(unit[2]) / int(unit[3])
            elif packet := PACKET.match(line):
                number, *times = map(int, packet.groups())
                yield Packet(number, *(units * units_s[number] for units in times))
    raise ClipError("timeout", f"its streams were not read within {limit_s:g} s.")
