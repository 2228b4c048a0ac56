"""The published AudioScope clip lists: their names, numbers of rows, columns, and the label in a name.

A list is a CSV of video path, start and end, with or without a header. It has no label column: the label is in its
name, and three raters agreed on it (AudioScope, section 4.2). A path leads to the media in `s3://multimedia-commons/`.
Names, counts and columns are those of `datasets/audioscope` and `datasets/audioscope-v2` of
google-research/sound-separation (CC-BY 4.0). A truncated download is still a well-formed CSV, so only the number of
rows shows whether a list is whole.
"""

import contextlib
import csv
import itertools
import math
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.collection.csv_rows import csv_rows
from pipeline.errors import ConfigError
from schemas.videos import SPLITS

MEDIA = "s3://multimedia-commons/"
# Rows without the header, for train, validate and test. The lists of mixtures of the unfiltered clips are left out:
# their published counts are "times 5" and "times 2", without saying whether rows are repeated.
COUNTS = {
    "filtered_{}_clips.csv": (324_970, 6_429, 3_293),
    "filtered_{}_onscreen_unanimous_clips.csv": (836, 735, 295),
    "filtered_{}_offscreen_unanimous_clips.csv": (3_672, 836, 370),
    "filtered_{}_onscreen_unanimous_plus_offscreen_unanimous_mom_clips.csv": (None, 3_675, 1_475),
    "filtered_{}_offscreen_unanimous_plus_offscreen_unanimous_mom_clips.csv": (None, 4_180, 1_850),
    "unfiltered_{}_clips.csv": (4_845_626, 37_126, 18_616),
    "unfiltered_{}_onscreen_unanimous_clips.csv": (554, 104, 43),
    "unfiltered_{}_offscreen_unanimous_clips.csv": (1_072, 1_383, 762),
}
ROWS = {
    pattern.format(split): count
    for pattern, counts in COUNTS.items()
    for split, count in zip(SPLITS, counts, strict=True)
    if count is not None
}
NUM_RATERS = 3  # of each clip of a list that is labelled
SPLIT_OF = {pattern.format(split): split for pattern in COUNTS for split in SPLITS}


def is_list(uri: str, path: Path) -> bool:
    """Whether a file is a clip list: by its name, or because path, number, number is its first or second row.

    Args:
        uri: its address, for the name.
        path: its content, of which two rows are read.
    """
    if not uri.endswith(".csv"):
        return False
    with contextlib.suppress(UnicodeDecodeError, csv.Error), contextlib.closing(csv_rows(path)) as rows:
        first, second = (*itertools.islice(rows, 2), [], [])[:2]
        is_table = not {"uri", "start_s", "end_s"}.isdisjoint(first)
        return not is_table and (posixpath.basename(uri) in ROWS or _is_clip(first) or _is_clip(second))
    return False


def list_verdict(where: str, uri: str) -> tuple[bool, bool] | None:
    """(on screen, off screen): the label of all clips of a list, by its name; None if the name has neither.

    Raises:
        ConfigError: a list of mixtures, or a name that says both.
    """
    name = posixpath.basename(uri).lower()
    marks = set(re.findall(r"(on|off)screen_unanimous", name))
    if not marks:
        return None
    if _names_mixtures(name):
        raise _mixtures(where)
    if len(marks) > 1:
        raise ConfigError(
            f"{where}: the name says onscreen_unanimous and offscreen_unanimous, expected one. Give a file for each."
        )
    return "on" in marks, "off" in marks


def read_list(where: str, uri: str, path: Path) -> Iterator[tuple[str, float, float]]:
    """Each row's video path, start and end in seconds; memory does not grow with the list.

    Args:
        where: what messages begin with, such as `labels file some.csv`.
        uri: the list's address: a published name says how many rows there must be.
        path: its content.
    Raises:
        ConfigError: a list of mixtures, a row that is none, or (at the end) another number of rows than published.
    """
    name = posixpath.basename(uri)
    if _names_mixtures(name):
        raise _mixtures(where)
    index, num_rows = 0, 0
    try:
        for index, row in enumerate(csv_rows(path)):
            if not row:
                continue
            if len(row) >= 6:
                raise _mixtures(where)
            if len(row) != 3:
                raise ConfigError(f"{where}, row {index + 1}: {len(row)} columns, expected path, start, end.")
            try:
                start_s, end_s = float(row[1]), float(row[2])
            except ValueError:
                if index == 0:  # a header
                    continue
                raise ConfigError(f"{where}, row {index + 1}: {row[1:]}, expected two numbers.") from None
            if not row[0]:
                raise ConfigError(f"{where}, row {index + 1}: no path. Give one, or remove the row.")
            if not 0 <= start_s < end_s < math.inf:
                raise ConfigError(
                    f"{where}, row {index + 1}: {start_s:g} s to {end_s:g} s, expected a start of 0 or more and an "
                    "end after it."
                )
            num_rows += 1
            yield row[0], start_s, end_s
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{where}, after row {index + 1}: not a CSV file in UTF-8 ({error}).") from error
    if num_rows != ROWS.get(name, num_rows):
        raise ConfigError(
            f"{where}: {num_rows} rows, expected the {ROWS[name]} that {name} was published with. The download may be "
            "truncated: repeat it. A list that you shortened on purpose needs another name."
        )


def _is_clip(row: list[str]) -> bool:
    with contextlib.suppress(ValueError):
        return len(row) >= 3 and math.isfinite(float(row[1])) and math.isfinite(float(row[2]))
    return False


def _names_mixtures(name: str) -> bool:
    return "mom" in re.split(r"[^a-z]+", name.lower())


def _mixtures(where: str) -> ConfigError:
    return ConfigError(
        f"{where}: a list of mixtures of mixtures (path, start, end, twice), expected one of clips (path, start, end). "
        "Give the ..._clips.csv without `mom` in its name."
    )
