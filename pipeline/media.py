"""Container -> waveform and frames, in one pass of one sandboxed ffmpeg child. The only file that knows the decoder.

The media is untrusted: the child has one thread, may open nothing but the file itself (protocol and demuxer
whitelists), and runs under limits of memory, CPU and wall time. Sound and picture keep their true offset: a late start
of the sound is kept as silence (`aresample=async=1:first_pts=0`), and each frame carries its own time stamp. The times
come through a pipe of their own: ffmpeg's threads write into each other's lines on stderr (1 file in 100 on a busy
machine), and a time lost there gives every later frame its neighbour's. The question a reader will ask is why stderr is
parsed at all: the streams are described there, and a second process for a probe would cost 30 to 50 ms per video.
"""

import collections
import contextlib
import functools
import os
import re
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import ffmpeg
import imageio_ffmpeg
import numpy as np

from pipeline.errors import ClipError, ConfigError
from pipeline.views import ClipView

# Demuxers for files that hold sound and picture themselves. Playlists and scripts (hls, dash, concat, ...) would open
# other files, so they are not among them.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,ogg,asf,gif,wav,flac,mp3,h264,hevc"
)
INPUT = "file:input"
MAX_PIXELS = 8192 * 8192  # a larger picture is an attack or a panorama: 200 MB for one decoded frame
MEMORY_BYTES = 4 * 2**30  # address space of the child; 4k HEVC takes about 1 GB of it
CHUNK_BYTES = 2**20
TICK_SLACK = 0.001  # frame times are rounded by containers: 0.9996 s is tick 1 of a 1 fps grid


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture: its true time and [H, W, 3] uint8 RGB."""

    time_s: float
    pixels: np.ndarray


@dataclass(slots=True)
class MediaInfo:
    """What the container says of itself; a field stays None where it says nothing."""

    width: int | None = None
    height: int | None = None
    frame_rate_hz: float | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    duration_s: float | None = None
    detail: str | None = None


@functools.cache
def ffmpeg_path() -> str:
    """The ffmpeg binary: `EARSHOT_FFMPEG`, else the one in the imageio-ffmpeg wheel, else the system's.

    The wheel comes before the system, so that every machine of a cluster decodes with the same pinned binary and writes
    the same bytes; it also decodes in 0.86 of the time of Debian's 5.1.
    """
    chosen = os.environ.get("EARSHOT_FFMPEG")
    if chosen:
        return chosen
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:  # no binary for this platform in the wheel, and none on the PATH
        raise ConfigError("no ffmpeg found. Install ffmpeg, or set EARSHOT_FFMPEG to its path.") from None


def decode_command(path: Path, view: ClipView, frames_fd: int, times_fd: int) -> list[str]:
    """The command that decodes a file once: 16-bit mono sound to stdout, RGB frames to one pipe, their times to one."""
    tick = f"floor((t+{TICK_SLACK})*{view.frame_rate_hz})"
    last_tick = f"floor((prev_selected_t+{TICK_SLACK})*{view.frame_rate_hz})"
    size = f"{view.frame_width}:{view.frame_height}"
    if view.fit == "pad":
        fit = f"scale=iw*sar:ih,setsar=1,scale={size}:force_original_aspect_ratio=decrease,pad={size}:-1:-1"
    else:
        fit = f"scale={size}"
    # one frame per tick: the first at or after it. By time, never by index: frame rates vary within a file.
    chosen = f"select='isnan(prev_selected_t)+gt({tick},{last_tick})'"
    # a frame's line is written before the frame: its number of microseconds as `pts`
    times = f"settb=1/1000000,metadata=add:key=k:value=v,metadata=print:key=k:file='pipe\\:{times_fd}':direct=1"
    skip = {} if view.exact_frames else {"skip_frame": "noref"}
    source = ffmpeg.input(
        INPUT,
        protocol_whitelist="file,pipe",
        format_whitelist=DEMUXERS,
        max_pixels=MAX_PIXELS,
        threads=1,
        **skip,
    )
    video = ffmpeg.output(
        source["V:0"],
        f"pipe:{frames_fd}",
        vf=f"{chosen},{fit},{times}",
        format="rawvideo",
        pix_fmt="rgb24",
        fps_mode="passthrough",
    )
    audio = ffmpeg.output(
        source["a:0"],
        "pipe:1",
        af=f"aresample={view.sample_rate_hz}:async=1:first_pts=0",
        format="s16le",
        ac=1,
    )
    command = ffmpeg.merge_outputs(audio, video).global_args(
        "-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+level+info", "-filter_threads", "1"
    )
    # the path comes last, because ffmpeg-python cannot hold one that is not UTF-8
    return [f"file:{path}" if argument == INPUT else argument for argument in command.compile(cmd=ffmpeg_path())]


class Decoding:
    """One pass over one file: iterate for chunks of sound ([n] int16) and frames, each in the order of its time.

    `info` is filled while it runs. Memory does not grow with the file's length as long as the caller keeps none.

    Args:
        path: a local file.
        view: rates and sizes to decode to.
        limit_s: wall-clock limit for the whole file; CPU time is limited to the same.
    Raises (while iterating):
        ClipError: nothing could be decoded. Reasons: no_video, no_audio, unreadable, timeout.
    """

    def __init__(self, path: Path, view: ClipView, limit_s: float = 3600.0) -> None:
        self._path, self._view, self._limit_s = path, view, limit_s
        self.info = MediaInfo()
        self._log = _Log(self.info, path.absolute())
        self._frame_bytes = view.frame_width * view.frame_height * 3
        self.num_frames = 0

    def __iter__(self) -> Generator[np.ndarray | Frame, None, None]:
        with contextlib.ExitStack() as stack:
            (frames_fd, frames_end), (times_fd, times_end) = _pipe(stack), _pipe(stack)
            child = subprocess.Popen(
                decode_command(self._path.absolute(), self._view, frames_end.fileno(), times_end.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(frames_end.fileno(), times_end.fileno()),
                start_new_session=True,
            )
            stack.callback(_kill, child)
            frames_end.close()
            times_end.close()
            _limit(child.pid, self._limit_s)
            yield from self._read(child, frames_fd.fileno(), times_fd.fileno())
            self._judge(child.wait())

    def _read(self, child: subprocess.Popen, frames_fd: int, times_fd: int) -> Iterator[np.ndarray | Frame]:
        assert child.stdout is not None
        assert child.stderr is not None
        sound, picture, times = bytearray(), bytearray(), _Times()
        deadline = time.monotonic() + self._limit_s
        with selectors.DefaultSelector() as selector:
            for fd in (child.stdout.fileno(), frames_fd, times_fd, child.stderr.fileno()):
                selector.register(fd, selectors.EVENT_READ)
            while selector.get_map():
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise ClipError("timeout", f"not decoded within {self._limit_s:g} s.")
                for key, _ in selector.select(remaining):
                    data = os.read(key.fd, CHUNK_BYTES)
                    if not data:
                        selector.unregister(key.fd)
                    elif key.fd == child.stderr.fileno():
                        self._log.add(data)
                    elif key.fd == times_fd:
                        times.add(data)
                    else:
                        (picture if key.fd == frames_fd else sound).extend(data)
                whole = len(sound) // 2 * 2
                if whole:
                    yield np.frombuffer(bytes(sound[:whole]), dtype="<i2")
                    del sound[:whole]
                while len(picture) >= self._frame_bytes and times.waiting:
                    pixels = np.frombuffer(bytes(picture[: self._frame_bytes]), dtype=np.uint8)
                    del picture[: self._frame_bytes]
                    shape = (self._view.frame_height, self._view.frame_width, 3)
                    yield Frame(times.waiting.popleft(), pixels.reshape(shape))
                    self.num_frames += 1

    def _judge(self, code: int) -> None:
        """Turn the child's end into a reason, if it gave nothing."""
        self.info.detail = self._log.last_words() or None
        if self.num_frames and not code:
            return
        if not self._log.has_input:
            raise ClipError("unreadable", self._log.last_words())
        if self.info.video_codec is None:
            raise ClipError("no_video", "no video stream: sound only, or a cover picture.")
        if self.info.audio_codec is None:
            raise ClipError("no_audio", "no audio stream.")
        if not self.num_frames:
            raise ClipError("unreadable", self._log.last_words())


class _Times:
    """The times of frames that have not been paired with their pixels yet, from lines such as `frame:3 pts:120000`."""

    LINE = re.compile(rb"frame:\d+ +pts:(-?\d+|NOPTS)")

    def __init__(self) -> None:
        self._rest = b""
        self._last_s = 0.0
        self.waiting: collections.deque[float] = collections.deque()

    def add(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for found in filter(None, map(self.LINE.match, lines)):
            if found.group(1) != b"NOPTS":  # a frame without a time has that of the one before
                self._last_s = int(found.group(1)) / 1e6
            self.waiting.append(self._last_s)


class _Log:
    """The child's stderr: stream descriptions, and the last complaints for a row's `detail`."""

    # [in#0 @ 0x55f] [error] File ended prematurely
    LINE = re.compile(r"^(?:\[(?P<part>[^\]]*?)(?: @ 0x[0-9a-f]+)?\] )*\[(?P<level>[a-z]+)\] (?P<text>.*)$")
    STREAM = re.compile(r"^ *Stream #0:\d+.*?: (Video|Audio): (\w+)(.*)$")
    SIZE = re.compile(r"[ ,](\d{1,5})x(\d{1,5})[ ,\n]")
    DURATION = re.compile(r"^ *Duration: (\d+):(\d\d):(\d\d\.\d+)")
    RATE = re.compile(r"([\d.]+)(k?) fps")

    def __init__(self, info: MediaInfo, path: Path) -> None:
        self._info = info
        self._name = f"file:{path}"
        self._rest = b""
        self._complaints: dict[str, str] = {}  # the last one of each part of ffmpeg: their threads come in any order
        self._in_outputs = False
        self.has_input = False

    def add(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace"))

    def last_words(self) -> str:
        """The last complaint of each part of ffmpeg, at most 500 characters: the same for the same file, anywhere."""
        return " | ".join(f"{part}: {text}" if part else text for part, text in sorted(self._complaints.items()))[:500]

    def _line(self, line: str) -> None:
        found = self.LINE.match(line)
        if not found:
            return
        text = found["text"]
        if found["level"] in ("error", "fatal", "panic"):
            self._complaints[found["part"] or ""] = text.strip().replace(self._name, "the file")
            return
        self.has_input |= text.startswith("Input #0")
        self._in_outputs |= text.startswith(("Output #", "Stream mapping"))
        duration = self.DURATION.match(text)
        if duration and self._info.duration_s is None:
            hours, minutes, seconds = duration.groups()
            self._info.duration_s = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
        stream = None if self._in_outputs else self.STREAM.match(text)
        if stream:
            self._stream(*stream.groups())

    def _stream(self, kind: str, codec: str, rest: str) -> None:
        if kind == "Audio":
            self._info.audio_codec = self._info.audio_codec or codec
        elif self._info.video_codec is None and "(attached pic)" not in rest:
            self._info.video_codec = codec
            size, rate = self.SIZE.search(rest), self.RATE.search(rest)
            if size:
                self._info.width, self._info.height = int(size.group(1)), int(size.group(2))
            if rate:
                self._info.frame_rate_hz = float(rate.group(1)) * (1000 if rate.group(2) else 1)


def _limit(pid: int, cpu_s: float) -> None:
    """Limit the child's address space, CPU time and written files (it writes to pipes only)."""
    if not hasattr(resource, "prlimit"):  # macOS: the wall clock and ffmpeg's own limits remain
        return
    for what, amount in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, int(cpu_s) + 1),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.prlimit(pid, what, (amount, amount))
        except ProcessLookupError:  # it has ended already
            return


def _pipe(stack: contextlib.ExitStack) -> tuple[BinaryIO, BinaryIO]:
    """The reading and the writing end of a pipe, closed with the stack."""
    reading, writing = os.pipe()
    return stack.enter_context(open(reading, "rb", buffering=0)), stack.enter_context(open(writing, "wb", buffering=0))


def _kill(child: subprocess.Popen) -> None:
    """End the child and whatever it started."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    for pipe in (child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
