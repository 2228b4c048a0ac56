"""Rows of span files (`span_files.py`) -> the table `spans`, and the category of each second of a clip.

Spans belong to a video, whatever clip spec cuts it. A video that a file names without an event has one row, from 0 to
0 s; a video without a row was not judged.
"""

import collections
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from pipeline.clips.cut_videos import read_videos
from pipeline.errors import ConfigError
from pipeline.labels.label_files import FileRows
from pipeline.labels.video_names import MatchedRows
from pipeline.storage.layout import SPANS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.segments import SEGMENT_S
from schemas.spans import SPANS, SpanRow

MIN_COVERED = 0.5  # of a segment
SLACK_S = 1e-6  # times with decimals are not exact in binary
MAX_BEYOND_S = 1.0  # spans in whole seconds end up to this much after a video of 9.1 s does


def segment_labels(spans: Iterable[SpanRow], start_s: float, num_segments: int) -> list[str | None]:
    """The category of each second of a clip: that of the longest span that covers half of the second or more.

    Args:
        spans: of the clip's video, in any order.
        start_s: where the clip begins in its video.
        num_segments: N, seconds of the clip.
    Returns:
        [N] categories, None where no span covers half of the second. Of spans of equal length the one that begins
        first counts, and of those the one whose category comes first in the alphabet.
    """
    order = sorted(spans, key=lambda span: (span["start_s"] - span["end_s"], span["start_s"], span["category"]))
    starts_s = [start_s + number * SEGMENT_S for number in range(num_segments)]
    return [next((span["category"] for span in order if _covers(span, begin_s)), None) for begin_s in starts_s]


def _covers(span: SpanRow, begin_s: float) -> bool:
    covered_s = min(span["end_s"], begin_s + SEGMENT_S) - max(span["start_s"], begin_s)
    return covered_s >= MIN_COVERED * SEGMENT_S - SLACK_S


class SpansPart:
    """Writes the spans of one part of videos.

    Args:
        workspace: where the videos are cut.
        rows: of the span files.
    Raises:
        ConfigError: no video is the workspace's, a name fits two, or a span lies outside its video.
    """

    def __init__(self, workspace: Workspace, rows: FileRows) -> None:
        self._workspace, self._rows = workspace, MatchedRows(workspace, rows)
        self.files = self._rows.files
        _check_inside(rows, self._rows)

    def __call__(self, part: str) -> dict[str, int]:
        """Commit the rows of the part's videos, and return their number, and that of videos with a row."""
        found: list[dict[str, Any]] = []
        num_videos = 0
        for video in read_videos(self._workspace, part, ["video_id"]):
            rows = [row | {"source": row.pop("file")} for row in self._rows.of_video(video["video_id"])]
            found += [video | row for row in sorted(rows, key=lambda row: tuple(row.values()))]
            num_videos += bool(rows)
        self._workspace.commit(SPANS_FOLDER, part, from_rows(found, SPANS, part), SPANS)
        return collections.Counter(spans=len(found), videos=num_videos)


def _check_inside(rows: FileRows, matched: MatchedRows) -> None:
    """Refuse a span that lies outside its video, as far as its length is known."""
    ends_s = rows.table["end_s"].to_pylist()
    starts_s = rows.table["start_s"].to_pylist()
    for row, number in enumerate(matched.of_row):
        duration_s = matched.durations_s[number] if number >= 0 else None
        if duration_s is not None and (ends_s[row] > duration_s + MAX_BEYOND_S or starts_s[row] > duration_s):
            raise ConfigError(
                f"{rows.where(row)}: from {starts_s[row]:g} to {ends_s[row]:g} s of {rows.table['video'][row]}, which "
                f"lasts {duration_s:g} s; expected a span inside it, or up to {MAX_BEYOND_S:g} s longer. Correct it."
            )


@dataclass(frozen=True, slots=True)
class SpansSummary:
    """What the spans of a workspace are."""

    num_spans: int
    """Events."""
    num_videos: int
    """Videos that are judged."""
    num_without: int
    """Those of them without an event."""
    categories: dict[str, int]
    """Events of each category, in the order of the alphabet."""

    def __str__(self) -> str:
        without = f", {self.num_without} of them without one" if self.num_without else ""
        kinds = f"{len(self.categories)} categories"
        return f"events: {self.num_spans} of {kinds} in {self.num_videos} videos{without}"

    def facts(self) -> dict[str, Any]:
        """For the stage's record."""
        return {name: getattr(self, name) for name in self.__slots__}


def summarize_spans(workspace: Workspace) -> SpansSummary:
    """Counts over all parts that have spans."""
    table = workspace.read_all(SPANS_FOLDER, SPANS, ["video_id", "end_s", "category"])
    events = table.filter(pc.greater(table["end_s"], 0))
    videos, with_event = (set(found["video_id"].to_pylist()) for found in (table, events))
    counts = collections.Counter(events["category"].to_pylist())
    return SpansSummary(len(events), len(videos), len(videos - with_event), dict(sorted(counts.items())))
