"""A folder or prefix of masks -> which files there are masks, of which videos and moments.

    <folder>/<video>/500.png                what sounds at 500 ms of the video
    <folder>/<video>/500.dog_barking.png    what of it is of that category

`<video>` is named as in label files: its file name with or without the suffix, its video_id, or more of its path. The
masks may also lie in `<video>/masks/`, where `earshot segment` writes them: corrected by hand, they are labels.
Files of other names are no masks: they are counted, and left alone.
"""

import collections
import contextlib
import os
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError, DataError
from pipeline.hashing import hash_bytes, hash_json
from pipeline.labels.label_files import FileRows
from pipeline.masks.mask_parts import CATEGORY
from pipeline.masks.mask_pictures import MAX_BYTES
from pipeline.storage import files

NAME = re.compile(rf"(\d{{1,9}})(?:\.({CATEGORY.pattern}?))?\.png", re.IGNORECASE)  # up to 11 days
EXPECTED = "Expected <video>/<ms>.png, or <video>/<ms>.<category>.png, where <ms> is the moment in milliseconds."


@dataclass(frozen=True, slots=True)
class MaskFiles(FileRows):
    """The masks of a folder: `video`, `file` (the folder's name), `source`, `uri`, `ms`, `category`, `size_bytes`."""

    num_others: int
    """Files that are no masks, by their names."""
    first_other: str
    """One of them; "" where there is none."""

    def where(self, *rows: int) -> str:
        """`masks folder my_masks: a/500.png and a.mp4/500.png`, for rows of the table."""
        return f"{self.kind} {self.table['file'][0]}: {' and '.join(self.table['source'][row].as_py() for row in rows)}"

    def __str__(self) -> str:
        others = f", {self.num_others} other files left out, first {self.first_other}" if self.num_others else ""
        return f"{len(self.table)} masks{others}"


def read_mask_folder(folder: str) -> MaskFiles:
    """What a folder or s3:// prefix holds, in the order of the names. Reads local masks once, to know their content.

    Raises:
        ConfigError: there is no such folder, no mask, or two of one moment of a video.
    """
    if not files.store_at(folder).has_folder(folder):
        raise ConfigError(f"masks folder {folder}: found nothing. {EXPECTED}")
    base = files.absolute(folder)
    columns: dict[str, list[str | int | None]] = collections.defaultdict(list)
    others: list[str] = []
    content, skipped = [], files.Skipped()
    for entry in files.list_files(base, skipped=skipped):
        source = files.relative(entry.uri, base)
        video, _, name = source.rpartition("/")
        found = NAME.fullmatch(name)
        if found is None or not video:
            others.append(source)
            continue
        content.append([source, _content(entry)])
        values = (video.removesuffix("/masks"), source, entry.uri, int(found[1]), found[2], entry.size_bytes)
        for column, value in zip(("video", "source", "uri", "ms", "category", "size_bytes"), values, strict=True):
            columns[column].append(value)
    if skipped.unreadable:
        raise ConfigError(f"masks folder {folder}: {skipped.unreadable[0]} may not be read. Allow it, or move it away.")
    if not content:
        first = f", first {others[0]}" if others else ""
        raise ConfigError(f"masks folder {folder}: {len(others)} files, none of them a mask{first}. {EXPECTED}")
    return _rows(os.path.basename(base), columns, others, hash_json(content))


def _content(entry: files.Entry) -> str:
    """What a file holds, in short: the same for a copy on another machine; of an object as its store says."""
    if not files.store_at(entry.uri).is_local:
        return entry.revision
    with contextlib.suppress(DataError):
        return hash_bytes(files.read_bytes(entry.uri, 0, min(entry.size_bytes, MAX_BYTES)))
    return ""


def _rows(name: str, columns: dict[str, list[str | int | None]], others: list[str], content: str) -> MaskFiles:
    table = pa.table(
        {
            "video": pa.array(columns["video"], pa.string()).dictionary_encode(),
            "file": pa.array([name] * len(columns["video"]), pa.string()).dictionary_encode(),
            "source": pa.array(columns["source"], pa.string()),
            "uri": pa.array(columns["uri"], pa.string()),
            "ms": pa.array(columns["ms"], pa.int64()),
            "category": pa.array(columns["category"], pa.string()),
            "size_bytes": pa.array(columns["size_bytes"], pa.int64()),
        }
    )
    return MaskFiles("masks folder", table, {name: content}, len(others), others[0] if others else "")


def check_moments(masks: MaskFiles, of_row: np.ndarray) -> None:
    """Refuse two masks of one moment of a video and of one category.

    Args:
        of_row: [n] number of each row's video.
    Raises:
        ConfigError: there are two.
    """
    seen: dict[tuple[int, int, str | None], int] = {}
    moments = zip(of_row.tolist(), masks.table["ms"].to_pylist(), masks.table["category"].to_pylist(), strict=True)
    for row, moment in enumerate(moments):
        other = seen.setdefault(moment, row)
        if other != row:
            what = f" of {moment[2]}" if moment[2] is not None else ""
            raise ConfigError(f"{masks.where(other, row)}: two masks{what} of one moment of one video. Remove one.")
