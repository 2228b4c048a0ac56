"""Crops of mouths, a strip for each face of a few videos, for a page: whether mouths are in their crops is for the eye.

The videos are those whose faces were followed least surely, and the surest. Crops are read from the clips' tars and
become `data:` addresses. They are untrusted: only what decodes as JPEG is shown, and it is encoded anew.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import simplejpeg

from pipeline.errors import DataError
from pipeline.formatting import short_names
from pipeline.reports.inline_media import MAX_SIDE, picture_address
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import NUM_READERS, ClipSet, prefetch

NUM_VIDEOS = 6  # of each end
NUM_FACES = 4  # of a video: those with most clips
NUM_CROPS = 5  # of a face, from as many clips where it has them; as wide as a picture of a page may be
SPEC = "speech"

# A face's clips lie in NUM_CROPS equal stretches of their list, and the first of each stretch is taken.
MOUTHS = f"""
    WITH kept AS (
        SELECT tracks.* EXCLUDE (spec), start_s, num_frames, part, tar_offset, tar_bytes,
            row_number() OVER (PARTITION BY tracks.video_id, track ORDER BY start_s, clip_id) - 1 AS number,
            count(*) OVER (PARTITION BY tracks.video_id, track) AS num_clips
        FROM (FROM tracks WHERE spec = '{SPEC}') AS tracks
        JOIN (SELECT * EXCLUDE (video_id) FROM clips WHERE spec = '{SPEC}' AND outcome = 'kept') USING (clip_id)
    ), faces AS (
        SELECT video_id, track, any_value(num_clips) AS num_clips, avg(confidence) AS mean_confidence,
            median(eye_distance_px) AS eyes_px,
            row_number() OVER (PARTITION BY video_id ORDER BY count(*) DESC, track) AS place
        FROM kept GROUP BY video_id, track
    ), videos AS (
        SELECT video_id, row_number() OVER (ORDER BY min(mean_confidence), video_id) AS least,
            row_number() OVER (ORDER BY min(mean_confidence) DESC, video_id DESC) AS most
        FROM faces GROUP BY video_id
    )
    SELECT CASE WHEN least <= {NUM_VIDEOS} THEN 'least sure' ELSE 'surest' END AS which, kept.*, uri,
        mean_confidence, eyes_px
    FROM kept JOIN (FROM faces WHERE place <= {NUM_FACES}) USING (video_id, track, num_clips)
    JOIN (FROM videos WHERE least <= {NUM_VIDEOS} OR most <= {NUM_VIDEOS}) AS videos USING (video_id)
    LEFT JOIN collection USING (video_id)
    WHERE number = 0 OR (number * {NUM_CROPS}) // num_clips != ((number - 1) * {NUM_CROPS}) // num_clips
    ORDER BY which, least, track, number
"""


class MouthSheet(NamedTuple):
    """One face of a video."""

    which: str
    """least sure or surest."""
    video: str
    """The end of the video's address by which it differs from the others, or its id; untrusted text."""
    track: int
    num_clips: int
    eyes_px: float
    """From eye to eye in the decoded square, median over its clips."""
    mean_confidence: float
    crops: str
    """data: address of NUM_CROPS crops side by side; empty if they cannot be read."""


def show_mouths(workspace: Workspace, rows: pa.Table) -> list[MouthSheet]:
    """The faces of the clips that the query MOUTHS found; up to five short reads for each."""
    clips = ClipSet(workspace, f"clips/{SPEC}", rows)
    found: list[dict[str, Any]] = rows.to_pylist()
    names = short_names(row["uri"] or row["video_id"] for row in found)
    of_face: dict[tuple[str, int], list[int]] = {}
    for number, row in enumerate(found):
        of_face.setdefault((row["video_id"], row["track"]), []).append(number)
    faces = list(of_face.values())

    def show(face: int) -> MouthSheet:
        row = found[faces[face][0]]
        row["video"] = names[row["uri"] or row["video_id"]]
        try:
            row["crops"] = picture_address(_strip(clips, faces[face]))
        except DataError:  # its tar is missing or damaged: the list still appears
            row["crops"] = ""
        return MouthSheet(**{name: row[name] for name in MouthSheet._fields})

    return list(prefetch(show, range(len(faces)), NUM_READERS, NUM_READERS))


def _strip(clips: ClipSet, numbers: list[int]) -> np.ndarray:
    """[H, W, 3] of NUM_CROPS frames, evenly spread over some clips.

    Raises:
        DataError: a tar is missing or damaged, or a frame is no JPEG.
    """
    places = (np.arange(NUM_CROPS) + 0.5) * len(numbers) / NUM_CROPS
    members = [clips.raw(number) for number in numbers]
    crops = []
    for place in places:
        of_clip = members[int(place)]
        num_frames = sum(name.endswith(".jpg") for name in of_clip)
        crops.append(_crop(clips.clip_id(numbers[int(place)]), of_clip, int(place % 1 * num_frames)))
    if len({crop.shape for crop in crops}) > 1:
        raise DataError(f"{clips.clip_id(numbers[0])}: crops of different sizes")
    return np.concatenate(crops, axis=1)[:, :MAX_SIDE]


def _crop(clip_id: str, members: dict[str, bytes], frame: int) -> np.ndarray:
    try:
        picture: np.ndarray = simplejpeg.decode_jpeg(members.get(f"{frame}.jpg", b""), colorspace="RGB")
    except ValueError as error:
        raise DataError(f"{clip_id}: frame {frame} is no JPEG: {error}.") from error
    return picture
