"""Faces that are followed and sound, as they come -> how well each face agrees with the sound, second by second.

A face's mouths are embedded in windows that overlap, so that every row but the first and last of the face has what it
is computed from around it; the sound is embedded once, in windows of the same kind. Memory is that of a window of each
face that is in view, of the embeddings that wait for the other side, and of one row per face and second.

What is summed is summed in the order of time and in the pieces of the windows, so that the same video gives the same
bytes however its sound and picture come.
"""

import collections
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from pipeline.media.sound_buffer import SoundBuffer
from pipeline.media.streams import FULL_SCALE
from pipeline.metrics.speaking import shifted_cosines

MAX_OFFSET = 15
"""Frames by which sound may be early or late: 0.6 s, SyncNet's."""
MARGIN = 5
"""Frames at either end of a window whose rows another window gives: more than the two that an embedding reaches."""
TAIL_SAMPLES = 240
"""After the last frame's sound: of the last window of coefficients."""
Embed = Callable[[np.ndarray], np.ndarray]


@dataclass(slots=True)
class _Run:
    """Mouths of one face in a row."""

    start: int
    """Tick of the first mouth that is held."""
    done: int
    """First tick without an embedding."""
    mouths: list[np.ndarray] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The tick after the last."""
        return self.start + len(self.mouths)


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """Mouths to embed."""

    face: int
    start: int
    mouths: np.ndarray
    """[T, S, S, 3]"""
    first: int
    last: int
    """The ticks from `first` to before `last` are taken of it."""


class Agreement:
    """Sums of cosines of each face with the sound.

    Args:
        lips: [B, T, 3, S, S] uint8 -> [B, T, D].
        speech: [B, 640 T + 240] float32 in [-1, 1) -> [B, T, D].
        rate_hz: frames per second, a whole number.
        samples_per_frame: of the sound.
        window: frames of a window, as the model was trained with.
        batch_size: windows of mouths per call of `lips`.
    """

    def __init__(
        self, lips: Embed, speech: Embed, *, rate_hz: int, samples_per_frame: int, window: int, batch_size: int = 1
    ) -> None:
        if window <= 2 * MARGIN:
            raise ValueError(
                f"window = {window} frames: expected more than {2 * MARGIN}, of which others give the rows."
            )
        self._lips, self._speech, self._rate, self._per_frame = lips, speech, rate_hz, samples_per_frame
        self._window, self._batch_size = window, batch_size
        self._runs: dict[int, _Run] = {}
        self._queue: list[_Window] = []
        self._waiting: collections.deque[tuple[int, int, np.ndarray]] = collections.deque()  # face, tick, rows
        self._sound = SoundBuffer()
        self._heard: dict[int, np.ndarray] = {}  # tick -> row
        self._num_heard = 0  # ticks with a row
        self._of_face: dict[int, np.ndarray] = collections.defaultdict(_zeros)
        self._of_second: dict[int, dict[int, np.ndarray]] = collections.defaultdict(
            lambda: collections.defaultdict(_zeros)
        )
        self._is_heard: list[bool] = []
        self._tick = 0  # the first whose mouths have not come

    @property
    def num_samples(self) -> int:
        """Of the sound that has come."""
        return self._sound.end

    def add_sound(self, chunk: np.ndarray) -> None:
        """Take in [n] int16 samples."""
        per_second = self._rate * self._per_frame
        for begin in range(self._sound.end - self._sound.end % per_second, self._sound.end + len(chunk), per_second):
            piece = chunk[max(0, begin - self._sound.end) : begin + per_second - self._sound.end]
            while len(self._is_heard) <= begin // per_second:
                self._is_heard.append(False)
            self._is_heard[begin // per_second] |= bool(piece.any())
        self._sound.add(chunk)
        while self._sound.end >= (self._speech_start + self._window) * self._per_frame + TAIL_SAMPLES:
            start = self._speech_start
            self._embed_sound(start, self._window, start + self._window - MARGIN)

    def add_mouths(self, tick: int, mouths: Iterable[tuple[int, np.ndarray]]) -> None:
        """Take in the mouths of a tick by face, [S, S, 3] uint8 RGB; every tick after the last one in turn."""
        here, self._tick = dict(mouths), tick + 1
        for face in sorted(self._runs.keys() - here.keys()):
            self._end(face)
        for face, mouth in here.items():
            run = self._runs.setdefault(face, _Run(tick, tick))
            run.mouths.append(mouth)
            if len(run.mouths) == self._window:
                self._queue.append(_Window(face, run.start, np.stack(run.mouths), run.done, run.end - MARGIN))
                run.done = run.end - MARGIN
                del run.mouths[: self._window - 2 * MARGIN]
                run.start = run.done - MARGIN
        if len(self._queue) >= self._batch_size:
            self._embed_mouths()

    def finish(self) -> None:
        """There is no more sound and no more picture."""
        for face in sorted(self._runs):
            self._end(face)
        self._embed_mouths()
        num_ticks = self._sound.end // self._per_frame
        if self._num_heard < num_ticks:
            start = self._speech_start
            self._embed_sound(start, num_ticks - start, num_ticks)
        self._settle(is_over=True)

    @property
    def num_held(self) -> int:
        """Mouths and embeddings that are held, of a frame each."""
        mouths = sum(len(run.mouths) for run in self._runs.values()) + sum(len(each.mouths) for each in self._queue)
        return mouths + sum(len(rows) for _, _, rows in self._waiting) + len(self._heard)

    def is_heard(self, second: int) -> bool:
        """Whether there is any sound in a second."""
        return second < len(self._is_heard) and self._is_heard[second]

    def of_face(self, face: int) -> np.ndarray | None:
        """[2 MAX_OFFSET + 1] mean cosine at each offset over all the time that a face is seen; None without a row."""
        return _mean(self._of_face[face]) if face in self._of_face else None

    def of_second(self, second: int) -> dict[int, np.ndarray]:
        """[2 MAX_OFFSET + 1] mean cosine at each offset in a second, of each face that is seen in half of it."""
        found = self._of_second.get(second, {})
        return {face: _mean(sums) for face, sums in found.items() if sums[1].max() >= self._rate / 2}

    @property
    def _speech_start(self) -> int:
        """Tick at which the next window of sound begins."""
        return max(0, self._num_heard - MARGIN)

    def _end(self, face: int) -> None:
        """Embed what is left of a face that is gone, unless it was there for less than a second."""
        run = self._runs.pop(face)
        if run.done > run.start or len(run.mouths) >= self._rate:
            self._queue.append(_Window(face, run.start, np.stack(run.mouths), run.done, run.end))

    def _embed_mouths(self) -> None:
        while self._queue:
            length = len(self._queue[0].mouths)
            alike = [each for each in self._queue[: self._batch_size] if len(each.mouths) == length]
            found = self._lips(np.stack([each.mouths for each in alike]).transpose(0, 1, 4, 2, 3))
            for each, rows in zip(alike, found, strict=True):
                self._waiting.append((each.face, each.first, rows[each.first - each.start : each.last - each.start]))
                self._queue.remove(each)
        self._settle()

    def _embed_sound(self, start: int, length: int, last: int) -> None:
        """Rows of the ticks up to `last`, of a window of sound."""
        samples = self._sound.span(start * self._per_frame, length * self._per_frame + TAIL_SAMPLES)
        sound = np.zeros(length * self._per_frame + TAIL_SAMPLES, np.float32)
        sound[: len(samples)] = samples / np.float32(FULL_SCALE)
        rows = self._speech(sound[None])[0]
        self._heard.update((tick, rows[tick - start]) for tick in range(self._num_heard, last))
        self._num_heard = last
        self._sound.drop_before(self._speech_start * self._per_frame)
        self._settle()

    def _settle(self, is_over: bool = False) -> None:
        """Add up what both sides of are there."""
        while self._waiting:
            face, tick, rows = self._waiting[0]
            if not is_over and self._num_heard < tick + len(rows) + MAX_OFFSET:
                break
            self._waiting.popleft()
            nothing = np.full(rows.shape[1], np.nan, np.float32)
            around = range(tick - MAX_OFFSET, tick + len(rows) + MAX_OFFSET)
            heard = np.stack([self._heard.get(place, nothing) for place in around])
            cosines = shifted_cosines(torch.from_numpy(rows), torch.from_numpy(heard)).numpy().astype(np.float64)
            for number, row in enumerate(cosines, tick):
                added = np.stack([np.nan_to_num(row), ~np.isnan(row)])
                for sums in (self._of_face[face], self._of_second[number // self._rate][face]):
                    sums += added
        waiting = [each.first for each in self._queue] + [tick for _, tick, _ in self._waiting]
        needed = min([self._tick, *(run.done for run in self._runs.values()), *waiting]) - MAX_OFFSET
        for tick in [tick for tick in self._heard if tick < needed]:
            del self._heard[tick]


def _zeros() -> np.ndarray:
    """[2, 2 MAX_OFFSET + 1] sums of cosines and how many there are, at each offset."""
    return np.zeros((2, 2 * MAX_OFFSET + 1))


def _mean(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.asarray(sums[0] / sums[1])
