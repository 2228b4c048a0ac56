"""Events of a video -> a picture: time from left to right, a row for each category, and how likely an event is."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, LEFT, RIGHT = 1280, 200, 1250  # of the picture, and of its time axis, in pixels
TOP, ROW, CURVE, BOTTOM = 76, 34, 90, 78  # heights: title, a category, the curve of probability, axis and legend
MAX_ROWS = 40
MAX_TICKS = 12
MAX_STEPS = 300  # of the curve: more would be a block of colour
STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
PAPER, INK, SOFT, LINE = (255, 255, 255), (29, 33, 37), (100, 109, 118), (217, 221, 225)
BAR, FAINT = (37, 99, 168), (206, 222, 240)  # at confidence 1 and 0
MAX_LETTERS = 26  # of a category's name


class Event(NamedTuple):
    """Something that is seen and heard from one time to another."""

    start_s: float
    end_s: float
    category: str
    confidence: float
    """Mean over its seconds of the probability of an event of this category, 0 to 1."""


def ticks(duration_s: float) -> list[int]:
    """At most MAX_TICKS + 1 times in whole seconds, equally far apart, from 0 on.

    >>> ticks(10.0), ticks(1200.0)[:3]
    ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [0, 120, 240])
    """
    step = next((step for step in STEPS_S if duration_s / step <= MAX_TICKS), math.ceil(duration_s / MAX_TICKS))
    return list(range(0, math.floor(duration_s) + 1, step))


def lasting(events: Iterable[Event]) -> dict[str, float]:
    """Seconds that the events of each category last, those of the longest first.

    >>> lasting([Event(0, 2, "bell", 0.9), Event(1, 4, "dog", 0.8), Event(5, 7, "bell", 0.7)])
    {'bell': 4, 'dog': 3}
    """
    found: dict[str, float] = {}
    for event in events:
        found[event.category] = found.get(event.category, 0) + event.end_s - event.start_s
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def draw_timeline(
    title: str, events: Sequence[Event], event_probability: np.ndarray, duration_s: float, path: Path
) -> None:
    """Write a PNG.

    Args:
        title: what the events are of.
        events: in any order.
        event_probability: [S] of each second, 0 to 1.
        duration_s: length of the video.
        path: of the PNG.
    """
    rows = list(lasting(events))
    shown = rows[:MAX_ROWS]
    picture = Image.new("RGB", (WIDTH, TOP + ROW * max(1, len(shown)) + CURVE + BOTTOM), PAPER)
    canvas = _Canvas(ImageDraw.Draw(picture), duration_s)
    canvas.text(20, 14, _shortened(title, 110), INK, 20)
    seconds = f"{duration_s:.1f} s, {len(events)} event{'s' * (len(events) != 1)}"
    more = f"; {len(rows) - len(shown)} categories more than are shown" if len(rows) > len(shown) else ""
    canvas.text(20, 44, seconds + more, SOFT, 15)
    floor = TOP + ROW * max(1, len(shown)) + CURVE
    canvas.axis(TOP, floor)
    for number, category in enumerate(shown):
        canvas.row(TOP + ROW * number, category, [event for event in events if event.category == category])
    if not shown:
        canvas.text(LEFT + 12, TOP + 8, "no event", SOFT, 15)
    canvas.curve(floor - CURVE + 14, floor - 6, event_probability)
    canvas.legend(floor + 44)
    picture.save(path, format="PNG")


class _Canvas:
    """A picture with a time axis."""

    def __init__(self, draw: ImageDraw.ImageDraw, duration_s: float) -> None:
        self._draw, self._duration_s = draw, max(duration_s, 1e-9)

    def text(self, x: float, y: float, text: str, colour: tuple[int, int, int], size: int, anchor: str = "la") -> None:
        self._draw.text((x, y), text, fill=colour, font=ImageFont.load_default(size), anchor=anchor)

    def axis(self, top: int, floor: int) -> None:
        """Vertical lines and their times below."""
        for time_s in ticks(self._duration_s):
            x = self._x(time_s)
            self._draw.line((x, top, x, floor + 4), fill=LINE)
            self.text(x, floor + 8, str(time_s), SOFT, 15, "ma")
        self._draw.line((LEFT, floor, RIGHT, floor), fill=SOFT)
        self.text(RIGHT, floor + 26, "seconds", SOFT, 15, "ra")

    def row(self, top: int, category: str, events: Sequence[Event]) -> None:
        """A category and its events; the surer, the darker."""
        self.text(LEFT - 12, top + ROW / 2, _shortened(category, MAX_LETTERS), INK, 16, "rm")
        for event in events:
            left, right = self._x(event.start_s), self._x(event.end_s)
            colour = _blend(event.confidence)
            self._draw.rectangle((left, top + 5, max(left + 1, right - 1), top + ROW - 6), fill=colour)
            text = f"{event.confidence:.2f}"
            if right - left > 44:
                self.text((left + right) / 2, top + ROW / 2, text, PAPER if event.confidence > 0.5 else INK, 14, "mm")

    def curve(self, top: int, floor: int, event_probability: np.ndarray) -> None:
        """The probability of an event, a step for each second; of a long video, for several together their mean."""
        self.text(LEFT - 12, (top + floor) / 2, "any event, probability", SOFT, 14, "rm")
        for text, line in (("0", floor), ("1", top)):
            self.text(LEFT - 4, line, text, SOFT, 11, "rm")
            self._draw.line((LEFT, line, RIGHT, line), fill=LINE)
        points: list[tuple[float, float]] = []
        width = math.ceil(len(event_probability) / MAX_STEPS) or 1  # seconds in a step
        for second in range(0, len(event_probability), width):
            y = floor - float(np.mean(event_probability[second : second + width])) * (floor - top)
            points += [(self._x(second), y), (self._x(second + width), y)]
        if points:
            self._draw.line(points, fill=BAR, width=2)

    def legend(self, top: int) -> None:
        """What bars, colours and curve mean."""
        for number in range(60):
            x = 20 + 2 * number
            self._draw.rectangle((x, top, x + 1, top + 14), fill=_blend(number / 59))
        text = (
            "confidence 0 to 1: a bar is an event that is seen and heard; the curve is its probability in each second"
        )
        self.text(152, top - 1, text, SOFT, 15)

    def _x(self, time_s: float) -> float:
        return LEFT + (RIGHT - LEFT) * min(1.0, time_s / self._duration_s)


def _blend(confidence: float) -> tuple[int, int, int]:
    red, green, blue = (round(faint + (full - faint) * confidence) for faint, full in zip(FAINT, BAR, strict=True))
    return red, green, blue


def _shortened(text: str, num_letters: int) -> str:
    """One line of printable letters, its middle left out where it is longer."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    half = num_letters // 2 - 1
    return text if len(text) <= num_letters else f"{text[:half]}...{text[-half:]}"
