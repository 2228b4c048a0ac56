"""The picture of a video's events: bars lie where the axis says, and any name can be drawn."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.inference.event_timeline import (
    BAR,
    LEFT,
    MAX_ROWS,
    MAX_TICKS,
    RIGHT,
    ROW,
    TOP,
    Event,
    draw_timeline,
    ticks,
)


def drawn(folder: Path, events: list[Event], duration_s: float, title: str = "video.mp4") -> np.ndarray:
    """[H, W, 3] pixels."""
    path = folder / "timeline.png"
    draw_timeline(title, events, np.full(int(np.ceil(duration_s)), 0.5), duration_s, path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


def test_a_bar_lies_between_its_start_and_end_in_the_row_of_its_category(tmp_path: Path) -> None:
    events = [Event(2.0, 7.0, "bell", 1.0), Event(5.0, 10.0, "dog", 1.0), Event(0.0, 1.0, "bell", 1.0)]
    pixels = drawn(tmp_path, events, 10.0)
    per_s = (RIGHT - LEFT) / 10
    for row, spans in enumerate([[(0, 1), (2, 7)], [(5, 10)]]):  # bells last 6 s, dogs 5
        line = (pixels[TOP + ROW * row + 8] == BAR).all(axis=1)
        expected = np.zeros(len(line), bool)
        for start_s, end_s in spans:
            expected[round(LEFT + start_s * per_s) : round(LEFT + end_s * per_s)] = True
        # 2 pixels at each end: what is rounded, and the gap between neighbouring bars
        assert (line != expected).sum() <= 4 * len(spans)


def test_a_surer_event_is_darker(tmp_path: Path) -> None:
    events = [Event(float(k), k + 0.9, "bell", confidence) for k, confidence in enumerate([0.1, 0.5, 0.9])]
    pixels = drawn(tmp_path, events, 3.0)
    sums = [pixels[TOP + 8, round(LEFT + (k + 0.1) * (RIGHT - LEFT) / 3)].sum() for k in range(3)]
    assert sums[0] > sums[1] > sums[2]


@pytest.mark.parametrize("duration_s", [0.3, 1.0, 10.0, 59.9, 600.0, 7200.0, 43_200.0])
def test_the_axis_has_few_whole_seconds_up_to_the_end(duration_s: float) -> None:
    found = ticks(duration_s)
    assert found[0] == 0
    assert len(found) <= MAX_TICKS + 1
    assert len({later - earlier for earlier, later in itertools.pairwise(found)}) <= 1
    step = found[1] if len(found) > 1 else 1
    assert 0 <= duration_s - found[-1] < step


def test_many_categories_and_odd_names_are_drawn(tmp_path: Path) -> None:
    few = drawn(tmp_path, [Event(0.0, 1.0, "\u732b\n\x1b[31m" * 40, 0.5)], 2.0, title="<b>\x00" * 200)
    names = [Event(k / 100, k / 100 + 0.01, f"c{k}", 0.5) for k in range(100)]
    many = drawn(tmp_path, names, 1.0)
    assert len(many) - len(few) == ROW * (MAX_ROWS - 1)
    assert drawn(tmp_path, [], 1.0).shape == few.shape
