"""A number of a data card, which has the query or record that it comes from."""

import math
from typing import Any, NamedTuple

from pipeline.errors import DataError


class Figure(NamedTuple):
    """A number with the query or record that it comes from."""

    value: int | float
    source: str


def figure_of(value: Any, source: str) -> Figure:
    """A number with its source.

    Raises:
        DataError: it is none, or infinite: it was computed of nothing.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"data card: {source} is {value}, expected a number. The figure cannot be traced.")
    return Figure(value, source)
