"""The held-out clips whose seconds a model of events gets right and wrong most, one per video: truth and prediction.

A page shows them as two rows of seconds, so that a person sees what kind of mistake it is: another category, an event
that begins late, or one that is missed.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.formatting import short_names

NUM_CLIPS = 5  # of each end

# Of equally right clips, those with an event and background come first, since the others say less; then by name.
TIMELINES = f"""
    WITH of_clips AS (
        SELECT model, clip_id, any_value(segments.video_id) AS video_id, min(start_s) AS start_s,
            avg((truth = predicted)::INT) AS accuracy, bool_or(truth = '') AND bool_or(truth != '') AS is_mixed,
            list(truth ORDER BY segment) AS truth, list(predicted ORDER BY segment) AS predicted
        FROM segments WHERE NOT is_leaked GROUP BY model, clip_id
    ), of_videos AS (
        SELECT *, row_number() OVER (of_video ORDER BY accuracy DESC, is_mixed DESC, clip_id) AS best,
            row_number() OVER (of_video ORDER BY accuracy, is_mixed DESC, clip_id) AS worst
        FROM of_clips WINDOW of_video AS (PARTITION BY model, video_id)
    ), places AS (
        SELECT * EXCLUDE (best, worst), 'best' AS which,
            row_number() OVER (PARTITION BY model ORDER BY accuracy DESC, is_mixed DESC, video_id) AS place
        FROM of_videos WHERE best = 1
        UNION ALL
        SELECT * EXCLUDE (best, worst), 'worst',
            row_number() OVER (PARTITION BY model ORDER BY accuracy, is_mixed DESC, video_id)
        FROM of_videos WHERE worst = 1
    )
    SELECT places.*, uri FROM places LEFT JOIN collection USING (video_id) WHERE place <= {NUM_CLIPS}
    ORDER BY model, which, place
"""


class Run(NamedTuple):
    """Neighbouring seconds of one category."""

    category: str
    """Empty for background; untrusted text."""
    num_segments: int
    is_right: bool
    """Whether this is the truth, in a row of predictions."""


class Timeline(NamedTuple):
    """One clip among the best or worst of a model."""

    model: str
    which: str
    """best or worst."""
    accuracy: float
    """Share of its seconds that are right."""
    video: str
    """The last part of the video's address, or its id; untrusted text."""
    start_s: float
    truth: tuple[Run, ...]
    predicted: tuple[Run, ...]


def list_timelines(rows: pa.Table) -> list[Timeline]:
    """The clips that the query TIMELINES found."""
    found = rows.to_pylist()
    names = short_names(row["uri"] or row["video_id"] for row in found)
    return [_timeline(row, names[row["uri"] or row["video_id"]]) for row in found]


def _timeline(row: dict[str, Any], video: str) -> Timeline:
    truth, predicted = row["truth"], row["predicted"]
    return Timeline(
        model=row["model"],
        which=row["which"],
        accuracy=row["accuracy"],
        video=video,
        start_s=row["start_s"],
        truth=tuple(_runs(truth, truth)),
        predicted=tuple(_runs(predicted, truth)),
    )


def _runs(categories: Sequence[str], truth: Sequence[str]) -> Iterator[Run]:
    for (category, is_right), same in itertools.groupby(
        (found, found == true) for found, true in zip(categories, truth, strict=True)
    ):
        yield Run(category, len(list(same)), is_right)
