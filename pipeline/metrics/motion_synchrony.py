"""How far a sound is shifted against what moves in the picture: from how much changes when, without any model.

Conventions
-----------
Curves are [n] at CURVE_HZ, on one clock, from time 0 on. An offset above 0 means that the sound is late: what moves at
t is heard at t + offset (as in `synchrony.py`). What moves in time with its sound changes the picture most when the
sound begins or is loud; a steady hum or running water does not, and what repeats itself fits at several offsets: then
the confidence is low.

Metrics
-------
- `sound_curves`: how much begins, and how loud it is, at each moment.
- `motion_curves`: how much each part of the picture changes at each moment.
- `offset_curve`: correlation of motion with both curves of the sound, added up, in the best part, at every offset.
- `best_offset`: the offset with the highest of these, and how far it stands out from those farther than NEAR_S off.

References
----------
Bello et al. 2005, "A tutorial on onset detection in music signals", section III (rise of the log spectrum by bands).
Fisher, Darrell 2004, "Speaker association with signal-level audiovisual fusion" (correlation of motion and energy).
"""

import numpy as np
from numpy.typing import NDArray

CURVE_HZ = 100
MAX_OFFSET_S, STEP_S = 1.0, 0.05
NEAR_S = 0.2
WINDOW_S, NUM_BANDS, FLOOR = 0.032, 16, 1e-3  # of the spectrum; the floor is a share of its loudest band
MOTION_S, ONSET_S, LOUDNESS_S = 0.05, 0.12, 0.05  # half widths of smoothing: pictures come 10 to 30 a second
MIN_LENGTH = 1e-6  # of what varies: below, it is rounding
EDGE_S = 0.1  # at both ends of a curve, where smoothing lacks half of its window

Curve = NDArray[np.float64]


def sound_curves(waveform: NDArray[np.floating], rate_hz: int) -> tuple[Curve, Curve]:
    """Onset strength and log loudness of a sound [T], each [n] with n = T * CURVE_HZ / rate_hz, rounded down."""
    hop, size = rate_hz // CURVE_HZ, round(WINDOW_S * rate_hz)
    num = len(waveform) // hop
    padded = np.pad(waveform.astype(np.float32), (size // 2, size))
    window = np.hanning(size).astype(np.float32)
    edges = np.unique(np.geomspace(2, size // 2, NUM_BANDS + 1).astype(int))
    bands = np.empty((num, len(edges) - 1))
    for start in range(0, num, 1000):  # 2 MB of windows at a time
        places = np.arange(start, min(num, start + 1000))[:, None] * hop + np.arange(size)
        spectrum = np.abs(np.fft.rfft(padded[places] * window, axis=1))[:, : edges[-1]]
        bands[start : start + 1000] = np.add.reduceat(spectrum, edges[:-1], axis=1) / np.diff(edges)
    floor = FLOOR * bands.max(initial=0.0) + 1e-12
    rise = np.diff(np.log(floor + bands), axis=0, prepend=np.log(floor + bands[:1]))
    return _smooth(np.maximum(rise, 0).sum(axis=1), ONSET_S), _smooth(np.log(bands.mean(axis=1) + floor), LOUDNESS_S)


def motion_curves(times_s: NDArray[np.floating], changes: NDArray[np.floating], num: int) -> Curve:
    """[C, num] how much each of C parts of the picture changes.

    Args:
        times_s: [F] of the pictures, ascending.
        changes: [F, C] what changes in each of them since the one before.
        num: length of the curves.
    """
    grid = np.arange(num) / CURVE_HZ
    return np.stack([_smooth(np.interp(grid, times_s, part), MOTION_S) for part in changes.T])


def offset_curve(motions: Curve, sounds: tuple[Curve, Curve]) -> Curve:
    """[2 m + 1] sum of two correlations, -2 to 2, at the offsets -MAX_OFFSET_S to MAX_OFFSET_S in steps of STEP_S.

    Args:
        motions: [C, n] of parts of the picture; at each offset the part that fits best counts.
        sounds: two curves [n] of `sound_curves`.
    Raises:
        ValueError: at the largest offset no second is left that has both.
    """
    most, step, edge = (round(value * CURVE_HZ) for value in (MAX_OFFSET_S, STEP_S, EDGE_S))
    num = min(motions.shape[1], *map(len, sounds))
    if num - 2 * edge - most < CURVE_HZ:
        raise ValueError(f"{num / CURVE_HZ:g} s, expected {MAX_OFFSET_S + 2 * EDGE_S + 1:g} s or more.")
    scores = []
    for offset in range(-most, most + 1, step):
        begin, end = edge + max(0, -offset), num - edge - max(0, offset)
        moved = _centred(motions[:, begin:end])
        heard = _centred(np.stack([sound[begin + offset : end + offset] for sound in sounds]))
        scores.append((moved @ heard.T).sum(axis=1).max())
    return np.array(scores)


def best_offset(scores: Curve, step_s: float = STEP_S) -> tuple[float | None, float]:
    """Seconds that the sound is late, and the confidence: the best score less the best one farther than NEAR_S off.

    None where all scores are equal: nothing moves, or there is no sound. Of equal scores the nearest to 0 counts.

    >>> best_offset(np.array([0.0, 0.1, 0.2, 0.1, 0.8]), 0.5)
    (1.0, 0.6000000000000001)
    """
    if np.ptp(scores) < 1e-9:
        return None, 0.0
    middle = len(scores) // 2
    offsets = np.arange(len(scores)) - middle
    best = min(np.flatnonzero(scores == scores.max()).tolist(), key=lambda place: abs(place - middle))
    far = np.abs(offsets - offsets[best]) * step_s > NEAR_S + 1e-9
    return round(float(offsets[best] * step_s), 6) + 0.0, float(scores[best] - scores[far].max())


def _smooth(curve: Curve, half_width_s: float) -> Curve:
    window = np.hanning(2 * round(half_width_s * CURVE_HZ) + 1)
    return np.convolve(curve, window / window.sum(), "same")


def _centred(curves: Curve) -> Curve:
    """Rows [C, n] less their means, of length 1; zeros where nothing varies."""
    centred = curves - curves.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    made: Curve = np.where(lengths > MIN_LENGTH, centred / np.maximum(lengths, MIN_LENGTH), 0.0)
    return made
