"""The list of VGGSound-AVEL100k (Zhou et al. 2022, arXiv:2211.05775v1): category, video_id and split of each video.

Its features, and which seconds hold the event, are published as pickles, which could run any program when read: they
are not read. So a video's event is said to be all of its 10 s, which is right for weak and self-supervision alone, and
features are made from the videos. The list has no start times: a video is found by its file name, and one that has two
clips is left out.
"""

import contextlib
import csv
from collections.abc import Generator
from pathlib import Path

from pipeline.collection.csv_rows import csv_rows
from pipeline.errors import ConfigError
from pipeline.ingest.video_tables import Event

COLUMNS = ("category", "video_id", "split")
SPLIT_NAMES = {"train": "train", "val": "validate", "validate": "validate", "valid": "validate", "test": "test"}
DURATION_S = 10.0


def read_list(folder: Path) -> list[Event]:
    """The event of each video of the list in a folder.

    Args:
        folder: with one CSV of these columns, or that CSV.
    Raises:
        ConfigError: there is none, or several, or a row is wrong.
    """
    paths = [folder] if folder.is_file() else sorted(folder.glob("*.csv"))
    lists = [path for path in paths if set(COLUMNS) <= set(_names(path))]
    if len(lists) != 1:
        found = f"{len(lists)} lists, {', '.join(path.name for path in lists)}" if lists else "no list"
        raise ConfigError(f"{folder}: {found}; expected one CSV with {', '.join(COLUMNS)}. Name the file.")
    (path,) = lists
    with contextlib.closing(_rows(path)) as rows:
        names = [name.strip().lower() for name in next(rows)]
        places = [names.index(column) for column in COLUMNS]
        events = [_event(path, number, row, places) for number, row in enumerate(rows) if row]
    if not events:
        raise ConfigError(f"{path}: no rows, expected one video or more.")
    return events


def _event(path: Path, number: int, row: list[str], places: list[int]) -> Event:
    category, video, split = (row[place].strip() if place < len(row) else "" for place in places)
    if not category or not video or split.lower() not in SPLIT_NAMES:
        found = f"category {category!r}, video_id {video!r}, split {split!r}"
        expected = f"a category, a video and one of {', '.join(SPLIT_NAMES)}"
        raise ConfigError(f"{path}, row {number + 1}: {found}; expected {expected}.")
    return Event(video, 0.0, DURATION_S, category, SPLIT_NAMES[split.lower()])


def _names(path: Path) -> list[str]:
    with contextlib.closing(_rows(path)) as rows:
        return [name.strip().lower() for name in next(rows, [])]


def _rows(path: Path) -> Generator[list[str], None, None]:
    try:
        yield from csv_rows(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Expected a CSV in UTF-8.") from error
