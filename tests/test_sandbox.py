"""The decoder's sandbox: whatever a file is, no other file is opened, nobody is called, and no process stays behind."""

import collections
import contextlib
import http.server
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import MakeMedia

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.errors import ClipError
from pipeline.media import sandbox
from pipeline.media.decoding import Decoding
from pipeline.media.sandbox import ffmpeg_path
from pipeline.media.streams import Frame
from tests.helpers.films import BEEP, BY_1, BY_25, CLOCK, FLASH, H264, LAVFI, TONE, decode, reason


def children() -> list[str]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return [pid for task in tasks for pid in (task / "children").read_text().split()]


@contextlib.contextmanager
def watched_pipe(path: Path) -> Iterator[list[float]]:
    """A named pipe; the list is not empty once somebody has opened it for reading."""
    os.mkfifo(path)
    opened: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            with contextlib.suppress(OSError):  # nobody reads
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                opened.append(time.monotonic())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield opened
    finally:
        done.set()
        thread.join()


# --- other files and the network ---


PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile '{target}'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{target}\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_under_a_videos_name_opens_no_other_file(kind: str, tmp_path: Path) -> None:
    with watched_pipe(tmp_path / "canary.ts") as opened:
        for target in (tmp_path / "canary.ts", "canary.ts", f"file:{tmp_path}/canary.ts"):
            (tmp_path / "innocent.mp4").write_text(PLAYLISTS[kind].format(target=target))
            assert reason(tmp_path / "innocent.mp4", limit_s=10) == "unreadable"
    assert not opened


@pytest.mark.parametrize("kind", ["concat", "hls"])
def test_a_playlist_under_a_videos_name_reaches_no_network(kind: str, tmp_path: Path) -> None:
    asked: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        target = f"http://127.0.0.1:{server.server_port}/canary.ts"
        (tmp_path / "innocent.mp4").write_text(PLAYLISTS[kind].format(target=target))
        assert reason(tmp_path / "innocent.mp4", limit_s=10) == "unreadable"
        server.shutdown()
        thread.join()
    assert not asked


def test_the_canary_sings_when_ffmpeg_is_let_loose(tmp_path: Path) -> None:
    with watched_pipe(tmp_path / "canary.ts") as opened:
        script = tmp_path / "innocent.mp4"
        script.write_text(PLAYLISTS["concat"].format(target=tmp_path / "canary.ts"))
        command = [ffmpeg_path(), "-nostdin", "-f", "concat", "-safe", "0", "-i", str(script), "-f", "null", "-"]
        subprocess.run(command, capture_output=True, check=False, timeout=20)
    assert opened


def atom(kind: bytes, *bodies: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, bodies)), kind) + b"".join(bodies)


def with_reference(movie: bytes, reference: bytes) -> bytes:
    """A movie, its index at the end, whose first track says that its media lies elsewhere."""
    local = atom(b"dref", struct.pack(">II", 0, 1), atom(b"url ", b"\0\0\0\1"))
    assert movie.index(b"moov") < movie.index(local)
    place = movie.index(local)
    changed = bytearray(movie.replace(local, atom(b"dref", struct.pack(">II", 0, 1), reference), 1))
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):  # what it lies in
        size = movie.rindex(kind, 0, place) - 4
        struct.pack_into(">I", changed, size, struct.unpack_from(">I", movie, size)[0] + len(changed) - len(movie))
    return bytes(changed)


def alias(path: str) -> bytes:
    """A Macintosh alias of an absolute path, as QuickTime's reference movies hold it."""
    name = path.encode() + b"\0" * (len(path) % 2)
    body = b"\0" * 10 + b"\1" + b"v".ljust(27, b"\0") + b"\0" * 12 + b"\1" + b"f".ljust(63, b"\0") + b"\0" * 16
    record = struct.pack(">hH", 2, len(name)) + name + struct.pack(">hH", -1, 0)
    return atom(b"alis", b"\0" * 4, body, b"\0" * 4, b"\0" * 16, record)


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_movie_whose_media_lies_elsewhere_opens_no_other_file(
    suffix: str, make_media: MakeMedia, tmp_path: Path
) -> None:
    movie = make_media(f"movie.{suffix}", *LAVFI, CLOCK, *LAVFI, BEEP, *H264, "-t", "1").read_bytes()
    innocent = tmp_path / f"innocent.{suffix}"
    canary = tmp_path / "canary"
    with watched_pipe(canary) as opened, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        for reference in (
            alias(str(canary)),
            alias(address),
            atom(b"url ", b"\0" * 4, b"file://" + os.fsencode(canary) + b"\0"),
            atom(b"url ", b"\0" * 4, address.encode() + b"\0"),
        ):
            innocent.write_bytes(with_reference(movie, reference))
            with contextlib.suppress(ClipError):  # the track is left out, or its times are read in the file itself
                decode(innocent, BY_1, limit_s=10)
        assert not opened
        with pytest.raises(BlockingIOError):  # nobody has called
            listener.accept()
        # the canary sings when ffmpeg is let loose
        innocent.write_bytes(with_reference(movie, alias(str(canary))))
        loose = ["-enable_drefs", "1", "-use_absolute_path", "1", "-i", str(innocent), "-f", "null", "-"]
        subprocess.run([ffmpeg_path(), "-nostdin", *loose], capture_output=True, check=False, timeout=20)
        assert opened


NAMES = [
    "-i.mp4", "concat:a|b.mp4", "a %03d *.mp4", "http:x.mp4", os.fsdecode(b"\xff\xfe.mp4"), "two\nlines\r.mp4",
    " spaces  .mp4 ", "many.dots..and.no.end", "'quotes\"\\.mp4", "n" * 251 + ".mp4", "\u00e9\U0001f3ac.mp4",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_read_as_an_option_a_protocol_or_a_pattern(
    name: str, make_media: MakeMedia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_media("flash.mp4", *LAVFI, FLASH, *LAVFI, BEEP, *H264, "-bf", "2").read_bytes()
    (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    _, frames, _ = decode(Path(name), BY_1)
    assert len(frames) == 4
    (tmp_path / name).write_bytes(b"no media")
    assert reason(tmp_path / name) == "unreadable"


# --- the child ---


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="limits are set and shown on Linux")
def test_the_child_runs_under_limits_and_without_this_process_environment(
    make_media: MakeMedia, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "swordfish")
    path = make_media("clock.mp4", *LAVFI, CLOCK, *LAVFI, TONE, *H264, "-bf", "2", "-g", "12")
    before = set(children())
    decoding = iter(
        Decoding(
            path, {BASE: ClipSpec(frame_rate_hz=25, frame_width=256, frame_height=256, exact_frames=True)}, limit_s=77
        )
    )
    next(decoding)  # its pipes fill, and it waits
    (child,) = set(children()) - before
    limits = Path(f"/proc/{child}/limits").read_text()
    environment = Path(f"/proc/{child}/environ").read_bytes()
    decoding.close()
    expected = {"file size": 0, "core file size": 0, "open files": 128, "address space": 4 * 2**30}
    for name, amount in expected.items():
        assert re.search(rf"^Max {name} +{amount} +{amount} ", limits, re.MULTILINE), name
    assert re.search(r"^Max cpu time +78 +83 ", limits, re.MULTILINE)
    assert b"swordfish" not in environment


def test_a_file_that_asks_for_more_memory_than_there_is_has_a_reason(
    make_media: MakeMedia, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_media("big.mp4", *LAVFI, "color=s=2048x2048:r=5:d=2", *LAVFI, "sine=d=2", *H264)
    monkeypatch.setattr(sandbox, "MEMORY_BYTES", 64 * 2**20)
    assert reason(path) == "unreadable"


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="limits are set on Linux")
def test_a_child_writes_no_longer_file_than_it_may(tmp_path: Path) -> None:
    command = [ffmpeg_path(), "-v", "error", "-re", *LAVFI, "color=s=64x64", "-t", "1", "-f", "rawvideo"]
    command.append(str(tmp_path / "out"))  # 25 frames of 6144 bytes
    with sandbox.ffmpeg_child(command, cpu_s=20, max_file_bytes=50_000, stderr=subprocess.DEVNULL) as child:
        assert child.wait(20) != 0
    assert (tmp_path / "out").stat().st_size <= 50_000


def test_a_file_that_keeps_the_decoder_waiting_is_a_timeout_and_leaves_no_process(tmp_path: Path) -> None:
    before = len(children()), len(os.listdir("/proc/self/fd"))
    os.mkfifo(tmp_path / "endless.mp4")
    began = time.monotonic()
    assert reason(tmp_path / "endless.mp4", limit_s=0.5) == "timeout"
    assert time.monotonic() - began < 5
    assert (len(children()), len(os.listdir("/proc/self/fd"))) == before


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGXCPU, signal.SIGSEGV])
def test_a_decoder_that_dies_leaves_what_came_before_and_a_word(end: signal.Signals, make_media: MakeMedia) -> None:
    path = make_media("clock.mp4", *LAVFI, CLOCK, *LAVFI, TONE, *H264, "-bf", "2", "-g", "12")
    before = set(children())
    decoding = Decoding(path, {BASE: ClipSpec(frame_rate_hz=25, frame_width=256, frame_height=256, exact_frames=True)})
    items = iter(decoding)
    while not isinstance(next(items), Frame):
        pass
    (child,) = set(children()) - before
    os.kill(int(child), end)
    reasons = {signal.SIGKILL: "killed", signal.SIGXCPU: "timeout"}  # the system's two: memory, and our CPU limit
    with pytest.raises(ClipError) if end in reasons else contextlib.nullcontext() as caught:
        collections.deque(items, maxlen=0)
    assert caught is None or caught.value.reason == reasons[end]
    assert 0 < decoding.num_frames < 125
    assert decoding.info.detail is not None
    assert end.name in decoding.info.detail or "CPU time" in str(caught and caught.value)


def test_a_caller_that_stops_early_leaves_no_process_and_no_open_file(make_media: MakeMedia) -> None:
    path = make_media("flash.mp4", *LAVFI, FLASH, *LAVFI, BEEP, *H264, "-bf", "2")
    before = len(children()), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        pass_over = iter(Decoding(path, {BASE: BY_25}))
        next(pass_over)
        pass_over.close()
    assert (len(children()), len(os.listdir("/proc/self/fd"))) == before


def test_ffmpeg_is_the_one_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_FFMPEG", "/somewhere/ffmpeg")
    ffmpeg_path.cache_clear()
    try:
        assert ffmpeg_path() == "/somewhere/ffmpeg"
    finally:
        ffmpeg_path.cache_clear()
