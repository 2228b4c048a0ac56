"""The held-out frames that a model of masks finds best and worst, one per video: with their own sound and another one.

A page shows each frame twice, what is predicted in its colours, the rest in dark grey, and the true mask as an outline,
so that a person sees what kind of mistake it is, and whether the mask follows the sound. Frames are read from the tars
and become `data:` addresses. They are untrusted: only what decodes as JPEG is shown, drawn and encoded anew.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import simplejpeg

from pipeline.errors import DataError
from pipeline.formatting import short_names
from pipeline.masks.mask_pictures import decode_mask, resize_mask
from pipeline.reports.inline_media import picture_address
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import NUM_READERS, ClipSet, prefetch
from schemas.frames import OWN, SWAPPED

NUM_FRAMES = 5  # of each end
TRUE_RGB = (0, 200, 255)
DIMMED = 0.4  # brightness of what is not predicted, in grey
OUTLINE = 112  # the true mask's outline is a pixel wide for each so many of the frame's height

# Of equal frames, those whose names come first. Frames in which nothing sounds have no outline, and are left out.
OVERLAYS = f"""
    WITH own AS (
        SELECT *, row_number() OVER (of_video ORDER BY iou DESC, clip_id, frame) AS best,
            row_number() OVER (of_video ORDER BY iou, clip_id, frame) AS worst
        FROM frames WHERE sound = '{OWN}' AND NOT is_empty WINDOW of_video AS (PARTITION BY model, video_id)
    ), places AS (
        SELECT *, 'best' AS which, row_number() OVER (PARTITION BY model ORDER BY iou DESC, video_id) AS place
        FROM own WHERE best = 1
        UNION ALL
        SELECT *, 'worst', row_number() OVER (PARTITION BY model ORDER BY iou, video_id) FROM own WHERE worst = 1
    )
    SELECT places.model, which, place, places.clip_id, places.video_id, places.frame, places.time_s, uri,
        places.iou, places.true_mask, places.predicted_mask,
        swapped.iou AS swapped_iou, swapped.predicted_mask AS swapped_mask, clips.part, tar_offset, tar_bytes
    FROM (FROM places WHERE place <= {NUM_FRAMES}) AS places
    LEFT JOIN (FROM frames WHERE sound = '{SWAPPED}') AS swapped USING (model, clip_id, frame)
    JOIN (FROM clips WHERE spec = 'segmentation') AS clips USING (clip_id)
    LEFT JOIN collection ON collection.video_id = places.video_id
    ORDER BY model, which, place
"""


class MaskOverlay(NamedTuple):
    """One frame among the best or worst of a model."""

    model: str
    which: str
    """best or worst."""
    iou: float
    swapped_iou: float | None
    """With another video's sound; None where there is no other."""
    video: str
    """The end of the video's address by which it differs from the others, or its id; untrusted text."""
    time_s: float
    own: str
    """data: address of the frame with the masks; empty if it cannot be read."""
    swapped: str
    """The same with another video's sound."""


def show_overlays(workspace: Workspace, rows: pa.Table) -> list[MaskOverlay]:
    """The frames that the query OVERLAYS found, with their pictures; 10 short reads for each model."""
    clips = ClipSet(workspace, "clips/segmentation", rows)
    names = short_names(row["uri"] or row["video_id"] for row in rows.select(["uri", "video_id"]).to_pylist())

    def show(number: int) -> MaskOverlay:
        row: dict[str, Any] = rows.slice(number, 1).to_pylist()[0]
        row["video"] = names[row["uri"] or row["video_id"]]
        masks = {"own": row["predicted_mask"], "swapped": row["swapped_mask"]}
        try:
            picture = _read_frame(clips, number, row["frame"])
            true = _mask(row["true_mask"], picture)
            for name, mask in masks.items():
                row[name] = "" if mask is None else picture_address(draw_overlay(picture, _mask(mask, picture), true))
        except DataError:  # its tar is missing or damaged: the list still appears
            row |= dict.fromkeys(masks, "")
        return MaskOverlay(**{name: row[name] for name in MaskOverlay._fields})

    return list(prefetch(show, range(len(rows)), NUM_READERS, NUM_READERS))


def draw_overlay(picture: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 of a picture: what is not predicted is grey and DIMMED, the edge of what is true has TRUE_RGB.

    No colour laid over a picture would be seen on pictures of any colour.

    Args:
        picture: [H, W, 3] uint8 RGB.
        predicted, true: [H, W] bool.
    """
    drawn = picture.astype(np.float32)
    drawn[~predicted] = DIMMED * drawn[~predicted].mean(axis=1, keepdims=True)
    inside = true
    for _ in range(max(1, len(true) // OUTLINE)):
        around = np.pad(inside, 1)
        inside = inside & around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    drawn[true & ~inside] = TRUE_RGB
    return drawn.round().astype(np.uint8)


def _read_frame(clips: ClipSet, number: int, frame: int) -> np.ndarray:
    """[H, W, 3] uint8.

    Raises:
        DataError: its tar is missing or damaged, or the frame is no JPEG.
    """
    data = clips.raw(number).get(f"{frame}.jpg", b"")
    try:
        picture: np.ndarray = simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError as error:
        raise DataError(f"{clips.clip_id(number)}: frame {frame} is no JPEG: {error}.") from error
    return picture


def _mask(data: bytes, picture: np.ndarray) -> np.ndarray:
    """[H, W] bool of the picture's size, which is another one where the clips were cut anew."""
    return resize_mask(decode_mask(data), *picture.shape[:2])
