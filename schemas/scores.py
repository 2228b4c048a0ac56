"""Score and embeddings that the coincidence model gives each clip.

Design note: numbers of embeddings are half floats, stored as floats. Spark refuses a table with a column of half floats
(4.3), and DuckDB has none. Parquet's dictionary of their 65 536 values keeps the file as small: 1.9 bytes a number.
"""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema


class ScoreRow(TypedDict):
    """one kept clip, scored, or damaged in its tar, or without the vectors that the model is of: then it has neither
    score nor embeddings"""

    clip_id: Annotated[str, "the clip"]
    video_id: Annotated[str, "the video it was cut from"]
    score: Annotated[float | None, "probability that sound and picture belong together, 0 to 1", pa.float32()]
    audio_embedding: Annotated[
        list[float] | None, "unit vector of the sound, in the precision of half floats", pa.list_(pa.float32())
    ]
    visual_embedding: Annotated[list[float] | None, "unit vector of the picture, likewise", pa.list_(pa.float32())]


SCORES = table_schema("scores", version=4, row=ScoreRow, partitions={"model": "name of the coincidence model"})
