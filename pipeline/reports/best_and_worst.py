"""The clips that a coincidence model scores highest and lowest, one per video, with frames and sound for a page.

A person can then see and hear whether the scores make sense. Frames and sound are read from the tars and become `data:`
addresses. The media are untrusted: only data that decode as JPEG and as FLAC are shown.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.clips.samples import Clip, decode_sample
from pipeline.errors import DataError
from pipeline.formatting import short_names
from pipeline.reports.inline_media import data_address
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import NUM_READERS, ClipSet, prefetch

NUM_EXTREMES = 10  # of each end
NUM_FRAMES = 3
MAX_MEDIA_BYTES = 250_000  # 5 s at 16 kHz are 85 kB; much longer clips would make a page of tens of MB

# 7.2 M scores: 2 s. Of equal scores, the videos and clips whose names come first.
EXTREMES = f"""
    WITH ends AS (
        SELECT model, video_id, max(score) AS highest, min(score) AS lowest
        FROM scores WHERE score IS NOT NULL AND NOT isnan(score) GROUP BY model, video_id
    ), places AS (
        SELECT model, video_id, highest AS score, 'highest' AS which,
            row_number() OVER (PARTITION BY model ORDER BY highest DESC, video_id) AS place FROM ends
        UNION ALL
        SELECT model, video_id, lowest, 'lowest',
            row_number() OVER (PARTITION BY model ORDER BY lowest, video_id) FROM ends
    ), chosen AS (
        SELECT model, which, place, video_id, score, min(clip_id) AS clip_id
        FROM scores JOIN (FROM places WHERE place <= {NUM_EXTREMES}) USING (model, video_id, score) GROUP BY ALL
    )
    SELECT chosen.*, uri, start_s, loudness_lufs, clips.part, tar_offset, tar_bytes
    FROM chosen JOIN clips USING (clip_id) JOIN collection ON collection.video_id = chosen.video_id
    ORDER BY model, which, place
"""


class Extreme(NamedTuple):
    """One clip among the highest or lowest scores of a model."""

    model: str
    which: str
    """highest or lowest."""
    place: int
    """1 is the highest, or the lowest, of all videos."""
    score: float
    video: str
    """The end of the video's address by which it differs from the others; untrusted text."""
    start_s: float
    loudness_lufs: float | None
    frames: tuple[str, ...]
    """data: addresses of NUM_FRAMES frames, the first, a middle and the last one; none if the clip cannot be read."""
    sound: str
    """data: address of the sound; empty if it is longer than MAX_MEDIA_BYTES, or the clip cannot be read."""


def show_extremes(workspace: Workspace, rows: pa.Table) -> list[Extreme]:
    """The clips that the query EXTREMES found, with their media; 20 short reads for each model."""
    clips = ClipSet(workspace, CLIPS_FOLDER, rows)
    names = short_names(rows["uri"].to_pylist())

    def show(number: int) -> Extreme:
        row: dict[str, Any] = rows.slice(number, 1).to_pylist()[0]
        row["video"] = names[row["uri"]]
        row["frames"], row["sound"] = _media(workspace, clips, number)
        return Extreme(**{name: row[name] for name in Extreme._fields})

    return list(prefetch(show, range(len(rows)), NUM_READERS, NUM_READERS))


def _media(workspace: Workspace, clips: ClipSet[Clip], number: int) -> tuple[tuple[str, ...], str]:
    """Frames and sound of one clip; empty if its tar is missing or damaged, so that the list still appears."""
    try:
        members = clips.raw(number)
        decode_sample(clips.clip_id(number), members, workspace.root)
    except DataError:
        return (), ""
    pictures = sorted((name for name in members if name.endswith(".jpg")), key=lambda name: int(name[:-4]))
    shown = np.unique(np.linspace(0, len(pictures) - 1, NUM_FRAMES).round().astype(int))
    found = [members[pictures[index]] for index in shown]
    frames = tuple(data_address("image/jpeg", data) for data in found if len(data) <= MAX_MEDIA_BYTES)
    sound = members["flac"]
    # decode_sample also accepts the other formats that libsndfile reads
    is_shown = len(sound) <= MAX_MEDIA_BYTES and sound.startswith(b"fLaC")
    return frames, data_address("audio/flac", sound) if is_shown else ""
