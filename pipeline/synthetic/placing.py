"""Where a thing is in the picture, how large it is and in which colours it is drawn; and how large pictures are."""

import numpy as np

from pipeline.synthetic.identities import NUM_IDENTITIES
from pipeline.synthetic.scenes import Thing

FRAME_SIZES = ((160, 120), (176, 144), (192, 108))


def place_thing(kind: str, place: int, num_things: int, aspect: float, rng: np.random.Generator) -> Thing:
    """A thing in column `place` of `num_things`, as large as the column allows, inside the frame."""
    column = aspect / num_things  # its width, in frame heights
    high = min(0.8, column)
    size = rng.uniform(min(0.5, 0.8 * high), high)
    x = (place + 0.5) * column + rng.uniform(-0.5, 0.5) * max(0.0, column - 1.1 * size)
    y = 0.5 + rng.uniform(-0.5, 0.5) * (0.96 - size)
    person = int(rng.integers(NUM_IDENTITIES)) if kind == "speaker" else None
    return Thing(
        kind=kind,
        x=rounded(x / aspect),
        y=rounded(y),
        size=rounded(size),
        tilt_rad=rounded(rng.uniform(-0.2, 0.2)),
        mirrored=bool(rng.random() < 0.5),
        colours=_colours(rng),
        identity=person,
    )


def _colours(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """Main, second, outline: any hue, second of another lightness, the outline dark or light against both."""
    main = rng.uniform(0.25, 0.95, 3)
    second = np.clip(rng.uniform(0.1, 1.0, 3), 0, 1)
    if abs(second.mean() - main.mean()) < 0.2:
        second = 1.0 - main if abs(1 - 2 * main.mean()) > 0.2 else main * 0.5
    outline = np.full(3, 0.08) if main.mean() > 0.4 else np.full(3, 0.95)
    return tuple((rounded(c[0]), rounded(c[1]), rounded(c[2])) for c in (main, second, outline))


def rounded(value: float) -> float:
    """Four decimals: what the JSON says is what was drawn."""
    return round(float(value), 4)
