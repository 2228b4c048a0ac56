"""The annotations of the AVE data set (Tian et al. 2018, arXiv:1803.08842): one event of a 10 s video in each line.

`Annotations.txt` and `{train,val,test}Set.txt` hold `Category&VideoID&Quality&Start&End`, with or without a line of
these names first. Start and end are seconds of the 10 s; 0 and 0 is a video without an event. Line i of
`Annotations.txt` is row i of every published h5 file. A video that has two lines has an event of another category in
each line.
"""

import re
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ConfigError

NAMES = ["category", "videoid", "quality", "start", "end"]
SECONDS = re.compile(r"\d+(\.\d+)?")
MAX_LINE = 1 << 16  # characters; the longest published one has 50


class Annotation(NamedTuple):
    """One line."""

    category: str
    video: str
    """YouTube id."""
    start_s: float
    end_s: float


def is_annotations(path: Path) -> bool:
    """Whether the first line of a text file has the form of AVE's annotations."""
    with path.open("rb") as file:
        return file.readline(MAX_LINE).count(b"&") == len(NAMES) - 1


def read_annotations(here: str, path: Path) -> list[Annotation]:
    """Every line of a file of annotations; empty lines at its end are left out.

    Args:
        here: the file, for messages.
        path: a local copy.
    Raises:
        ConfigError: a line has another form, an end before its start, or an event of no length but from 0 to 0 s; or
            the file is no text in UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{here}: cannot be read ({error}). Expected AVE's annotations in UTF-8.") from error
    has_header = [value.strip().lower() for value in lines[0].split("&")] == NAMES
    return [_annotation(f"{here}, row {row + 1}", line) for row, line in enumerate(lines[has_header:])]


def _annotation(here: str, line: str) -> Annotation:
    values = [value.strip() for value in line.split("&")]
    if len(values) != len(NAMES) or not values[0] or not values[1]:
        raise ConfigError(f"{here}: {line[:100]!r}, expected Category&VideoID&Quality&Start&End.")
    category, video, _, *times = values
    if not all(map(SECONDS.fullmatch, times)):
        raise ConfigError(f"{here}: start {times[0]!r}, end {times[1]!r}, expected seconds, 0 or more.")
    start_s, end_s = map(float, times)
    if not (start_s < end_s or start_s == end_s == 0):
        raise ConfigError(
            f"{here}: start {times[0]}, end {times[1]}, expected the end after the start, or 0 and 0 for a video "
            "without an event."
        )
    return Annotation(category, video, start_s, end_s)
