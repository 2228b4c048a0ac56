"""Span files -> events of videos, as columns.

A span file has one of two forms: CSV or Parquet with `video` (named as in label files), `start_s`, `end_s` and
`category`; or AVE's annotations (`collection/ave_annotations.py`). A row from 0 to 0 s is a video that was judged and
has no event: its category may be empty. Spans of a video may overlap.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.collection.ave_annotations import is_annotations, read_annotations
from pipeline.errors import ConfigError
from pipeline.labels.label_files import SECONDS, Columns, FileRows, LabelFile, read_files

COLUMNS = ("video", "start_s", "end_s", "category")


def read_spans(spans: Sequence[str]) -> FileRows:
    """Every row of some span files, whatever their order: video, start_s, end_s, category.

    Args:
        spans: addresses; a `*` in the last name matches any letters.
    Raises:
        ConfigError: no such file, two of one name, neither of the two forms, or a row that cannot be right (the message
            names it): no video, an event without a category, an end that is not after its start.
    """
    return read_files(spans, "spans file", "events/*.csv", _read, "span")


def _read(file: LabelFile) -> Columns:
    if not file.is_parquet and is_annotations(file.path):
        rows = read_annotations(file.here, file.path)
        return {
            "video": pa.array([row.video for row in rows], pa.string()),
            "start_s": pa.array([row.start_s for row in rows], pa.float64()),
            "end_s": pa.array([row.end_s for row in rows], pa.float64()),
            "category": pa.array([row.category for row in rows], pa.string()),
        }
    header = file.header()
    names = [name.strip().lower() for name in header]
    if not set(COLUMNS) <= set(names):
        raise ConfigError(
            f"{file.here}: columns {', '.join(names) or 'none'}; expected {', '.join(COLUMNS)}, with commas between; "
            "or AVE's annotations, Category&VideoID&Quality&Start&End."
        )
    return _events(file, file.texts(header, COLUMNS))


def _events(file: LabelFile, texts: Columns) -> Columns:
    file.require(pc.not_equal(texts["video"], ""), texts, ["video"], "the name of a video, or no such row")
    columns = {"video": texts["video"]}
    for name in ("start_s", "end_s"):
        is_number = pc.match_substring_regex(texts[name], SECONDS)
        file.require(is_number, texts, [name], "seconds, 0 or more (90 for 1:30)")
        columns[name] = texts[name].cast(pa.float64())
    is_event = pc.less(columns["start_s"], columns["end_s"])
    is_none = pc.and_(pc.equal(columns["start_s"], 0), pc.equal(columns["end_s"], 0))
    expected = "the end after the start, or 0 and 0 for a video without an event"
    file.require(pc.or_(is_event, is_none), texts, ["start_s", "end_s"], expected)
    has_name = pc.or_(is_none, pc.not_equal(texts["category"], ""))
    file.require(has_name, texts, ["category"], "what is seen and heard from start_s to end_s")
    return columns | {"category": texts["category"]}
