"""Pipes from a child that decodes to the process that reads: how they are opened, widened and emptied."""

import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import BinaryIO

from pipeline.media.streams import SMALL_BYTES

CHUNK_BYTES = 2**20
# Between reads: the child writes a line for each frame, and each would wake this process.
PAUSE_S = 0.002


def reading(add: Callable[[bytes], None]) -> Callable[[int], bool]:
    """A function that hands over what a pipe has, and returns False at its end."""

    def read(fd: int) -> bool:
        data = os.read(fd, CHUNK_BYTES)
        add(data)
        return bool(data)

    return read


def widen(pipe: int, picture_bytes: int) -> None:
    """Let a pipe hold more than its 64 kB where pictures are larger: a picture of 640x640 took 19 reads and pauses."""
    if picture_bytes > SMALL_BYTES and hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux
        with contextlib.suppress(OSError):  # a user's pipes have a limit together
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, min(picture_bytes, CHUNK_BYTES))


def open_pipe(stack: contextlib.ExitStack) -> tuple[BinaryIO, BinaryIO]:
    """The reading and the writing end of a pipe, closed with the stack."""
    reading, writing = os.pipe()
    return stack.enter_context(open(reading, "rb", buffering=0)), stack.enter_context(open(writing, "wb", buffering=0))
