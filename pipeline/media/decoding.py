"""Container -> waveform and frames, in one pass of one ffmpeg child, for one clip spec or several.

The media is untrusted: the child runs in `media.sandbox`, has one decoding thread, may open nothing but the file itself
(protocol and demuxer whitelists), and has limits of wall time, streams, pixels and duration. What is taken of a file:

- One picture and one sound that belong together: where a file has several, `stream_choice.py` says which.
- Times: those of the file, its earliest stream at 0; edit lists and start offsets kept. Each frame carries its own time
  stamp; sound is placed by its time stamps, and what is missing is silence. Rotation and pixel aspect are applied.
- Channels: ITU-R BS.775 to mono, C + 0.71 (L + R) + 0.5 (Ls + Rs), divided by the sum of the weights of the channels
  there are, so that it cannot clip: stereo is (L + R) / 2, and 5.1 is 0.29 C + 0.21 (L + R) + 0.15 (Ls + Rs). LFE is
  left out, and the stream's own downmix values are ignored. Sound none of whose
  channels has a known place is heard as the mean of its channels.
- Colours: 8 bits per channel from any depth, range and matrix. HDR is not tone-mapped: white comes out grey (PQ's 203
  nits as 146 of 255, HLG's as 176). Mapping would cost 1 to 2 CPU seconds per file, and would need the
  file's colour metadata before decoding.

Design note: stderr is parsed, because the streams are described there; a second process that probes the file would cost
30 to 50 ms.
"""

import contextlib
import itertools
import math
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError
from pipeline.media.decode_command import SMALL, Pipes, decode_command
from pipeline.media.ffmpeg_log import DecoderLog, MediaInfo
from pipeline.media.frame_buffer import TICK_SLACK_S, first_old_tick_s
from pipeline.media.own_sound import OwnSound, OwnSoundReader
from pipeline.media.packets import read_packets
from pipeline.media.pipes import CHUNK_BYTES, PAUSE_S, open_pipe, reading, widen
from pipeline.media.sandbox import ffmpeg_child
from pipeline.media.stream_choice import FIRST, StreamChoice, choose_streams, downmix_of, needs_choice
from pipeline.media.streams import Frame, Gaps, PlacedSound, TimedFrames

MAX_DURATION_S = 12 * 3600.0
ROUNDING_S = 0.01  # of the length that ffmpeg's list states
Listener = Callable[[OwnSound | Frame], None]
SIGNALLED = 255  # ffmpeg's exit code after a signal that ends it: SIGXCPU, no other is sent to it


class SkippedPicturesError(Exception):
    """For no spec do the pictures that are decoded lie close enough to stand in for those left out: decode all."""


class Decoding:
    """One pass over one file: iterate for chunks of sound ([n] int16) and frames, each in the order of time.

    `info` is filled while it runs. Memory does not grow with the file's length unless the caller keeps the items.

    Args:
        path: a local file.
        specs: rates and sizes to decode to, by name; alike in `exact_frames` and `sample_rate_hz`, and in whether they
            have frames.
        limit_s: wall-clock limit for the whole file; CPU time is limited to the same.
        max_duration_s: what lies later than this on the file's clock is left out, and decoding ends once both sound
            and picture have passed it: a small file whose time stamps jump far ahead would otherwise yield endless
            silence.
        end_s: what is later is decoded and not needed.
        every_picture: decode every picture, also where the specs do not ask for it.
        with_sound: False gives the frames alone, also of a file without sound.
        listener: is given the sound with the file's own rate and channels, which is not made for None.
        with_small: it is also given each picture that is decoded, small, as a `Frame` of no spec ("").
    Raises (while iterating):
        ClipError: nothing could be decoded. Reasons: no_video, no_audio, unreadable, timeout, killed.
        SkippedPicturesError: all specs are `skipped`.
    """

    def __init__(
        self,
        path: Path,
        specs: Mapping[str, ClipSpec],
        limit_s: float = 3600.0,
        max_duration_s: float = MAX_DURATION_S,
        end_s: float = math.inf,
        every_picture: bool = False,
        with_sound: bool = True,
        listener: Listener | None = None,
        with_small: bool = False,
    ) -> None:
        if len({(spec.exact_frames, spec.sample_rate_hz, spec.num_frames > 0) for spec in specs.values()}) != 1:
            raise ValueError(f"{list(specs)}: expected specs alike in exact_frames, sample_rate_hz and having frames.")
        self._path, self._specs, self._limit_s, self._max_duration_s = path, specs, limit_s, max_duration_s
        self._pictured = {name: spec for name, spec in specs.items() if spec.num_frames}
        self._cpu_s = int(limit_s) + 1
        self._end_s = min(end_s, max_duration_s)
        self._every_picture = every_picture or next(iter(specs.values())).exact_frames
        self._with_sound, self._listener, self._with_small = with_sound, listener, with_small
        self._deadline = 0.0
        self._has_chosen = False
        self._no_decoder: set[str] = set()
        self.choice = FIRST
        """The streams that are decoded: known once the first item has come."""
        self.skipped: set[str] = set()
        """Specs for which pictures that are decoded lie more than half a tick apart, or end so long before the file's:
        they want every picture, and none of their frames is given any more."""
        self.info = MediaInfo()
        self._log = DecoderLog(self.info, path.absolute(), self.choice)
        self.num_frames = 0
        self._sound_s = 0.0
        self._last_s: dict[str, float] = {}  # of each spec, its last frame's time

    def __iter__(self) -> Generator[np.ndarray | Frame, None, None]:
        self._deadline = time.monotonic() + self._limit_s
        while not (yield from self._decode()):  # at most once for the choice, and once for each codec without a decoder
            self.info = MediaInfo(detail=self.choice.note)
            self._log = DecoderLog(self.info, self._path.absolute(), self.choice)

    def _decode(self) -> Generator[np.ndarray | Frame, None, bool]:
        """Run one child; return False if its list of streams shows that others, or another downmix, are wanted."""
        with contextlib.ExitStack() as stack:
            num_own = (self._listener is not None) + 2 * self._with_small
            ours, theirs = zip(*(open_pipe(stack) for _ in range(2 + num_own + 3 * len(self._pictured))), strict=True)
            pipes = self._pipes(theirs)
            specs = list(self._specs.values())
            path, wanted = self._path.absolute(), (self._every_picture, self._with_sound)
            command = decode_command(path, specs, self.choice, pipes, *wanted)
            child = stack.enter_context(
                ffmpeg_child(
                    command,
                    cpu_s=self._cpu_s,
                    max_file_bytes=0,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=tuple(pipes),
                )
            )
            for end, spec in zip(self._pipes(ours).frames, self._pictured.values(), strict=True):
                widen(end, 3 * math.prod(spec.decoded_size))
            for end in theirs:
                end.close()
            is_over = yield from self._read(child, self._pipes(ours))
            if self._log.no_decoder:
                self._choose_decodable()
            if self._log.choice != self.choice:
                return False
            self._raise_for_exit(0 if is_over else child.wait())
            return True

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """Width and height in pixels of the picture as it is decoded: turned if it is shown so, pixels as they are."""
        width, height = self.info.width, self.info.height
        if width is None or height is None:
            return None
        return (height, width) if self._log.is_turned else (width, height)

    @property
    def picture_shape(self) -> float:
        """Width over height of the picture as it is shown; 1 if the container states no size."""
        width, height = self.picture_size or (1, 1)
        return width / height * (1 / self._log.pixel_aspect if self._log.is_turned else self._log.pixel_aspect)

    def sound_alone(self) -> StreamChoice:
        """The first sound of a file that turned out to have no picture (no_video)."""
        sounds = [stream for stream in self._log.streams.values() if stream.kind == "Audio"]
        return StreamChoice(downmix=downmix_of(sounds[0])) if sounds else FIRST

    def _is_wrong_choice(self) -> bool:
        """Whether other streams are to be decoded, once their list is known; it is looked at once."""
        if not self._has_chosen:
            self._has_chosen = True
            streams, is_broadcast = self._log.streams.values(), self._log.is_broadcast
            with_picture = bool(self._pictured)
            if needs_choice(streams, is_broadcast, with_picture):
                path = self._path.absolute()
                chosen = choose_streams(path, streams, is_broadcast, self._limit_s, with_picture=with_picture)
                self.choice = chosen or self.choice
        return self._log.choice != self.choice

    def _choose_decodable(self) -> None:
        """Choose others than those that ffmpeg could not decode, if there are any."""
        self._has_chosen = True
        self._no_decoder |= self._log.no_decoder
        streams, path = self._log.streams.values(), self._path.absolute()
        of_file = (self._log.is_broadcast, self._limit_s, self._no_decoder, bool(self._pictured))
        chosen = choose_streams(path, streams, *of_file)
        self.choice = chosen or self.choice

    def _pipes(self, ends: Sequence[BinaryIO]) -> Pipes:
        times, lengths, *others = (end.fileno() for end in ends)
        num_of_specs = 3 * len(self._pictured)
        of_specs, own = others[:num_of_specs], others[num_of_specs:]
        own_sound, small, small_times = (*own, None, None, None)[:3]
        frames, frame_times, gaps = (tuple(of_specs[kind::3]) for kind in range(3))
        return Pipes(times, lengths, frames, frame_times, gaps, own_sound, small, small_times)

    def _read(self, child: subprocess.Popen, pipes: Pipes) -> Generator[np.ndarray | Frame, None, bool]:
        """What the child decodes; return whether it was left before its end, because no more is wanted."""
        assert child.stdout is not None
        assert child.stderr is not None
        sound = PlacedSound(next(iter(self._specs.values())).sample_rate_hz, self._max_duration_s)
        pictures = [TimedFrames(name, spec, self._max_duration_s) for name, spec in self._pictured.items()]
        gaps = {name: Gaps(self._end_s) for name in self._pictured}
        own = OwnSoundReader(sound)
        small = TimedFrames("", SMALL, self._max_duration_s)
        for fd in pipes.gaps:
            os.set_blocking(fd, False)
        readers: list[tuple[int | None, Callable[[int], bool]]] = [
            (child.stderr.fileno(), reading(self._log.add)),
            (child.stdout.fileno(), reading(sound.add)),
            *((fd, picture.read) for fd, picture in zip(pipes.frames, pictures, strict=True)),
            (pipes.sound_times, reading(sound.times.add)),
            (pipes.sound_lengths, reading(sound.lengths.add)),
            *((fd, reading(picture.times.add)) for fd, picture in zip(pipes.frame_times, pictures, strict=True)),
            (pipes.own_sound, reading(own.add)),
            (pipes.small, small.read),
            (pipes.small_times, reading(small.times.add)),
        ]
        with selectors.DefaultSelector() as selector:
            for pipe, read in readers:
                if pipe is not None:
                    selector.register(pipe, selectors.EVENT_READ, read)
            while selector.get_map():
                remaining = self._deadline - time.monotonic()
                if remaining <= 0:
                    notes = (f"not decoded within {self._limit_s:g} s", self._log.last_errors())
                    raise ClipError("timeout", " | ".join(filter(None, notes)))
                time.sleep(PAUSE_S)
                for key, _ in selector.select(remaining):
                    if not key.data(key.fd):
                        selector.unregister(key.fd)
                # after the frames: the line of a gap is written before those of the frames that follow it
                for fd, of_spec in zip(pipes.gaps, gaps.values(), strict=True):
                    with contextlib.suppress(BlockingIOError):
                        of_spec.add(os.read(fd, CHUNK_BYTES))
                self.skipped |= {name for name, of_spec in gaps.items() if of_spec.found}
                if len(self.skipped) == len(self._specs):
                    raise SkippedPicturesError
                if not self._log.is_listed:
                    continue
                if self._is_wrong_choice():
                    return True
                yield from sound.take()
                self._listen(own.take(), small.take())
                yield from self._counted(picture.take() for picture in pictures)
                if sound.is_over and all(picture.is_over for picture in pictures):
                    break
            is_over = bool(selector.get_map())
        yield from sound.finish()
        self._sound_s = sound.end_s
        end_s = max(self.info.duration_s or 0.0, sound.end_s)
        self._listen(own.finish(), small.finish(end_s))
        yield from self._counted(picture.finish(end_s) for picture in pictures)
        if not is_over and not self._every_picture:
            self._skip_early_ends(end_s)
        return is_over

    def _skip_early_ends(self, end_s: float) -> None:
        """Skip specs with a tick whose own picture, at the end, was left out, and the last one is half a tick too old.

        Args:
            end_s: where the file ends by its sound or its container. Only if that is a picture after such a tick, the
                packets say whether the picture does not simply end before the sound.
        """
        rate_hz = self.info.frame_rate_hz or 0.0
        reach_s = min(end_s + ROUNDING_S - (1 / rate_hz if rate_hz >= 1 else 0.0), self._end_s)
        old_s = {name: first_old_tick_s(self._specs[name], last_s) for name, last_s in self._last_s.items()}
        old_s = {name: tick_s for name, tick_s in old_s.items() if name not in self.skipped and tick_s < reach_s}
        if not old_s:
            return
        streams = self.choice.picture, self.choice.sound
        packets = read_packets(self._path.absolute(), streams, self._limit_s, self.choice.max_jump_s)
        shown_s = (packet.shown_s for packet in packets if packet.stream == 0)
        last_s = max((at_s for at_s in shown_s if at_s < self._end_s), default=0.0)
        self.skipped |= {name for name, tick_s in old_s.items() if tick_s <= last_s + TICK_SLACK_S}
        if len(self.skipped) == len(self._specs):
            raise SkippedPicturesError

    def _listen(self, *given: Iterable[OwnSound | Frame]) -> None:
        if self._listener is not None:
            for item in itertools.chain(*given):
                self._listener(item)

    def _counted(self, frames: Iterable[Iterator[Frame]]) -> Iterator[Frame]:
        for frame in itertools.chain.from_iterable(frames):
            self.num_frames += 1
            self._last_s[frame.spec] = frame.time_s
            if frame.spec not in self.skipped:
                yield frame

    def _raise_for_exit(self, code: int) -> None:
        """Raise the reason why nothing could be decoded, if nothing was."""
        notes = [self._log.last_errors()]
        if code < 0:
            notes.insert(0, f"the decoder was ended by {signal.Signals(-code).name}")
        elif code and not notes[0]:
            notes.insert(0, f"the decoder ended with code {code} and gave no message")
        if self.info.duration_s and self.info.duration_s > self._max_duration_s:
            notes.insert(
                0, f"the container states {self.info.duration_s:g} s, of which {self._max_duration_s:g} s are read"
            )
        notes.insert(0, self.choice.note or "")
        self.info.detail = " | ".join(filter(None, notes)) or None
        has_decoded = self.num_frames > 0 if self._pictured else self._sound_s > 0
        if has_decoded and not code:
            return
        if code == SIGNALLED:
            raise ClipError("timeout", f"more than {self._cpu_s} s of CPU time.")
        if code == -signal.SIGKILL:  # by the system, for want of memory: another try may go well
            raise ClipError("killed", f"{self.info.detail}, not by Earshot: another try may succeed.")
        if not self._log.has_input:
            raise ClipError("unreadable", self.info.detail or "")
        if self._pictured and self.info.video_codec is None:
            raise ClipError("no_video", "no video stream: sound only, or a cover picture.")
        if self._with_sound and self.info.audio_codec is None:
            raise ClipError("no_audio", "no audio stream.")
        if not has_decoded:
            what = "frame" if self._pictured else "sound"
            raise ClipError("unreadable", self.info.detail or f"no {what} could be decoded")
