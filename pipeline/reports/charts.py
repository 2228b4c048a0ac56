"""Numbers -> the positions of bars, lines and ticks in a small plot, which `page.html` draws as SVG.

Design note: matplotlib was tried (3.11): 10 kB instead of 2 kB and 0.2 s instead of nothing for each chart, element ids
that repeat within a page, fixed colours in dark mode, and after removing these no fewer lines than here.
"""

import itertools
import math
from typing import NamedTuple

from pipeline.formatting import format_number

LEFT, RIGHT, TOP, BOTTOM = 56, 368, 22, 168  # edges of the plot, in the chart's own pixels: 380 x 210


class Scale(NamedTuple):
    """Values from `low` to `high`, laid out from pixel `start` to pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value, to a tenth."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Pixel and text of at most six round values (1, 2 or 5 times a power of ten) in the scale, no two alike."""
        rough = (self.high - self.low) / 5
        unit = 10 ** math.floor(math.log10(rough))
        step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough * (1 - 1e-9))
        numbers = range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        largest = max(abs(self.low), abs(self.high))
        digits = max(3, math.floor(math.log10(largest)) - math.floor(math.log10(step)) + 1)
        return [(self(i * step), format_number(i * step, digits)) for i in numbers]


class Chart(NamedTuple):
    """A plot with bars or lines in it."""

    x: Scale
    y: Scale
    x_label: str
    y_label: str
    bars: tuple[tuple[float, float, float, float, str], ...] = ()
    """Left, top, width, height and tooltip of each bar."""
    lines: tuple[tuple[str, list[tuple[float, float]]], ...] = ()
    """Name and points of each line."""
    said: str = ""
    """What one sees in it, for those who do not see it."""


def bar_chart(counts: list[int], low: float, high: float, x_label: str, y_label: str) -> Chart:
    """A bar per count, over equal parts of [low, high]."""
    x, y = Scale(low, high, LEFT, RIGHT), Scale(0, max(*counts, 1), BOTTOM, TOP)
    edges = [low + i * (high - low) / len(counts) for i in range(len(counts) + 1)]
    width = round((RIGHT - LEFT) / len(counts) - 1, 1)
    bars = []
    for (left, right), count in zip(itertools.pairwise(edges), counts, strict=True):
        tooltip = f"{left:g} to {right:g}: {format_number(count)}"
        bars.append((x(left), y(count), width, round(BOTTOM - y(count), 1), tooltip))
    most = counts.index(max(counts))
    said = f"most at {format_number(edges[most])} to {format_number(edges[most + 1])}, {format_number(counts[most])}"
    return Chart(x, y, x_label, y_label, bars=tuple(bars), said=said)


def line_chart(series: dict[str, list[tuple[float, float]]], x_label: str, y_label: str) -> Chart:
    """A line through the (x, y) of each series; x from 0, y from the lowest to the highest point."""
    xs, ys = zip(*(point for line in series.values() for point in line), strict=True)
    margin = 0.0 if max(ys) > min(ys) else 0.5
    x = Scale(0, max(*xs, 1), LEFT, RIGHT)
    y = Scale(min(ys) - margin, max(ys) + margin, BOTTOM, TOP)
    lines = tuple((name, [(x(a), y(b)) for a, b in line]) for name, line in series.items())
    said = "; ".join(_describe_line(name, line) for name, line in series.items())
    return Chart(x, y, x_label, y_label, lines=lines, said=said)


def _describe_line(name: str, line: list[tuple[float, float]]) -> str:
    (first_x, first), (last_x, last) = line[0], line[-1]
    begin = f"{name} {format_number(first)} at {format_number(first_x)}"
    return begin if len(line) == 1 else f"{begin}, {format_number(last)} at {format_number(last_x)}"
