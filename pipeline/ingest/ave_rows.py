"""The lists of AVE as published -> one row per line of `Annotations.txt`, with its name and split.

Line i is row i of every h5 file. 45 videos have two lines or three, each with another category: the n-th line of a
video is named `<id>#<n>`, and has its own line's event alone. Splits come from `{train,val,test}_order.h5` (row
numbers) or `{train,val,test}Set.txt` (lines).

18 of the repeated videos are in two splits. A test row whose video is in another split too is moved out of test, to
the split `schemas.features.LEAKED`, unless the splits are to be as published: so there are figures with it and without.
"""

import collections
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.collection.ave_annotations import Annotation, read_annotations
from pipeline.errors import ConfigError
from pipeline.ingest.h5_arrays import open_array
from schemas.features import LEAKED
from schemas.spans import SpanRow
from schemas.videos import SPLITS

ANNOTATIONS = "Annotations.txt"
PUBLISHED_NAMES = dict(zip(SPLITS, ("train", "val", "test"), strict=True))
VIDEO = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class AveRow:
    """One line, and so one row of each h5 file."""

    name: str
    """The video, with #2 in the second line of one and #3 in the third."""
    annotation: Annotation
    split: str | None
    """train, validate, test or LEAKED; None where no list of a split is there."""

    def span(self) -> SpanRow:
        """Its event; that of a line without one is from 0 to 0 s."""
        category, _, start_s, end_s = self.annotation
        return {
            "video_id": self.name,
            "start_s": start_s,
            "end_s": end_s,
            "category": category,
            "source": ANNOTATIONS,
        }


@dataclass(frozen=True, slots=True)
class AveRows:
    """All lines of `Annotations.txt`."""

    rows: list[AveRow]
    categories: list[str]
    """In the order in which the lines name them first, which is that of the one-hot labels."""
    leaks: dict[str, list[str]]
    """The published splits of each video that is in several, by video."""
    num_moved: int
    """Test rows that were moved out of test."""

    def name_leaks(self) -> str:
        """`18 videos are in several splits: <id> (train, test), ...`; "" where there is none."""
        named = ", ".join(f"{video} ({', '.join(found)})" for video, found in self.leaks.items())
        moved = f" ({self.num_moved} rows moved out of test)" if self.num_moved else ""
        videos = "video is" if len(self.leaks) == 1 else "videos are"
        return f"{len(self.leaks)} {videos} in several splits{moved}: {named}" if named else ""


def read_rows(folder: Path, as_published: bool = False) -> AveRows:
    """The rows of a folder with AVE's lists.

    Args:
        as_published: leave test rows in test whose video is in another split too.
    Raises:
        ConfigError: there is no `Annotations.txt`, a line is wrong or names a video in other letters than YouTube's, or
            the splits' lists do not give each line one split.
    """
    path = folder / ANNOTATIONS
    if not path.is_file():
        raise ConfigError(f"{path}: no such file. Expected AVE's annotations, Category&VideoID&Quality&Start&End.")
    lines = read_annotations(str(path), path)
    if not lines:
        raise ConfigError(f"{path}: no lines, expected one or more.")
    for number, line in enumerate(lines):
        if not VIDEO.fullmatch(line.video):
            raise ConfigError(f"{path}, row {number + 1}: video {line.video!r}, expected letters, digits, _ and -.")
    published = _read_splits(folder, lines)
    by_video: dict[str, set[str]] = collections.defaultdict(set)
    for line, split in zip(lines, published, strict=True):
        if split is not None:
            by_video[line.video].add(split)
    leaks = {video: sorted(found, key=SPLITS.index) for video, found in by_video.items() if len(found) > 1}
    counts: collections.Counter[str] = collections.Counter()
    rows, num_moved = [], 0
    for line, split in zip(lines, published, strict=True):
        counts[line.video] += 1
        is_moved = split == "test" and line.video in leaks and not as_published
        num_moved += is_moved
        number = counts[line.video]
        name = f"{line.video}#{number}" if number > 1 else line.video
        rows.append(AveRow(name, line, LEAKED if is_moved else split))
    return AveRows(rows, list(dict.fromkeys(line.category for line in lines)), dict(sorted(leaks.items())), num_moved)


def _read_splits(folder: Path, lines: list[Annotation]) -> Sequence[str | None]:
    """The published split of each line."""
    orders = {split: folder / f"{name}_order.h5" for split, name in PUBLISHED_NAMES.items()}
    sets = {split: folder / f"{name}Set.txt" for split, name in PUBLISHED_NAMES.items()}
    for paths in (orders, sets):
        there = [path for path in paths.values() if path.is_file()]
        if there and len(there) < len(paths):
            lacking = ", ".join(str(path) for path in paths.values() if path not in there)
            raise ConfigError(f"{lacking}: not there, though {there[0].name} is. Expected all three splits, or none.")
    splits: list[str | None] = [None] * len(lines)
    if orders["train"].is_file():
        for split, path in orders.items():
            _assign(path, split, _read_order(path, len(lines)), splits)
    elif sets["train"].is_file():
        places: dict[Annotation, list[int]] = collections.defaultdict(list)
        for number, line in enumerate(lines):
            places[line].append(number)
        for split, path in sets.items():
            _assign(path, split, _find_lines(path, places), splits)
    else:
        return splits
    if None in splits:
        number = splits.index(None)
        raise ConfigError(
            f"{folder}: {ANNOTATIONS}, row {number + 1} ({lines[number].video}) is in no split, nor are "
            f"{splits.count(None) - 1} others; expected each row in one of train, val and test."
        )
    return splits


def _assign(path: Path, split: str, numbers: list[int], splits: list[str | None]) -> None:
    for number in numbers:
        if splits[number] is not None:
            raise ConfigError(f"{path}: has row {number + 1}, which is in {splits[number]} too; expected it once.")
        splits[number] = split


def _read_order(path: Path, num_rows: int) -> list[int]:
    with open_array(path, "order", (None,), "iu") as order:
        if order.shape[0] > num_rows:
            raise ConfigError(f"{path}: {order.shape[0]} row numbers, expected at most {num_rows}.")
        numbers = order.read(0, order.shape[0])
    wrong = numbers[(numbers < 0) | (numbers >= num_rows)]
    if len(wrong):
        raise ConfigError(
            f"{path}: has row number {wrong[0]}, expected 0 to {num_rows - 1}, as {ANNOTATIONS} has rows."
        )
    return [int(number) for number in np.asarray(numbers)]


def _find_lines(path: Path, places: dict[Annotation, list[int]]) -> list[int]:
    """The row of each line of a split's list; equal lines one after the other."""
    left = {line: list(numbers) for line, numbers in places.items()}
    found = []
    for row, line in enumerate(read_annotations(str(path), path)):
        if not left.get(line):
            raise ConfigError(f"{path}, row {row + 1}: {line.category}&{line.video} is no line of {ANNOTATIONS}.")
        found.append(left[line].pop(0))
    return found
