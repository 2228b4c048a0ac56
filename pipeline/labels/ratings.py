"""Label files -> judgements, as columns: what a rater says about a span of a video.

A label file is CSV or Parquet, in one of two forms, recognised by its columns.

1. Judgements, one row each: `video` (a file name, the end of a path, an address or a video_id), `on_screen` and
   `off_screen` (0 or 1: does something visible sound; does something invisible sound), optional `start_s` and `end_s`
   (default: the whole video) and `rater` (default: one rater, whom the file speaks for).
2. A published AudioScope list (`published_lists.py`): video path, start, end; the label is in the file's name.

A rater may judge a span only once: otherwise three raters without names would count as one who heard both. Judgements
are kept as columns: 600 000 of them take 18 MB, and 500 MB as Python objects.
"""

import contextlib
import csv
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.collection.csv_rows import csv_rows
from pipeline.collection.published_lists import NUM_RATERS, list_verdict, read_list
from pipeline.errors import ConfigError
from pipeline.hashing import hash_bytes
from pipeline.storage import files

NEEDED = ("video", "on_screen", "off_screen")
KNOWN = (*NEEDED, "start_s", "end_s", "rater")
ONES, ZEROS = pa.array(["1", "1.0", "true"]), pa.array(["0", "0.0", "false"])  # 1.0: a column that once had a gap
BLOCK_BYTES = 1 << 24  # of a CSV parsed at a time: no row is longer
SECONDS = r"^(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$|^inf$"


@dataclass(frozen=True, slots=True)
class Judgements:
    """The judgements of some label files."""

    table: pa.Table
    """One row per judgement, by file and row: video, rater ("": not named) and file, each dictionary-encoded in one
    chunk; start_s, end_s (infinity: the video's end), on_screen, off_screen, num_raters that it speaks for."""
    contents: dict[str, str]
    """Hash of each file's bytes, by its name."""


def read_judgements(labels: Sequence[str]) -> Judgements:
    """Every judgement of some label files, whatever their order.

    Args:
        labels: addresses; a `*` in the last name matches any letters.
    Raises:
        ConfigError: no such file, two of one name, neither of the two forms (the message names the row), a list that
            is not whole, or a rater who says two things of one span.
    """
    uris: dict[str, str] = {}
    for uri in _find(labels):
        other = uris.setdefault(posixpath.basename(uri), uri)
        if other != uri:
            raise ConfigError(f"labels file {uri}: has the name of {other}, and a label names its file. Rename one.")
    tables, contents = [], {}
    for name, uri in sorted(uris.items()):
        with files.local_copy(uri) as path:
            tables.append(_read(uri, path))
            contents[name] = hash_bytes(path.read_bytes())
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    check_contradictions(table, codes(table, "video"))
    return Judgements(table, contents)


def codes(table: pa.Table, name: str) -> np.ndarray:
    """[n] number of each row's value in the dictionary of a column of `Judgements.table`."""
    return table[name].chunk(0).indices.to_numpy()


def where(table: pa.Table, *rows: int) -> str:
    """`labels file votes.csv, row 3 and other.csv, row 1`, for rows of `Judgements.table`."""
    files = codes(table, "file")
    places = [f"{table['file'][row].as_py()}, row {row - np.argmax(files == files[row]) + 1}" for row in rows]
    return "labels file " + " and ".join(places)


def check_contradictions(table: pa.Table, videos: np.ndarray) -> None:
    """Refuse a rater who says two things of one span.

    Args:
        table: of `Judgements`.
        videos: [n] number of each row's video.
    Raises:
        ConfigError: one does; the message names both rows.
    """
    is_named = pc.not_equal(table["rater"].cast(pa.string()), "").to_numpy()
    raters = np.where(is_named, codes(table, "rater"), -1 - codes(table, "file"))  # who is not named is one per file
    said = 2 * table["on_screen"].to_numpy().astype(int) + table["off_screen"].to_numpy()
    keys = [said, table["end_s"].to_numpy(), table["start_s"].to_numpy(), raters, videos]
    order = np.lexsort(keys)
    differs, *others = (key[order][1:] != key[order][:-1] for key in keys)
    found = np.flatnonzero(differs & ~np.any(others, axis=0))
    if not len(found):
        return
    first, second = sorted(order[found[0] : found[0] + 2].tolist())
    row = table.slice(second, 1).to_pylist()[0]
    span = f"{row['start_s']:g} s to " + ("its end" if row["end_s"] == np.inf else f"{row['end_s']:g} s")
    if row["rater"]:
        who, expected = f"rater `{row['rater']}`", "one row per rater and span: remove one"
    else:
        who, expected = "a rater without a name", "one row per span, or a `rater` column that names who says what"
    raise ConfigError(
        f"{where(table, first, second)}: {who} says two things of `{row['video']}` from {span}. Expected {expected}."
    )


def _find(labels: Sequence[str]) -> list[str]:
    """The addresses of the files that are meant."""
    found: list[str] = []
    for uri in labels:
        matches = files.store_at(uri).glob(uri) if "*" in posixpath.basename(uri) else [uri]
        if not matches or not all(files.exists(match) for match in matches):
            raise ConfigError(
                f"labels file {uri}: no such file. Expected a CSV or Parquet file, or several by a pattern in quotes, "
                "such as 'lists/*screen_unanimous_clips.csv'."
            )
        found += matches
    return found


def _read(uri: str, path: Path) -> pa.Table:
    """One label file as a table of `Judgements`."""
    here, is_parquet = f"labels file {uri}", uri.lower().endswith(".parquet")
    header = _header(path, is_parquet, here)
    names = [name.strip().lower() for name in header]
    if set(NEEDED) <= set(names):
        for name in KNOWN:
            if names.count(name) > 1:
                raise ConfigError(f"{here}: {names.count(name)} columns are named {name}, expected one. Remove others.")
        places = {name: header[names.index(name)] for name in KNOWN if name in names}
        columns = _judged(_texts(path, is_parquet, places, here), here)
    else:
        verdict = None if is_parquet else list_verdict(here, uri)
        if verdict is None:
            raise ConfigError(
                f"{here}: columns {', '.join(names) or 'none'}; expected video, on_screen, off_screen and optional "
                "start_s, end_s, rater, with commas between; or a published list: a CSV with onscreen_unanimous or "
                "offscreen_unanimous in its name."
            )
        columns = _listed(list(read_list(here, uri, path)), verdict)
    num_rows = len(columns["video"])
    if not num_rows:
        raise ConfigError(f"{here}: no rows, expected one judgement or more. Give another file, or leave it out.")
    columns["file"] = pa.repeat(posixpath.basename(uri), num_rows)
    return pa.table({name: _encoded(column) for name, column in columns.items()})


def _encoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.dictionary_encode() if pa.types.is_string(column.type) else column


def _header(path: Path, is_parquet: bool, here: str) -> list[str]:
    """The names of the columns; for a list without a header, its first row."""
    try:
        if is_parquet:
            with path.open("rb") as file:
                return pq.read_schema(file).names
        with contextlib.closing(csv_rows(path)) as rows:
            return next(filter(None, rows), [])
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(here, error) from error


def _texts(path: Path, is_parquet: bool, places: dict[str, str], here: str) -> dict[str, pa.ChunkedArray]:
    """The KNOWN columns as text without space around it, "" where a value is missing.

    No type is guessed: the video 007 must not become 7.
    """
    names = list(places.values())
    as_text = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names)
    try:
        with path.open("rb") as file:
            if is_parquet:
                table = pq.ParquetFile(file).read(columns=names)
            else:
                blocks = pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES)
                lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
                table = pa.csv.read_csv(file, blocks, lines, as_text)
        blank = pa.chunked_array([pa.repeat("", len(table))])
        columns = {name: table[places[name]].cast(pa.string()) if name in places else blank for name in KNOWN}
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(here, error) from error
    return {name: pc.utf8_trim_whitespace(pc.fill_null(column, "")) for name, column in columns.items()}


def _unreadable(here: str, error: Exception) -> ConfigError:
    return ConfigError(f"{here}: not a readable table ({error}). Expected Parquet, or CSV in UTF-8 with commas.")


def _judged(texts: dict[str, pa.ChunkedArray], here: str) -> dict[str, pa.ChunkedArray]:
    """The columns of a file of judgements."""
    _require(pc.not_equal(texts["video"], ""), here, texts, ["video"], "the name of a video, or no such row")
    columns = {"video": texts["video"]}
    for name, default in (("start_s", "0"), ("end_s", "inf")):
        text = pc.if_else(pc.equal(texts[name], ""), default, pc.utf8_lower(texts[name]))
        is_number = pc.match_substring_regex(text, SECONDS)
        _require(is_number, here, texts, [name], "seconds, 0 or more (90 for 1:30), or nothing")
        columns[name] = text.cast(pa.float64())
    is_span = pc.less(columns["start_s"], columns["end_s"])
    _require(is_span, here, texts, ["start_s", "end_s"], "the end after the start")
    for name in ("on_screen", "off_screen"):
        text = pc.utf8_lower(texts[name])
        columns[name] = pc.is_in(text, ONES)
        _require(pc.or_(columns[name], pc.is_in(text, ZEROS)), here, texts, [name], "0 or 1")
    num_raters = pa.repeat(pa.scalar(1, pa.int8()), len(texts["video"]))
    return columns | {"rater": texts["rater"], "num_raters": num_raters}


def _require(
    holds: pa.ChunkedArray, here: str, texts: dict[str, pa.ChunkedArray], names: list[str], expected: str
) -> None:
    """Refuse the first row for which `holds` is false, and quote its values."""
    row = pc.index(holds, False).as_py()
    if row >= 0:
        found = ", ".join(f"{name} = {texts[name][row].as_py()!r}" for name in names)
        raise ConfigError(f"{here}, row {row + 1}: {found}, expected {expected}.")


def _listed(rows: list[tuple[str, float, float]], verdict: tuple[bool, bool]) -> dict[str, pa.Array]:
    """The columns of a published list."""
    on_screen, off_screen = verdict
    return {
        "video": pa.array([video for video, _, _ in rows], pa.string()),
        "start_s": pa.array([start_s for _, start_s, _ in rows], pa.float64()),
        "end_s": pa.array([end_s for _, _, end_s in rows], pa.float64()),
        "on_screen": pa.repeat(on_screen, len(rows)),
        "off_screen": pa.repeat(off_screen, len(rows)),
        "rater": pa.repeat("", len(rows)),
        "num_raters": pa.repeat(pa.scalar(NUM_RATERS, pa.int8()), len(rows)),
    }
