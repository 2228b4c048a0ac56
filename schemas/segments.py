"""What a model of events says of the seconds of held-out clips, beside the truth: per segment."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema
from schemas.reports import EVALUATED

BACKGROUND = ""
"""In place of a category where there is no event."""
SEGMENT_S = 1.0
"""Length of a segment."""


class SegmentRow(TypedDict):
    """one segment of one labelled clip that is held out, or was until its video was found in another split too"""

    clip_id: Annotated[str, "the clip"]
    video_id: Annotated[str, "the video it is of"]
    segment: Annotated[int, "number of the segment within its clip, from 0 on", pa.int32()]
    start_s: Annotated[float, "where it begins on the video's clock; it lasts 1 s", "s"]
    truth: Annotated[str, "category of its event; empty for background"]
    predicted: Annotated[str, "category that the model gives it; empty for background"]
    event_probability: Annotated[float, "that there is an event, whatever its category", pa.float32()]
    category: Annotated[str, "most likely category, if there is an event"]
    category_probability: Annotated[float, "of that category, if there is an event", pa.float32()]
    is_leaked: Annotated[bool, "whether the clip was moved out of test, because its video is in another split too"]


SEGMENTS = table_schema("segments", version=1, row=SegmentRow, partitions=EVALUATED)
