"""What each kind looks like, at rest and in motion: known by its shape and the way it moves, never by its colour.

Comes in: a thing, its motion and frame times. Goes out: a `Layer` per thing, with its place in the frame. All kinds are
drawn in the square -1..1 around their centre, v down. A gesture follows the same `Motion` as the sound does, and
rest is the same drawing with a motion that has no notes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.faces import draw_face
from pipeline.synthetic.motions import Motion
from pipeline.synthetic.scenes import Thing
from pipeline.synthetic.shapes import Floats, Layer, bar, box, circle, ellipse, norm, per_frame, polygon, turned

Times = NDArray[np.float64]

REACH = 1.12  # half side of the drawn square in units: gestures leave the unit square by a little
METAL, WOOD_DARK, PALE, BLACK = (0.78, 0.78, 0.8), (0.25, 0.15, 0.1), (0.93, 0.91, 0.85), (0.06, 0.06, 0.08)
EDGE = 0.05  # thickness of outlines in units


@dataclass(frozen=True, slots=True)
class Sight:
    """A thing drawn at some times, before the camera moves."""

    pixels: NDArray[np.float32]
    """[K or 1, 4, h, w] premultiplied RGB and coverage; 1 where nothing moves."""
    left: int
    """Column of the frame where the layer's first column lies; may be negative."""
    top: int
    """Row of the frame where the layer's first row lies; may be negative."""


def look(thing: Thing, motion: Motion, t: Times, width: int, height: int) -> Sight:
    """Draw a thing at times `t` for frames of width x height pixels."""
    unit = 0.5 * thing.size * height
    centre_x, centre_y = thing.x * width, thing.y * height
    left, top = int(np.floor(centre_x - REACH * unit)), int(np.floor(centre_y - REACH * unit))
    side = int(np.ceil(2 * REACH * unit)) + 1
    grid = np.arange(side, dtype=np.float32) + np.float32(0.5)
    u = ((left - centre_x + grid) / unit).astype(np.float32)[None, None, :]
    v = ((top - centre_y + grid) / unit).astype(np.float32)[None, :, None]
    u, v = turned(u, v, 0.5 * thing.tilt_rad if thing.kind == "speaker" else thing.tilt_rad)
    layer = Layer(side, side, unit)
    DRAWINGS[thing.kind](layer, -u if thing.mirrored else u, v, thing, motion, t)
    return Sight(layer.pixels, left, top)


def _outlined(layer: Layer, distance: Floats, thing: Thing, colour: int = 0) -> None:
    """A shape of the thing's main (0) or second (1) colour with its outline."""
    layer.paint(distance - EDGE, thing.colours[2])
    layer.paint(distance, thing.colours[colour])


def _drum(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: Times) -> None:
    """A drum with laces; a stick whose tip is on the skin at each hit, and the skin gives way."""
    dent = per_frame(0.1 * motion.pulse(t, 0.07))
    body = np.maximum(np.abs(u) - 0.8 + 0.12 * v, np.maximum(v - 0.85, 0.0 - v))
    _outlined(layer, np.minimum(body, ellipse(u, v, 0, 0.82, 0.7, 0.16)), thing)
    for side in (-0.6, -0.2, 0.2, 0.6):
        layer.paint(bar(u, v, side, 0.15, side + 0.2, 0.8, 0.025), thing.colours[1])
        layer.paint(bar(u, v, side, 0.15, side - 0.2, 0.8, 0.025), thing.colours[1])
    layer.paint(ellipse(u, v, 0, 0.02, 0.86, 0.26), thing.colours[2])
    layer.paint(ellipse(u, v, 0, 0.02 + dent, 0.78, 0.2), PALE)
    lift = per_frame(np.minimum(1, np.minimum(motion.since(t), motion.until(t)) / 0.13))
    tip_u, tip_v = -0.1 + 0.2 * lift, -0.02 - 0.75 * lift
    layer.paint(bar(u, v, 0.85, -0.35 - 0.5 * lift, tip_u, tip_v, 0.055), WOOD_DARK)
    layer.paint(circle(u, v, tip_u, tip_v, 0.11), WOOD_DARK)


def _bell(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: Times) -> None:
    """A bell under a beam; it swings from side to side and strikes at the ends of its swing."""
    swing = np.cos(np.pi * motion.turns(t)) * motion.active(t, 0.15)
    angle = per_frame(0.55 * swing)
    layer.paint(box(u, v, 0, -0.92, 0.6, 0.08), WOOD_DARK)
    x, y = turned(u, v, angle, 0.0, -0.8)
    layer.paint(circle(x, y, -0.25 * angle, 0.72, 0.15), BLACK)
    depth = np.clip((y + 0.72) / 1.34, 0, 1)
    flare = np.abs(x) - (0.2 + 0.16 * np.sqrt(depth) + 0.3 * depth**4)
    shape = np.maximum(np.maximum(0.8 * flare, y - 0.62), -0.72 - y)
    _outlined(layer, shape, thing)
    layer.paint(bar(x, y, -0.62, 0.55, 0.62, 0.55, 0.06), thing.colours[1])
    layer.paint(bar(x, y, -0.36, 0.05, 0.36, 0.05, 0.035), thing.colours[1])


def _guitar(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: Times) -> None:
    """A lying guitar; the hand jumps across the strings at each pluck and the strings blur."""
    u, v = turned(u / 1.1, v / 1.1, -0.45)  # askew, it fills its square
    _outlined(layer, np.minimum(circle(u, v, -0.5, 0.08, 0.46), circle(u, v, 0.0, 0.08, 0.34)), thing)
    layer.paint(box(u, v, 0.55, 0.08, 0.46, 0.085), WOOD_DARK)
    layer.paint(box(u, v, 0.98, 0.08, 0.1, 0.15, 0.03), thing.colours[2])
    layer.paint(circle(u, v, -0.12, 0.08, 0.17), BLACK)
    layer.paint(box(u, v, -0.68, 0.08, 0.05, 0.2), WOOD_DARK)
    along = np.clip((u + 0.68) / 1.6, 0, 1)
    sign = np.where(motion.count(t) % 2 == 0, 1.0, -1.0)
    ringing = motion.pulse(t, 0.2) * motion.active(t, 0.05)
    wobble = per_frame(0.1 * sign * ringing) * np.sin(np.pi * along)
    blur = per_frame(0.02 + 0.05 * ringing)
    for string in (-0.05, 0.05):
        line = np.maximum(np.abs(v - 0.08 - string - wobble) - blur * np.sin(np.pi * along), np.abs(u - 0.12) - 0.8)
        layer.paint(line, PALE, 0.9)
    swipe = per_frame(sign * np.minimum(1, motion.since(t) / 0.08) if motion.notes else np.full(len(t), -1.0))
    layer.paint(ellipse(u, v, -0.3, 0.08 + 0.42 * swipe, 0.17, 0.24), (0.85, 0.62, 0.5))
    layer.paint(ellipse(u, v, -0.26, 0.08 + 0.2 * swipe, 0.06, 0.1), BLACK)


def _violin(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: Times) -> None:
    """An upright violin; the bow draws left and right across it, one stroke per note."""
    body = np.minimum(ellipse(u, v, 0, 0.55, 0.46, 0.36), ellipse(u, v, 0, 0.0, 0.37, 0.31))
    body = np.minimum(body, box(u, v, 0, 0.28, 0.27, 0.3))
    _outlined(layer, body, thing)
    layer.paint(box(u, v, 0, -0.55, 0.075, 0.5), BLACK)
    layer.paint(circle(u, v, 0, -0.98, 0.11), thing.colours[1])
    for side in (-0.2, 0.2):
        layer.paint(bar(u, v, side, 0.18, side * 1.2, 0.48, 0.03), BLACK)
    layer.paint(box(u, v, 0, 0.42, 0.16, 0.035), PALE)
    layer.paint(box(u, v, 0, 0.72, 0.07, 0.15), BLACK)
    turns = motion.turns(t)
    stroke = np.abs((turns + 1) % 2 - 1) * 2 - 1 if motion.notes else np.full(len(t), -0.9)
    shift = per_frame(0.5 * stroke)
    x, y = turned(u, v, -0.3, 0.0, 0.2)
    layer.paint(np.maximum(np.abs(x - shift) - 0.72, np.abs(y - 0.2) - 0.05), PALE)
    layer.paint(np.maximum(np.abs(x - shift) - 0.76, np.abs(y - 0.11) - 0.045), WOOD_DARK)
    layer.paint(box(x, y, shift - 0.66, 0.16, 0.1, 0.09), BLACK)


def _bird(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: Times) -> None:
    """A bird on a twig: the beak opens, the head goes up and the wing lifts while it sings."""
    song = per_frame(motion.level(t, 0.03, 0.05))
    layer.paint(bar(u, v, -0.95, 0.88, 0.95, 0.82, 0.06), WOOD_DARK)
    for leg in (-0.05, 0.15):
        layer.paint(bar(u, v, leg, 0.5, leg, 0.85, 0.03), BLACK)
    _outlined(layer, polygon(u, v, ((-0.4, 0.15), (-0.35, 0.45), (-1.0, 0.75), (-1.0, 0.5))), thing, 1)
    _outlined(layer, ellipse(u, v, 0.0, 0.22, 0.52, 0.38), thing)
    head_v = -0.36 - 0.1 * song
    for angle in (-0.08 - 0.5 * song, 0.08 + 0.5 * song):
        x, y = turned(u, v, angle, 0.5, head_v)
        layer.paint(polygon(x, y - head_v, ((0.5, -0.14), (0.98, 0.0), (0.5, 0.14))), (0.95, 0.6, 0.1))
    head = circle(u, v, 0.38, head_v, 0.3)
    _outlined(layer, head, thing)
    layer.paint(np.minimum(ellipse(u, v, 0.18, -0.02, 0.25, 0.25), head), thing.colours[0])
    layer.paint(circle(u, v, 0.47, head_v - 0.07, 0.085), PALE)
    layer.paint(circle(u, v, 0.49, head_v - 0.07, 0.05), BLACK)
    x, y = turned(u, v, 0.9 * song, 0.2, 0.15)
    layer.paint(ellipse(x, y, -0.12, 0.22, 0.38, 0.2), thing.colours[2])
    layer.paint(ellipse(x, y, -0.12, 0.22, 0.33, 0.15), thing.colours[1])


def _engine(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: Times) -> None:
    """A shaking block with a spinning three-spoked wheel and puffs from its pipe."""
    running = motion.active(t, 0.2)
    shake = per_frame(0.035 * running * np.sin(2 * np.pi * 4.3 * t))
    layer.paint(box(u, v, 0, 0.88, 0.95, 0.09), BLACK)
    y = v + shake
    _outlined(layer, box(u, y, 0.05, 0.3, 0.8, 0.48, 0.08), thing)
    for rib in (-0.05, 0.08, 0.21):
        layer.paint(box(u, y, 0.6, rib + 0.05, 0.2, 0.03), thing.colours[2])
    layer.paint(box(u, y, 0.58, -0.4, 0.1, 0.25), METAL)
    spin = per_frame(motion.wheel_turns(t))
    puff = (spin * 2) % 1.0
    layer.paint(circle(u, v, 0.58 + 0.1 * puff, -0.68 - 0.2 * puff, 0.09 + 0.12 * puff), PALE, per_frame(running) * 0.8)
    layer.paint(circle(u, y, -0.3, 0.3, 0.56), thing.colours[2])
    layer.paint(circle(u, y, -0.3, 0.3, 0.48), thing.colours[1])
    x, z = turned(u, y, 2 * np.pi * spin, -0.3, 0.3)
    for spoke in range(3):
        angle = 2 * np.pi * spoke / 3
        layer.paint(bar(x, z, -0.3, 0.3, -0.3 + 0.44 * np.cos(angle), 0.3 + 0.44 * np.sin(angle), 0.07), BLACK)
    layer.paint(circle(u, y, -0.3, 0.3, 0.13), METAL)


def _siren(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: Times) -> None:
    """A dome on a pedestal; while it wails the dome is lit and two beams turn, once per rise and fall of the tone."""
    lit = per_frame(motion.active(t, 0.05))
    x, y = turned(u, v, per_frame(np.pi * motion.turns(t)), 0.0, -0.1)
    for side in (-1.0, 1.0):
        beam = np.maximum(np.abs(y + 0.1) - 0.32 * np.abs(x), np.maximum(-side * x, norm(x, y + 0.1) - 1.0))
        layer.paint(beam, (1.0, 0.95, 0.6), 0.75 * lit)
    dome = np.minimum(np.maximum(circle(u, v, 0, -0.05, 0.42), v + 0.05), box(u, v, 0, 0.15, 0.42, 0.22))
    _outlined(layer, dome, thing)
    layer.paint(dome + 0.06, (1.0, 0.98, 0.85), 0.7 * lit)
    layer.paint(np.maximum(np.abs(x) - 0.09, norm(x, y + 0.1) - 0.3), BLACK)
    _outlined(layer, polygon(u, v, ((-0.55, 0.4), (0.55, 0.4), (0.7, 0.9), (-0.7, 0.9))), thing, 1)


def _water(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: Times) -> None:
    """A tap over a basin; a trembling stream, drops that land when they bubble, rings on the water."""
    flow = motion.active(t, 0.1)
    if motion.notes:
        sway = per_frame(0.05 * np.sin(23 * t)) * np.sin(9 * v + per_frame(31 * t))
        stream = np.maximum(np.abs(u - 0.12 - sway) - 0.075, np.maximum(-0.35 - v, v - 0.5))
        layer.paint(stream, (0.75, 0.9, 1.0), per_frame(flow))
    _outlined(layer, box(u, v, -0.45, -0.72, 0.55, 0.13, 0.05), thing)
    _outlined(layer, box(u, v, 0.12, -0.58, 0.14, 0.26, 0.06), thing)
    layer.paint(box(u, v, -0.4, -0.95, 0.3, 0.07, 0.05), thing.colours[1])
    basin = np.maximum(np.abs(u) - 0.9 + 0.25 * np.maximum(v - 0.5, 0), np.maximum(v - 0.95, 0.45 - v))
    _outlined(layer, basin, thing, 1)
    layer.paint(ellipse(u, v, 0, 0.48, 0.84, 0.14), (0.35, 0.6, 0.85))
    if motion.notes:
        since = motion.since(t)
        spread = per_frame(0.12 + 1.6 * np.minimum(since, 0.45))
        ripple = np.abs(ellipse(u, v, 0.12, 0.48, spread, 0.17 * spread)) - 0.03
        inside = ellipse(u, v, 0, 0.48, 0.82, 0.13)
        layer.paint(np.maximum(ripple, inside), PALE, per_frame(flow * motion.pulse(t, 0.3)))
        side = per_frame(np.where(motion.shape(t) == 0, 0.45, -0.35))
        hop = np.minimum(since, 0.3) / 0.3
        jump = per_frame(0.42 - 1.4 * hop * (1 - hop))
        layer.paint(
            circle(u, v, 0.12 + side * per_frame(0.3 + hop), jump, 0.09), (0.75, 0.9, 1.0), per_frame(flow * (hop < 1))
        )


def _clock(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: Times) -> None:
    """A cased clock: the hand jumps at each tick and the pendulum is at an end of its swing."""
    _outlined(layer, box(u, v, 0, 0.1, 0.5, 0.85, 0.05), thing)
    _outlined(layer, polygon(u, v, ((-0.62, -0.72), (0, -1.05), (0.62, -0.72))), thing, 1)
    layer.paint(box(u, v, 0, 0.57, 0.38, 0.33, 0.03), BLACK)
    swing = np.cos(np.pi * motion.turns_between(t)) * motion.active(t, 0.1)
    x, y = turned(u, v, per_frame(0.42 * swing), 0.0, 0.1)
    layer.paint(bar(x, y, 0, 0.2, 0, 0.7, 0.03), METAL)
    layer.paint(circle(x, y, 0, 0.7, 0.12), (0.95, 0.8, 0.3))
    layer.paint(circle(u, v, 0, -0.27, 0.42), thing.colours[2])
    layer.paint(circle(u, v, 0, -0.27, 0.37), PALE)
    for hour in range(4):
        angle = np.pi * hour / 2
        layer.paint(circle(u, v, 0.3 * np.cos(angle), -0.27 + 0.3 * np.sin(angle), 0.035), BLACK)
    hand = per_frame(motion.count(t) * np.pi / 6)
    layer.paint(bar(u, v, 0, -0.27, 0.3 * np.sin(hand), -0.27 - 0.3 * np.cos(hand), 0.045), BLACK)


def _trombone(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: Times) -> None:
    """A flared bell and a slide that moves out for low notes and in for high ones; it is raised to be played."""
    blown = motion.level(t, 0.08, 0.08)
    pitches = np.log2(np.array([note.pitch_hz for note in motion.notes] or [1.0]))
    span = max(float(np.ptp(pitches)), 0.5)
    reach = per_frame(0.45 * motion.glide(t, (pitches.max() - pitches) / span, 0.08))
    x, y = turned(u / 1.1, v / 1.1, per_frame(0.12 - 0.3 * blown), -0.3, 0.1)
    for rail in (0.2, 0.52):
        layer.paint(bar(x, y, -0.75, rail, 0.35 + reach, rail, 0.07), thing.colours[2])
        layer.paint(bar(x, y, -0.75, rail, 0.35 + reach, rail, 0.04), thing.colours[1])
    layer.paint(bar(x, y, 0.35 + reach, 0.2, 0.35 + reach, 0.52, 0.09), thing.colours[1])
    layer.paint(circle(x, y, -0.8, 0.2, 0.13), METAL)
    layer.paint(bar(x, y, -0.8, -0.2, -0.8, 0.5, 0.08), thing.colours[0])
    along = np.clip((x + 0.8) / 1.65, 0, 1)
    flare = np.maximum(0.8 * (np.abs(y + 0.25) - 0.07 - 0.4 * along**3), np.maximum(-0.8 - x, x - 0.85))
    _outlined(layer, flare, thing)
    layer.paint(ellipse(x, y, 0.86, -0.25, 0.09 + 0.05 * per_frame(blown), 0.46), thing.colours[2])


def _maraca(layer: Layer, u: Floats, v: Floats, thing: Thing, motion: Motion, t: Times) -> None:
    """A striped egg on a handle, shaken from side to side, one way per burst."""
    sway = np.cos(np.pi * motion.turns_between(t)) * motion.active(t, 0.1)
    x, y = turned(u, v, per_frame(0.5 * sway), 0.0, 0.8)
    layer.paint(bar(x, y, 0, 0.1, 0, 0.85, 0.1), WOOD_DARK)
    layer.paint(circle(x, y, 0, 0.88, 0.14), WOOD_DARK)
    egg = ellipse(x, y, 0, -0.36, 0.46, 0.58)
    _outlined(layer, egg, thing)
    for stripe in (-0.62, -0.36, -0.1):
        zigzag = np.abs(y - stripe - 0.09 * np.abs((6 * x) % 2 - 1)) - 0.05
        layer.paint(np.maximum(zigzag, egg + 0.03), thing.colours[1])


DRAWINGS: Mapping[str, Callable[[Layer, Floats, Floats, Thing, Motion, Times], None]] = {
    draw.__name__.removeprefix("_"): draw
    for draw in (_drum, _bell, _guitar, _violin, _bird, _engine, _siren, _water, _clock, _trombone, _maraca)
} | {"speaker": draw_face}
