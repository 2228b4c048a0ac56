"""Score and embeddings that the coincidence model gives each clip."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema


class ScoreRow(TypedDict):
    """one kept clip, scored, or damaged in its tar: then it has neither score nor embeddings"""

    clip_id: Annotated[str, "the clip"]
    video_id: Annotated[str, "the video it was cut from"]
    score: Annotated[float | None, "probability that sound and picture belong together, 0 to 1", pa.float32()]
    audio_embedding: Annotated[list[float] | None, "unit vector of the sound", pa.list_(pa.float16())]
    visual_embedding: Annotated[list[float] | None, "unit vector of the picture", pa.list_(pa.float16())]


SCORES = table_schema("scores", version=3, row=ScoreRow, partitions={"model": "name of the coincidence model"})
