"""One number format: significant digits, whole counts, units; the examples in the docstrings are the claims."""

import doctest
import math

import pytest

from pipeline import formatting
from pipeline.formatting import format_bytes, format_figure, format_hours, format_number


def test_examples_in_docstrings_run() -> None:
    assert doctest.testmod(formatting).failed == 0
    assert doctest.testmod(formatting).attempted > 0


def test_numbers_have_three_digits_and_counts_are_whole() -> None:
    values = (0, 12, 1234567, 1234567.8, 98.76, 0.012345, -1234.5, math.inf, 999.6)
    expected = ["0", "12", "1 234 567", "1 230 000", "98.8", "0.0123", "-1 230", "inf", "1 000"]
    assert [format_number(value) for value in values] == expected


def test_a_time_and_a_size_are_given_in_a_unit_of_their_own() -> None:
    hours = [10 / 3600, 0.5, 1.5, 3.25, 30, 80, 800.0]
    assert [format_hours(value) for value in hours] == [
        "10 s", "30 min", "90 min", "3.25 h", "30 h", "3.33 days", "33.3 days",
    ]  # fmt: skip
    assert [format_bytes(value) for value in (0, 999_999, 1e6, 2.5e9)] == ["0 kB", "1 000 kB", "1 MB", "2.5 GB"]


@pytest.mark.parametrize(("value", "text"), [(-0.04, "0.0 dB"), (-0.06, "-0.1 dB"), (0.0, "0.0 dB")])
def test_a_figure_that_rounds_to_zero_has_no_sign(value: float, text: str) -> None:
    assert format_figure(value, "dB") == text
