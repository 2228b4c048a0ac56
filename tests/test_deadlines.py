"""Deadlines: the fewest cores that make it when parts are cut whole, found again by trying them all."""

import doctest
import math

import pytest

from pipeline.errors import ConfigError
from pipeline.estimate import deadlines
from pipeline.estimate.deadlines import parse_hours, schedule


def wall_hours(num_cores: int, part_hours: float, num_parts: int) -> float:
    """Hours until the last part is cut, where each part goes to the core that is free first."""
    cores = [0.0] * num_cores
    for _ in range(num_parts):
        first = cores.index(min(cores))
        cores[first] += part_hours
    return max(cores)


@pytest.mark.parametrize("deadline_hours", [1.0, 1.5, 2.9, 3.0, 7.0, 100.0])
@pytest.mark.parametrize(("num_videos", "videos_per_part"), [(400, 80), (37, 1), (80, 80), (30, 80)])
def test_no_fewer_cores_would_make_it(deadline_hours: float, num_videos: int, videos_per_part: int) -> None:
    num_parts = math.ceil(num_videos / videos_per_part)
    part_hours = 1.0
    cpu_hours = part_hours * num_videos / min(videos_per_part, num_videos)
    num_cores, hours = schedule(deadline_hours, cpu_hours, num_videos, videos_per_part)
    assert hours == pytest.approx(wall_hours(num_cores, part_hours, num_parts))
    assert hours <= deadline_hours
    assert num_cores <= num_parts
    if num_cores > 1:
        assert wall_hours(num_cores - 1, part_hours, num_parts) > deadline_hours


def test_work_that_takes_no_time_needs_one_core() -> None:
    assert schedule(1.0, 0.0, 10, 3) == (1, 0.0)


def test_no_number_of_cores_is_faster_than_a_part_which_is_no_larger_than_the_collection() -> None:
    assert schedule(4, 100, 1000, 100) == (0, 10)  # 1000 videos of 0.1 h in parts of 100
    assert schedule(2, 5, 10, 80) == (0, 5)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("90m", 1.5), ("6h", 6), ("2d", 48), ("1h30m", 1.5), ("1d12h", 36), ("0.5h", 0.5), ("36s", 0.01), (" 6H ", 6)],
)
def test_a_time_is_the_sum_of_its_units(text: str, hours: float) -> None:
    assert parse_hours(text) == pytest.approx(hours)


@pytest.mark.parametrize("text", ["", "6", "h", "0h", "-1h", "30m1h", "1h 30m", "six hours", "1e3h", "٣h"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a time above 0, such as 90m, 6h, 2d"):
        parse_hours(text)


def test_examples_in_docstrings_run() -> None:
    assert doctest.testmod(deadlines).failed == 0
    assert doctest.testmod(deadlines).attempted > 0
