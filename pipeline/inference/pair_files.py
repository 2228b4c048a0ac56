"""A table of pairs (CSV, JSON lines or Parquet) -> what is to be judged.

Columns: `picture` and `sound`, addresses of files, relative ones beside the table, or names of clips; `picture_start_s`
and `sound_start_s`, where the one clip begins that is judged; `match`, 1 for what belongs together and 0 for what does
not. The last three may be missing or empty; other columns are passed over.
"""

import math
import posixpath
from collections.abc import Callable, Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, did_you_mean
from pipeline.inference.matching_pairs import Pair
from pipeline.storage import files

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
COLUMNS = Pair._fields
STARTS = ("picture_start_s", "sound_start_s")
VERDICTS = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0, "": None}
BLOCK_BYTES = 1 << 24  # of a text file parsed at a time: no row is longer


def read_pairs(uri: str, find_clips: Callable[[set[str]], Collection[str]] = lambda names: ()) -> list[Pair]:
    """The pairs of a table, in its order.

    Args:
        uri: its address.
        find_clips: which of the names in `picture` and `sound` are no addresses, but known clips'.

    Raises:
        ConfigError: no such file, not a table, no column `picture` or `sound`, no row, or a value that cannot be right;
            the row is named.
    """
    if not uri.lower().endswith(SUFFIXES):
        raise ConfigError(f"pairs {uri}: expected a file that ends with {', '.join(SUFFIXES)}.")
    if not files.exists(uri):
        raise ConfigError(f"pairs {uri}: no such file.")
    try:
        with files.local_copy(uri) as path:
            table = _read(path, uri.lower())
            texts = {
                name: pc.utf8_trim_whitespace(pc.fill_null(table[name].cast(pa.string()), "")).to_pylist()
                for name in COLUMNS
                if name in table.column_names
            }
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"pairs {uri}: not a readable table ({error}).") from error
    for name in ("picture", "sound"):
        if name not in texts:
            hint = did_you_mean(name, table.column_names)
            raise ConfigError(f"pairs {uri}: columns {', '.join(table.column_names)}: expected {name} too.{hint}")
    if not len(table):
        raise ConfigError(f"pairs {uri}: no rows, expected one pair or more.")
    clips = find_clips({*texts["picture"], *texts["sound"]})
    folder = posixpath.dirname(uri)
    return [_pair(row, uri, number, folder, clips) for number, row in enumerate(_rows(texts, len(table)), 1)]


def _read(path: Path, name: str) -> pa.Table:
    """The table of a local file, whose name says what it is; of CSV each value as text: 007 must not become 7."""
    if name.endswith(".parquet"):
        with path.open("rb") as file:
            return pq.ParquetFile(file).read()
    if name.endswith(".csv"):
        blocks, lines = pa.csv.ReadOptions(block_size=BLOCK_BYTES), pa.csv.ParseOptions(newlines_in_values=True)
        with path.open("rb") as file:
            return pa.csv.read_csv(
                file, blocks, lines, pa.csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()))
            )
    with path.open("rb") as file:
        return pa.json.read_json(file, pa.json.ReadOptions(block_size=BLOCK_BYTES))


def _rows(texts: dict[str, list[str]], num_rows: int) -> list[dict[str, str]]:
    return [{name: column[row] for name, column in texts.items()} for row in range(num_rows)]


def _pair(row: dict[str, str], uri: str, number: int, folder: str, clips: Collection[str]) -> Pair:
    here = f"pairs {uri}, row {number}"
    verdict = row.get("match", "").lower()
    if verdict not in VERDICTS:
        raise ConfigError(f"{here}: match = {row['match']!r}, expected 0, 1 or nothing.")
    picture_s, sound_s = (_seconds(row.get(name, ""), f"{here}: {name}") for name in STARTS)
    picture, sound = (row[side] if row[side] in clips else _address(row[side], folder) for side in ("picture", "sound"))
    return Pair(picture, sound, picture_s, sound_s, VERDICTS[verdict])


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
