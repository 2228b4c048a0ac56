"""Antialiased shapes on a pixel grid, for many frames at once: signed distances and the layer that they are painted on.

Comes in: coordinates u (right) and v (down) in units of a thing's half height, [K or 1, h, w], and parameters of shapes
that are numbers or [K, 1, 1]. Goes out: signed distances in the same units, negative inside; a `Layer` colours them.
Frames are the leading axis so that what does not move is computed once: it stays [1, h, w] until it meets what does.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]  # float32 all through: nothing here widens it
Number: TypeAlias = float | Floats
Colour: TypeAlias = tuple[float, float, float]


def per_frame(values: NDArray[np.floating]) -> Floats:
    """[K] numbers as [K, 1, 1], the form that shapes take as moving parameters."""
    return np.asarray(values, np.float32)[:, None, None]


def norm(x: Floats, y: Floats) -> Floats:
    """Root of x^2 + y^2: a fifth of `np.hypot`'s time, which also guards against overflow."""
    square = x * x + y * y
    return np.sqrt(square, out=square)


def circle(u: Floats, v: Floats, cu: Number, cv: Number, radius: Number) -> Floats:
    """Distance to a disc."""
    return norm(u - cu, v - cv) - radius


def ellipse(u: Floats, v: Floats, cu: Number, cv: Number, ru: Number, rv: Number) -> Floats:
    """Distance to an ellipse, exact on its edge to first order (Taubin 1991)."""
    x, y = (u - cu) / ru, (v - cv) / rv
    value = x * x + y * y - 1
    return value / (2 * norm(x / ru, y / rv) + np.float32(1e-3))


def box(u: Floats, v: Floats, cu: Number, cv: Number, hu: Number, hv: Number, rounding: float = 0.0) -> Floats:
    """Distance to an upright rectangle of half width hu and half height hv, with rounded corners inside it."""
    x, y = np.abs(u - cu) - hu + rounding, np.abs(v - cv) - hv + rounding
    return norm(np.maximum(x, 0), np.maximum(y, 0)) + np.minimum(np.maximum(x, y), 0) - rounding


def bar(u: Floats, v: Floats, au: Number, av: Number, bu: Number, bv: Number, radius: Number) -> Floats:
    """Distance to a bar with round ends from a to b."""
    du, dv = np.asarray(bu - au, np.float32), np.asarray(bv - av, np.float32)
    x, y = u - au, v - av
    along = np.clip((x * du + y * dv) / (du * du + dv * dv + np.float32(1e-9)), 0, 1)
    return norm(x - along * du, y - along * dv) - radius


def polygon(u: Floats, v: Floats, corners: tuple[tuple[float, float], ...]) -> Floats:
    """Distance to a convex polygon, corners clockwise on the screen; rounded outside its corners it is too small."""
    distance: Floats | None = None
    for (au, av), (bu, bv) in zip(corners, (*corners[1:], corners[0]), strict=True):
        length = float(np.hypot(bu - au, bv - av))
        side = (u - au) * np.float32((bv - av) / length) - (v - av) * np.float32((bu - au) / length)
        distance = side if distance is None else np.maximum(distance, side)
    assert distance is not None
    return distance


def ring(distance: Floats, half_width: float) -> Floats:
    """The line of a shape instead of its area."""
    return np.abs(distance) - half_width


def turned(u: Floats, v: Floats, angle: Number, cu: Number = 0.0, cv: Number = 0.0) -> tuple[Floats, Floats]:
    """Coordinates in which a shape appears turned clockwise by `angle` (radians) about (cu, cv)."""
    cosine, sine = np.cos(np.asarray(angle, np.float32)), np.sin(np.asarray(angle, np.float32))
    x, y = u - cu, v - cv
    return x * cosine + y * sine + cu, y * cosine - x * sine + cv


class Layer:
    """Premultiplied red, green, blue and coverage, [K or 1, 4, h, w] in 0 to 1, on which shapes are painted in turn."""

    def __init__(self, height: int, width: int, pixels_per_unit: float) -> None:
        self.pixels: NDArray[np.float32] = np.zeros((1, 4, height, width), np.float32)
        self.pixels_per_unit = np.float32(pixels_per_unit)

    def paint(self, distance: Floats, colour: Colour, opacity: Number = 1.0) -> None:
        """Cover the inside of a shape; its edge is one pixel wide.

        Args:
            distance: [K or 1, h, w] signed distance in units.
            colour: RGB in 0 to 1.
            opacity: 0 to 1, a number or [K, 1, 1].
        """
        reached = distance.min(axis=0) * self.pixels_per_unit < 0.5
        rows, columns = _extent(reached.any(axis=1)), _extent(reached.any(axis=0))
        alpha = distance[:, rows, columns] * self.pixels_per_unit  # a moving part covers a tenth of its thing's square
        np.clip(np.subtract(np.float32(0.5), alpha, out=alpha), 0, 1, out=alpha)
        alpha = np.asarray(alpha * opacity, np.float32)[:, None]
        if alpha.shape[0] > self.pixels.shape[0]:
            self.pixels = np.repeat(self.pixels, alpha.shape[0], axis=0)
        covered = self.pixels[:, :, rows, columns]
        change = np.array([*colour, 1.0], np.float32)[None, :, None, None] - covered
        change *= alpha
        covered += change


def _extent(is_set: NDArray[np.bool_]) -> slice:
    """From the first element that is set to the last."""
    places = is_set.nonzero()[0]
    return slice(places[0], places[-1] + 1) if len(places) else slice(0)
