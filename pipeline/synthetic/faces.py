"""The speaker: a person's face, whose mouth takes the shape of the vowel that is heard, as wide as the voice is loud.

Comes in: a thing of kind "speaker" (its `identity` says who) and its motion. Goes out: the drawing, and where the mouth
is. Jaw and lips follow `vowel_weights`, the same tracks that mix the formants of the voice, so lips can be read.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.identities import identity
from pipeline.synthetic.motions import Motion, vowel_weights
from pipeline.synthetic.scenes import Thing
from pipeline.synthetic.shapes import Floats, Layer, bar, box, circle, ellipse, per_frame, ring

LIP_OPENING = np.array([1.0, 0.55, 0.28, 0.75, 0.4])  # of the vowels a e i o u
LIP_SPREAD = np.array([0.15, 0.6, 1.0, -0.5, -1.0])
PALE, BLACK = (0.95, 0.94, 0.9), (0.06, 0.06, 0.08)
MOUTH_V = 0.45  # height of the mouth in the face, v down
MOUTH_REACH = 0.42  # half side of the square that holds the mouth at its widest


def mouth_shape(motion: Motion, t: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far the lips are apart (0 to 1) and how far they are spread (-1 round to 1 wide), [K] each."""
    weights = vowel_weights(t, motion.notes)
    return LIP_OPENING @ weights, LIP_SPREAD @ weights


def nod(motion: Motion, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K] how far the head has moved up, in units."""
    return 0.04 * vowel_weights(t, motion.notes).sum(axis=0)


def draw_face(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: NDArray[np.float64]) -> None:
    """A head with shoulders, hair, eyes that blink, and a mouth."""
    person = identity(thing.identity or 0)
    opening, spread = mouth_shape(motion, t)
    shade = (0.75 * person.skin[0], 0.7 * person.skin[1], 0.68 * person.skin[2])
    layer.paint(ellipse(u, v, 0, 1.15, 0.95, 0.35), thing.colours[0])
    layer.paint(box(u, v, 0, 0.8, 0.22, 0.2), shade)
    v = v + per_frame(nod(motion, t)) if motion.notes else v
    width = person.face_width
    if person.hair_style == 2:
        layer.paint(box(u, v, 0, 0.05, width + 0.12, 0.75, 0.3), person.hair)
    if person.hair_style == 3:
        layer.paint(circle(u, v, 0, -0.88, 0.22), person.hair)
    for side in (-1.0, 1.0):
        layer.paint(circle(u, v, side * width, 0.0, 0.13), shade)
    jaw = per_frame(0.09 * opening)
    layer.paint(ellipse(u, v, 0, 0.0 + 0.5 * jaw, width, 0.85 + 0.5 * jaw), person.skin)
    if person.hair_style:
        cap = ellipse(u, v, 0, -0.1, width + 0.05, 0.8)
        layer.paint(np.maximum(cap, v + 0.42 + 0.12 * np.cos(4 * u)), person.hair)
    for side in (-1.0, 1.0):
        at = side * person.eye_distance
        layer.paint(ellipse(u, v, at, -0.14, 0.125, 0.085), PALE)
        layer.paint(circle(u, v, at, -0.14, 0.065), BLACK)
        layer.paint(box(u, v, at, -0.31, 0.14, person.brow), person.hair if person.hair_style else shade)
        if person.glasses:
            layer.paint(ring(circle(u, v, at, -0.14, 0.19), 0.025), BLACK)
    layer.paint(bar(u, v, 0.0, -0.1, 0.05, 0.17, 0.035), shade)
    half_width = per_frame(0.22 + 0.1 * spread)
    half_height = per_frame(0.02 + 0.2 * opening)
    mouth_v = MOUTH_V + 0.5 * half_height
    layer.paint(ellipse(u, v, 0, mouth_v, half_width + 0.06, half_height + 0.055), (0.72, 0.25, 0.25))
    inside = ellipse(u, v, 0, mouth_v, half_width, half_height)
    layer.paint(inside, (0.15, 0.03, 0.05))
    layer.paint(np.maximum(inside + 0.01, v - (mouth_v - 0.55 * half_height)), PALE)


def mouth_boxes(thing: Thing, motion: Motion, t: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """[K, 4] left, top, right, bottom of the square around the mouth, in pixels before the camera moves."""
    unit = 0.5 * thing.size * height
    tilt = 0.5 * thing.tilt_rad
    down = MOUTH_V - nod(motion, t)
    x = thing.x * width - np.sin(tilt) * down * unit
    y = thing.y * height + np.cos(tilt) * down * unit
    reach = MOUTH_REACH * unit
    return np.stack([x - reach, y - reach, x + reach, y + reach], axis=1)
