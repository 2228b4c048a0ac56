"""Where ffmpeg runs: in a child process that may open the given file alone, under limits, without this one's secrets.

The media is untrusted. The limits of memory, CPU time, file size and open files hold for the whole child; the commands
(`decode_command`, `packets`, `muxing`) add ffmpeg's own, LIMITS and QUIET.
"""

import contextlib
import functools
import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import imageio_ffmpeg

from pipeline.errors import ConfigError

# Demuxers for files that hold sound and picture themselves. Playlists and scripts (hls, dash, concat, ...) would open
# other files, so they are not among them.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,ogg,asf,gif,wav,flac,mp3,h264,hevc"
)
MAX_PIXELS = 8192 * 8192  # a larger picture is an attack or a panorama: 200 MB for one decoded frame
MAX_STREAMS = 64  # a real file has 2 to 30 (languages, subtitles, a phone's metadata); each costs memory
# Options of ffmpeg.input for an untrusted file.
LIMITS = {
    "protocol_whitelist": "file",
    "format_whitelist": DEMUXERS,
    "max_streams": MAX_STREAMS,
    "max_pixels": MAX_PIXELS,
    "threads": 1,
}
# Options of every command; no allocation may be larger than 1 GiB.
QUIET = ("-hide_banner", "-nostdin", "-nostats", "-max_alloc", str(2**30))
MEMORY_BYTES = 4 * 2**30  # address space; 4k HEVC takes about 1 GB of it
MAX_OPEN_FILES = 128  # decoding by n clip specs uses 10 + 6 n (ffmpeg opens each pipe anew), writing two mp4s 10
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # no credentials, no proxies, no FFREPORT


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


def compile_command(stream: Any, paths: Mapping[str, Path]) -> list[str]:
    """The command of an ffmpeg-python stream, with each `file:<name>` replaced by the path of that name.

    They are put in last, because ffmpeg-python cannot hold one that is not UTF-8.
    """
    named = {f"file:{name}": f"file:{path.absolute()}" for name, path in paths.items()}
    return [named.get(argument, argument) for argument in stream.compile(cmd=ffmpeg_path())]


@contextlib.contextmanager
def ffmpeg_child(
    command: list[str],
    *,
    cpu_s: int,
    max_file_bytes: int,
    stdout: int = subprocess.DEVNULL,
    stderr: int | IO[bytes],
    pass_fds: tuple[int, ...] = (),
) -> Iterator[subprocess.Popen]:
    """Start ffmpeg under limits; it has ended, with all that it started, when the block is left.

    Args:
        command: from `ffmpeg_path()` on.
        cpu_s: CPU time, of all threads. The child gets SIGXCPU then, and SIGKILL 5 s later.
        max_file_bytes: length of each file that it may write; 0 where it writes to pipes only.
        stdout: where its output goes, as for `subprocess.Popen`.
        stderr: where its messages go.
        pass_fds: further open files for it.
    """
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
        env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        start_new_session=True,
    )
    try:
        _limit(child.pid, cpu_s, max_file_bytes)
        yield child
    finally:
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        for pipe in filter(None, (child.stdout, child.stderr)):
            pipe.close()


def _limit(pid: int, cpu_s: int, max_file_bytes: int) -> None:
    """Limit a child that has just been started.

    It has run for some milliseconds by then, in which it has read nothing of the file yet or little: a hook between
    fork and exec (`preexec_fn`) would be in time, but can hang a process that has threads.
    """
    if not hasattr(resource, "prlimit"):  # macOS: the wall clock and ffmpeg's own limits remain
        return
    limits = (
        (resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
        (resource.RLIMIT_CPU, (cpu_s, cpu_s + 5)),  # the first with SIGXCPU, which says that it was this
        (resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes)),
        (resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES)),
        (resource.RLIMIT_CORE, (0, 0)),
    )
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        for what, amounts in limits:
            resource.prlimit(pid, what, amounts)
