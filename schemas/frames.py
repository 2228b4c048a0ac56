"""What a model of masks finds in the frames of held-out clips, with their own sound and with others: per frame."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema
from schemas.reports import EVALUATED

OWN, MUTED, SWAPPED = SOUNDS = ("own", "muted", "swapped")


class FrameRow(TypedDict):
    """one frame with a mask of a held-out clip, as a model judges it with one sound"""

    clip_id: Annotated[str, "the clip"]
    video_id: Annotated[str, "the video it is of"]
    frame: Annotated[int, "number of the frame within its clip, from 0 on", pa.int32()]
    time_s: Annotated[float, "when it is shown, on the video's clock", "s"]
    sound: Annotated[str, f"what the model hears: {OWN}, {MUTED} (digital silence), or {SWAPPED}: another video's"]
    sound_clip_id: Annotated[str | None, "the clip whose sound it hears; null where it hears none"]
    pixels: Annotated[int, "pixels of the frame", "pixels"]
    area: Annotated[int, "pixels of the true mask: what sounds with the frame's own sound", "pixels"]
    predicted: Annotated[int, "pixels of the predicted mask: where the probability is above 1/2", "pixels"]
    is_empty: Annotated[bool, "whether the true mask is empty: nothing sounds"]
    intersection: Annotated[
        int, "pixels of both masks; where the true one is empty, those that are not predicted", "pixels"
    ]
    union: Annotated[int, "pixels of either mask; where the true one is empty, those of the frame", "pixels"]
    iou: Annotated[float, "intersection over union"]
    f_max: Annotated[float | None, "F at the frame's best threshold; null where the true mask is empty"]
    f_curve: Annotated[
        list[float] | None,
        "F at each of 255 thresholds from 0 to 1, of which the figures of sets are made; null where it is empty",
        pa.list_(pa.float32()),
    ]
    ellipse: Annotated[
        int, "pixels of a centred ellipse, as large as the true masks of training videos are on average", "pixels"
    ]
    ellipse_intersection: Annotated[int, "pixels of that ellipse and the true mask", "pixels"]
    true_mask: Annotated[bytes, "what sounds with the frame's own sound: PNG of 1 bit per pixel", pa.binary()]
    predicted_mask: Annotated[bytes, "what sounds as the model has it, likewise", pa.binary()]


FRAMES = table_schema("frames", version=1, row=FrameRow, partitions=EVALUATED)
