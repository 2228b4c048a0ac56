"""The sound of a file at its own sample rate, with its own channels, placed by its time stamps.

The picture is not decoded, but its packets are read: an MPEG-TS begins at the first of the streams in use, and both
passes over a file must have one clock.
"""

import contextlib
import selectors
import struct
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import ffmpeg
import numpy as np

from pipeline.errors import ClipError
from pipeline.media.decode_command import sound_filters
from pipeline.media.decoding import MAX_DURATION_S
from pipeline.media.ffmpeg_log import in_one_line
from pipeline.media.pipes import PAUSE_S, open_pipe, reading
from pipeline.media.sandbox import LIMITS, QUIET, compile_command, ffmpeg_child
from pipeline.media.stream_choice import StreamChoice
from pipeline.media.streams import Numbers, PlacedSound, is_gap

AU_HEADER = struct.Struct(">4sIIIII")  # magic, offset of the samples, their bytes, encoding, sample rate, channels
MAX_WAIT_S = 300.0  # for the next samples: a file that keeps ffmpeg busy for longer is an attack
LOG_BYTES = 500


class SoundDecoding:
    """One pass over the sound of one file: iterate for chunks [n, C] float32 in the order of time, full scale 1.

    Args:
        path: a local file.
        choice: its streams.
        rate_hz: sample rate to decode to.
        has_picture: whether the file has the choice's picture, whose packets keep the clock.
        is_mono: mix the channels by the choice's downmix.
        limit_s: limit of CPU time. Wall time is limited between chunks, not in all: a model may work meanwhile.
    Raises (while iterating):
        ClipError: no sound could be decoded. Reasons: no_audio, timeout.
    """

    def __init__(
        self,
        path: Path,
        choice: StreamChoice,
        rate_hz: int,
        *,
        has_picture: bool = True,
        is_mono: bool = False,
        limit_s: float = 12 * 3600.0,
    ) -> None:
        self._path, self._choice, self._rate_hz = path, choice, rate_hz
        self._has_picture, self._is_mono, self._limit_s = has_picture, is_mono, limit_s
        self._times, self._lengths = Numbers(), Numbers()
        self._header = b""
        self._sound: PlacedSound | None = None  # once the header has come
        self.detail: str | None = None
        """What ffmpeg said of errors, once all has been read."""

    def __iter__(self) -> Generator[np.ndarray, None, None]:
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(tempfile.TemporaryFile())
            ours, theirs = zip(*(open_pipe(stack) for _ in range(2)), strict=True)
            command = self._command(*(end.fileno() for end in theirs))
            child = stack.enter_context(
                ffmpeg_child(
                    command,
                    cpu_s=int(self._limit_s) + 1,
                    max_file_bytes=LOG_BYTES * 2000,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    pass_fds=tuple(end.fileno() for end in theirs),
                )
            )
            for end in theirs:
                end.close()
            has_sound = False
            for chunk in self._read(child, *(end.fileno() for end in ours)):
                has_sound = True
                yield np.broadcast_to(np.float32(0), chunk.shape) if is_gap(chunk) else _usable(chunk)
            log.seek(0)
            self.detail = in_one_line(log.read(LOG_BYTES), command)
            if not has_sound:
                raise ClipError("no_audio", self.detail or "the audio stream holds no sound.")

    def _command(self, times: int, lengths: int) -> list[str]:
        source = ffmpeg.input("file:input", dts_delta_threshold=self._choice.max_jump_s, **LIMITS)
        filters = sound_filters(self._rate_hz, times, lengths, self._choice.downmix if self._is_mono else None)
        outputs = [ffmpeg.output(source[self._choice.sound], "pipe:1", af=filters, acodec="pcm_f32be", format="au")]
        if self._has_picture:
            outputs.append(ffmpeg.output(source[self._choice.picture], "-", format="null", vcodec="copy"))
        command = ffmpeg.merge_outputs(*outputs).global_args(*QUIET, "-v", "error", "-filter_threads", "1")
        return compile_command(command, {"input": self._path})

    def _read(self, child: subprocess.Popen, times: int, lengths: int) -> Iterator[np.ndarray]:
        assert child.stdout is not None
        with selectors.DefaultSelector() as selector:
            for fd, add in (
                (child.stdout.fileno(), self._add),
                (times, self._times.add),
                (lengths, self._lengths.add),
            ):
                selector.register(fd, selectors.EVENT_READ, reading(add))
            while selector.get_map() and not (self._sound and self._sound.is_over):
                ready = selector.select(MAX_WAIT_S)
                if not ready:
                    raise ClipError("timeout", f"no sound was decoded for {MAX_WAIT_S:g} s.")
                for key, _ in ready:
                    if not key.data(key.fd):
                        selector.unregister(key.fd)
                if self._sound is not None:
                    yield from self._sound.take()
                time.sleep(PAUSE_S)
        if self._sound is not None:
            yield from self._sound.finish()

    def _add(self, data: bytes) -> None:
        """Take in the AU stream: a header with the number of channels, then samples."""
        if self._sound is not None:
            self._sound.add(data)
            return
        self._header += data
        if len(self._header) < AU_HEADER.size:
            return
        _, offset, _, _, _, num_channels = AU_HEADER.unpack_from(self._header)
        if len(self._header) >= offset:
            sample = np.dtype((">f4", (num_channels,)))
            self._sound = PlacedSound(self._rate_hz, MAX_DURATION_S, sample)
            self._sound.times, self._sound.lengths = self._times, self._lengths
            self._sound.add(self._header[offset:])


def _usable(chunk: np.ndarray) -> np.ndarray:
    """Samples in this machine's byte order; what is no number becomes 0, what is infinite full scale."""
    return np.nan_to_num(chunk.astype(np.float32), posinf=1.0, neginf=-1.0)
