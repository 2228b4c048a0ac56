"""A table of pairs of a picture and a sound -> the pairs, for those who judge them and those who learn from judgements.

Columns: `picture` and `sound`; `picture_start_s` and `sound_start_s`, where the one clip begins that is meant; `match`,
1 for what belongs together and 0 for what does not. The last three may be missing or empty; other columns are passed
over. A name without a start is a clip_id if a known clip has it. Any other is an address; a relative one lies beside
the table.
"""

import math
import posixpath
from collections.abc import Callable, Collection
from typing import NamedTuple

import duckdb

from pipeline.errors import ConfigError, did_you_mean
from pipeline.storage import files
from pipeline.storage.sql_files import quoted, select_from_file

VERDICTS = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0, "": None}
SPACE = "' ' || chr(9) || chr(10) || chr(13)"


class Pair(NamedTuple):
    """A picture and a sound, each a file's or a clip's."""

    picture: str
    """Path or s3:// address of a video or an image, or a clip_id."""
    sound: str
    """Of a sound or a video, or a clip_id."""
    picture_start_s: float | None = None
    """Where the one clip begins that is meant; None means all of the file, or the clip that is named."""
    sound_start_s: float | None = None
    match: int | None = None
    """1 if both are known to belong together, 0 if not; None if nobody knows."""


def read_pairs(uri: str, find_clips: Callable[[set[str]], Collection[str]] = lambda names: ()) -> list[Pair]:
    """The pairs of a table, in its order.

    Args:
        uri: its address.
        find_clips: which of the names that have no start are known clips'.

    Raises:
        ConfigError: no such file, not a table, no column `picture` or `sound`, no row, or a value that cannot be right;
            the row is named.
    """
    rows = _read_rows(uri)
    names = {row[side] for row in rows for side in ("picture", "sound") if not row.get(f"{side}_start_s")}
    clips = find_clips(names)
    folder = posixpath.dirname(uri)
    return [_pair(row, f"pairs {uri}, row {number}", folder, clips) for number, row in enumerate(rows, 1)]


def _read_rows(uri: str) -> list[dict[str, str]]:
    """The values of each row by the column's name, as text without space around it; "" for none."""
    select_from_file(uri, uri)  # refuses a name before it is fetched
    if not files.exists(uri):
        raise ConfigError(f"pairs {uri}: no such file.")
    with files.local_copy(uri) as path, duckdb.connect() as database:
        try:
            found = database.sql(select_from_file(str(path), uri, as_text=True))
            kinds = dict(zip(found.columns, map(str, found.types), strict=True))
            for name in ("picture", "sound"):
                if name not in kinds:
                    hint = did_you_mean(name, kinds)
                    raise ConfigError(f"pairs {uri}: columns {', '.join(kinds)}: expected {name} too.{hint}")
            columns = [name for name in Pair._fields if name in kinds]
            rows = found.project(", ".join(_as_text(name, kinds[name]) for name in columns)).fetchall()
        except duckdb.Error as error:
            raise ConfigError(f"pairs {uri}: not a readable table ({error}).") from error
    if not rows:
        raise ConfigError(f"pairs {uri}: no rows, expected one pair or more.")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _as_text(name: str, kind: str) -> str:
    value = f"{quoted(name)} ->> '$'" if kind == "JSON" else f"{quoted(name)}::VARCHAR"
    return f"trim(coalesce({value}, ''), {SPACE})"


def _pair(row: dict[str, str], here: str, folder: str, clips: Collection[str]) -> Pair:
    verdict = row.get("match", "").lower()
    if verdict not in VERDICTS:
        raise ConfigError(f"{here}: match = {row['match']!r}, expected 0, 1 or nothing.")
    starts = {
        side: _seconds(row.get(f"{side}_start_s", ""), f"{here}: {side}_start_s") for side in ("picture", "sound")
    }
    picture, sound = (
        row[side] if start is None and row[side] in clips else _address(row[side], folder)
        for side, start in starts.items()
    )
    return Pair(picture, sound, starts["picture"], starts["sound"], VERDICTS[verdict])


def _seconds(text: str, here: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ConfigError(f"{here} = {text!r}, expected seconds from 0 on, or nothing.")
    return value


def _address(text: str, folder: str) -> str:
    """An address of the table: absolute, or beside it."""
    is_absolute = text.startswith(("/", *files.SCHEMES))
    return text if is_absolute or not folder or not text else files.join(folder, text)
