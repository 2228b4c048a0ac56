"""The faces that clips follow: how well each was followed, and where it is."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema


class TrackRow(TypedDict):
    """one face in one planned span of a video, whose clip is kept or rejected"""

    clip_id: Annotated[str, "its clip, whatever became of it"]
    video_id: Annotated[str, "the video that shows it"]
    track: Annotated[int, "number of the face in the order in which the video's faces appear, from 0", pa.int32()]
    tracked_fraction: Annotated[float, "share of the clip's frames in which it was followed, gaps of 3 frames included"]
    eye_distance_px: Annotated[float, "from eye to eye in the decoded square, median over those frames", "pixels"]
    confidence: Annotated[float, "mean presence of the face in those frames, 0 to 1; 0 in gaps"]
    box: Annotated[
        list[float],
        "left, top, right, bottom in the decoded square, median over those frames",
        "pixels",
        pa.list_(pa.float64()),
    ]


TRACKS = table_schema("tracks", version=1, row=TrackRow, partitions={"spec": "the clip spec of its clip"})
