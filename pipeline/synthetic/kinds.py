"""The kinds of things in the synthetic world: their registers and rhythms, and the notes they play.

Comes in: a kind, the spans in which a source is active, a random generator. Goes out: the source's notes. A note is the
one cause of a moment's sound and of the same moment's motion, so the two agree by construction, to the sample.
"""

from dataclasses import dataclass

import numpy as np

VOWELS = ("a", "e", "i", "o", "u")
FRICATIVE = len(VOWELS)  # a syllable whose `shape` is FRICATIVE or more begins with a hiss


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """One struck, bowed, spoken or poured moment."""

    start_s: float
    """When it starts, in seconds of the video."""
    duration_s: float
    """How long it is driven; a struck thing rings on after it."""
    pitch_hz: float
    """Its fundamental, or the centre of its noise."""
    strength: float
    """Its loudness and reach, 0.5 to 1."""
    shape: int
    """Which of a kind's variants: stroke direction, tick or tock, or a syllable's vowel (see `VOWELS`, `FRICATIVE`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What every thing of one kind has in common."""

    pitch_hz: tuple[float, float]
    """The register: lowest and highest base pitch."""
    interval_s: tuple[float, float]
    """Shortest and longest usual time from one note to the next."""
    fill: float
    """Share of the interval that a note lasts, 0 to 1."""
    jitter: float
    """How unevenly notes follow each other: 0 is a clockwork."""
    steps: tuple[float, ...]
    """Pitches of single notes, as ratios to the base pitch."""
    rest: float
    """Chance that a note is left out, which makes a gap of two intervals."""


_SCALE = (1.0, 9 / 8, 5 / 4, 3 / 2, 5 / 3, 2.0)

KINDS: dict[str, Kind] = {
    "drum": Kind(pitch_hz=(60, 120), interval_s=(0.25, 0.45), fill=0.5, jitter=0.1, steps=(1.0,), rest=0.15),
    "bell": Kind(pitch_hz=(380, 900), interval_s=(0.6, 0.95), fill=1.0, jitter=0.0, steps=(1.0,), rest=0.0),
    "guitar": Kind(pitch_hz=(110, 200), interval_s=(0.22, 0.45), fill=1.0, jitter=0.1, steps=_SCALE, rest=0.1),
    "violin": Kind(pitch_hz=(300, 500), interval_s=(0.4, 1.0), fill=0.94, jitter=0.3, steps=_SCALE, rest=0.0),
    "bird": Kind(pitch_hz=(2200, 3800), interval_s=(0.18, 0.4), fill=0.55, jitter=0.3, steps=(1, 1.15, 1.3), rest=0.1),
    "engine": Kind(pitch_hz=(22, 42), interval_s=(0.6, 1.4), fill=1.0, jitter=0.4, steps=(1, 1.2, 1.5, 1.8), rest=0.0),
    "speaker": Kind(
        pitch_hz=(90, 240), interval_s=(0.18, 0.26), fill=0.9, jitter=0.25, steps=(0.92, 1, 1.1), rest=0.12
    ),
    "siren": Kind(pitch_hz=(480, 700), interval_s=(0.9, 2.2), fill=1.0, jitter=0.0, steps=(1.0,), rest=0.0),
    "water": Kind(pitch_hz=(700, 1300), interval_s=(0.14, 0.3), fill=0.3, jitter=0.5, steps=(1, 1.2, 1.5), rest=0.0),
    "clock": Kind(pitch_hz=(2000, 2900), interval_s=(0.25, 0.5), fill=0.2, jitter=0.0, steps=(1.0,), rest=0.0),
    "trombone": Kind(pitch_hz=(90, 160), interval_s=(0.4, 0.9), fill=0.85, jitter=0.3, steps=_SCALE, rest=0.0),
    "maraca": Kind(pitch_hz=(5000, 6500), interval_s=(0.14, 0.26), fill=0.7, jitter=0.08, steps=(1.0,), rest=0.1),
}


def plan_notes(
    kind: str, spans: tuple[tuple[float, float], ...], pitch_hz: float, rng: np.random.Generator
) -> tuple[Note, ...]:
    """The notes of one source, in time order, each inside a span; the first of a span starts with the span.

    Args:
        kind: a key of `KINDS`.
        spans: (start_s, end_s) of activity.
        pitch_hz: the source's base pitch.
        rng: where rhythm and melody come from.
    Returns:
        Notes with gaps under 1 s within a span: no kind's interval, rested and jittered, is longer.
    """
    habits = KINDS[kind]
    interval_s = float(np.exp(rng.uniform(*np.log(habits.interval_s))))
    notes: list[Note] = []
    for span_start_s, span_end_s in spans:
        start_s, rested = span_start_s, True
        while start_s < span_end_s - 0.05:
            step_s = interval_s * (1 + habits.jitter * rng.uniform(-1, 1))
            driven_s = min(step_s * habits.fill, span_end_s - start_s) - 2e-4  # never touches the next
            if not rested and rng.random() < habits.rest:
                rested = True
            else:
                rested = False
                notes.append(
                    Note(
                        start_s=round(start_s, 4),
                        duration_s=round(driven_s, 4),
                        pitch_hz=round(pitch_hz * habits.steps[rng.integers(len(habits.steps))], 2),
                        strength=round(rng.uniform(0.6, 1.0), 3),
                        shape=int(rng.integers(2 * len(VOWELS))) if kind == "speaker" else len(notes) % 2,
                    )
                )
            start_s += step_s
    return tuple(notes)
