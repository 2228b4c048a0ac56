"""What moves a thing at a time: functions of its notes that `sounds.py` hears and `sights.py` draws alike.

Comes in: notes and times. Goes out: one number per time. A thing without notes gets the values of rest, so a still
thing is drawn by the same code as a moving one.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.kinds import FRICATIVE, VOWELS, Note

Floats = NDArray[np.floating]

LONG_S = 1e3  # "never": longer than any gesture


class Motion:
    """The notes of one source, ready to be asked about many times at once.

    Every method takes `t`, [K] times in seconds, and returns [K] numbers.
    """

    def __init__(self, notes: tuple[Note, ...] = (), spans: tuple[tuple[float, float], ...] = ()) -> None:
        self.notes = notes
        self.spans = spans
        self._onsets = np.array([-LONG_S] + [note.start_s for note in notes] + [2 * LONG_S * LONG_S])
        self._strengths = np.array([0.0] + [note.strength for note in notes])
        self._shapes = np.array([0] + [note.shape for note in notes])
        self._pitches = np.array([1.0] + [note.pitch_hz for note in notes])

    def count(self, t: Floats) -> NDArray[np.intp]:
        """Notes that have started by then."""
        return np.searchsorted(self._onsets, t, side="right") - 1

    def since(self, t: Floats) -> Floats:
        """Seconds since the latest onset; `LONG_S` or more before the first."""
        return t - self._onsets[self.count(t)]

    def until(self, t: Floats) -> Floats:
        """Seconds to the next onset; `LONG_S` or more after the last."""
        return self._onsets[self.count(t) + 1] - t

    def strength(self, t: Floats) -> Floats:
        """Strength of the latest note, 0 before the first."""
        return self._strengths[self.count(t)]

    def shape(self, t: Floats) -> NDArray[np.int_]:
        """Variant of the latest note."""
        return self._shapes[self.count(t)]

    def pulse(self, t: Floats, decay_s: float) -> Floats:
        """Jumps to a note's strength at its onset and falls by 1/e every `decay_s`."""
        return self.strength(t) * np.exp(-self.since(t) / decay_s)

    def active(self, t: Floats, fade_s: float = 0.0) -> Floats:
        """1 within the spans, 0 outside; rises and falls inside a span within `fade_s`."""
        if not self.spans:
            return np.zeros_like(t)
        edge = max(fade_s, 1e-6)
        points = np.concatenate([[start, start + edge, end - edge, end] for start, end in self.spans])
        return np.interp(t, points, np.tile([0.0, 1.0, 1.0, 0.0], len(self.spans)))

    def level(self, t: Floats, attack_s: float, release_s: float) -> Floats:
        """How strongly notes are driven: a trapezoid over each note, 0 between notes."""
        return trapezoids(t, [(n.start_s, n.duration_s, n.strength) for n in self.notes], attack_s, release_s)

    def glide(self, t: Floats, values: Floats, slew_s: float) -> Floats:
        """`values` [notes], one per note, reached from the value before within `slew_s` of the note's onset."""
        if not self.notes:
            return np.zeros_like(t)
        onsets = self._onsets[1:-1]
        before = np.concatenate([values[:1], values[:-1]])
        points = np.stack([onsets, onsets + slew_s], axis=1).ravel()
        return np.interp(t, points, np.stack([before, values], axis=1).ravel())

    def turns(self, t: Floats) -> Floats:
        """Turns made by then, one per note: of a siren's light and tone, of a bell's half swings, of bow strokes."""
        if not self.notes:
            return np.zeros_like(t)
        starts = self._onsets[1:-1]
        ends = np.minimum(self._onsets[2:], starts + [note.duration_s for note in self.notes])
        points = np.stack([starts, np.maximum(ends, starts + 1e-3)], axis=1).ravel()
        numbers = np.arange(len(starts))
        return np.interp(t, points, np.stack([numbers, numbers + 1.0], axis=1).ravel())

    def turns_between(self, t: Floats) -> Floats:
        """Like `turns`, but moving evenly from each onset to the next, also where a note is shorter than that."""
        if not self.notes:
            return np.zeros_like(t)
        starts = self._onsets[1:-1]
        return np.interp(t, np.append(starts, starts[-1] + self.notes[-1].duration_s), np.arange(len(starts) + 1.0))

    def wheel_turns(self, t: Floats) -> Floats:
        """Turns of a wheel that runs, while active, at a 30th of the pitch it glides between."""
        if not self.notes:
            return np.zeros_like(t)
        fine = np.arange(0, max(end for _, end in self.spans) + 0.02, 0.01)
        rates_hz = self.glide(fine, self._pitches[1:] / 30, 0.25) * self.active(fine)
        return np.interp(t, fine, np.cumsum(rates_hz) * 0.01)


def trapezoids(t: Floats, bumps: list[tuple[float, float, float]], attack_s: float, release_s: float) -> Floats:
    """A line that rises over `attack_s` to each bump's height and falls to 0 over its last `release_s`.

    Args:
        t: [K] times.
        bumps: (start_s, duration_s, height), in time order, none overlapping the next.
        attack_s: rise; it and `release_s` shrink where a bump is shorter than both.
        release_s: fall.
    Returns:
        [K] in 0 to 1.

    >>> trapezoids(np.array([0.0, 1.0, 1.5, 2.0, 3.0]), [(1.0, 2.0, 0.8)], 0.5, 0.5).tolist()
    [0.0, 0.0, 0.8, 0.8, 0.0]
    """
    if not bumps:
        return np.zeros_like(t)
    starts, durations, heights = np.array(bumps).T
    squeeze = np.minimum(1.0, durations / (attack_s + release_s))
    points = np.stack(
        [starts, starts + attack_s * squeeze, starts + durations - release_s * squeeze, starts + durations], axis=1
    )
    values = np.stack([0 * heights, heights, heights, 0 * heights], axis=1)
    return np.interp(t, points.ravel(), values.ravel(), left=0.0, right=0.0)


def vowel_weights(t: Floats, notes: tuple[Note, ...]) -> Floats:
    """[5, K]: how much of each of `VOWELS` is being said; the voice's formants and the mouth's shape both follow it."""
    tracks = []
    for vowel in range(len(VOWELS)):
        bumps = [(n.start_s, n.duration_s, n.strength) for n in notes if n.shape % FRICATIVE == vowel]
        tracks.append(trapezoids(t, bumps, 0.06, 0.06))
    return np.stack(tracks)
