"""Texts without some videos: lines of logs, rows of CSV, values of the records of stages."""

import csv
import io
import json
from typing import Any

from pipeline.storage import files
from pipeline.takedown.names import REPLACED, Names

ID_COLUMNS = ("video_id", "clip_id", "uri")


def text_of(data: bytes) -> str:
    """Bytes as text in which every word of ASCII is where it is, whatever the bytes are."""
    return data.decode("utf-8", "surrogateescape")


def clean_lines(text: str, names: Names) -> str:
    """The lines that mention none of the videos."""
    return "".join(line for line in text.splitlines(keepends=True) if not names.are_in(line))


def clean_csv(text: str, names: Names) -> str:
    """A CSV as it is written, without the rows about the videos; mentions in other rows are replaced.

    A row is about a video where a column whose name ends in video_id, clip_id or uri has exactly its id, a clip of its
    or its address; where no column has such a name, any cell counts.
    """
    kept: list[str] = []
    columns: list[int] | None = None
    source = io.StringIO(text, newline="")
    while True:
        begin = source.tell()
        row = next(csv.reader(iter(source.readline, "")), None)
        if row is None:
            return "".join(kept)
        if columns is None:
            columns = [number for number, name in enumerate(row) if name.strip().lower().endswith(ID_COLUMNS)]
        cells = [row[number] for number in columns if number < len(row)] if columns else row
        if not any(_is_id(cell, names) for cell in cells):
            kept.append(names.replaced_in(text[begin : source.tell()]))


def clean_json(value: Any, names: Names) -> Any:
    """A value of JSON without items of lists and keys of objects that are one of the videos; mentions are replaced."""
    if isinstance(value, str):
        return names.replaced_in(value)
    if isinstance(value, list):
        return [clean_json(item, names) for item in value if not _is_theirs(item, names)]
    if isinstance(value, dict):
        return {key: clean_json(item, names) for key, item in value.items() if not _is_theirs(key, names)}
    return value


def clean_file(uri: str, names: Names) -> bool:
    """Rewrite a record, a CSV or a text without the videos, in one atomic step; return whether it mentioned one."""
    data = files.read_bytes(uri)
    text = text_of(data)
    if uri.endswith(".json"):
        value = json.loads(text)
        cleaned = clean_json(value, names)
        if uri.endswith(".represented.json"):  # a list of ids, everyday words too
            cleaned["represented"] = [name for name in value["represented"] if name not in names.video_ids]
        if cleaned == value:
            return False
        files.commit_bytes(uri, json.dumps(cleaned, indent=1, sort_keys=True).encode())
        return True
    cleaned = (clean_csv if uri.endswith(".csv") else clean_lines)(text, names)
    if cleaned == text:
        return False
    files.commit_bytes(uri, cleaned.encode("utf-8", "surrogateescape"))
    return True


def _is_id(cell: str, names: Names) -> bool:
    """Whether a cell is one of the videos; `'` before it keeps a spreadsheet from taking it for a formula."""
    spellings = {cell, cell.removeprefix("'")}
    return any(name in names.video_ids or name in names.uris or names.is_clip(name) for name in spellings)


def _is_theirs(item: Any, names: Names) -> bool:
    if not isinstance(item, str):
        return False
    return item in names.uris or names.replaced_in(item) == REPLACED
