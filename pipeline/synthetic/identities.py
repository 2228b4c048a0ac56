"""The people of the synthetic world: each has one face and one voice in every video and in every world.

Comes in: a number. Goes out: how that person looks and sounds. The numbers depend on nothing else, not even on a
world's seed, so a model that recognises person 3 in one collection can be tested on another.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

NUM_IDENTITIES = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """One person's face and voice; lengths are in units of half the face's height."""

    number: int
    pitch_hz: float
    """Mean fundamental of the voice."""
    formant_scale: float
    """All formants are multiplied by it: above 1 is a shorter vocal tract."""
    breath: float
    """Share of noise in the voice."""
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    face_width: float
    eye_distance: float
    brow: float
    """Thickness of the brows."""
    hair_style: int
    """0 bald, 1 cap, 2 long at both sides, 3 a bun on top."""
    glasses: bool


@cache
def identity(number: int) -> Identity:
    """Person `number` of the world, 0 <= number < NUM_IDENTITIES.

    >>> identity(3) == identity(3), identity(3) == identity(4)
    (True, False)
    """
    rng = np.random.default_rng([2026, number])
    skin = np.array([0.95, 0.78, 0.64]) * (1 - 0.55 * rng.random())
    hair = np.array([[0.12, 0.1, 0.1], [0.45, 0.28, 0.12], [0.85, 0.75, 0.4], [0.7, 0.7, 0.72]])[number % 4]
    return Identity(
        number=number,
        pitch_hz=round(float(90 * 2 ** (1.4 * ((number * 5) % NUM_IDENTITIES) / NUM_IDENTITIES)), 1),
        formant_scale=round(0.85 + 0.35 * ((number * 7) % NUM_IDENTITIES) / NUM_IDENTITIES, 3),
        breath=round(float(rng.uniform(0.02, 0.12)), 3),
        skin=(round(float(skin[0]), 3), round(float(skin[1]), 3), round(float(skin[2]), 3)),
        hair=(float(hair[0]), float(hair[1]), float(hair[2])),
        face_width=round(float(rng.uniform(0.6, 0.78)), 3),
        eye_distance=round(float(rng.uniform(0.22, 0.32)), 3),
        brow=round(float(rng.uniform(0.03, 0.07)), 3),
        hair_style=(number // 3) % 4,
        glasses=number % 3 == 1,
    )
