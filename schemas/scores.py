"""What the coincidence model says of each clip."""

import pyarrow as pa

from schemas.fields import field, table_schema

SCORES = table_schema(
    "scores",
    version=2,
    row="one kept clip, scored, or damaged in its tar: then it has neither score nor embeddings",
    fields=[
        field("model", pa.string(), "name of the coincidence model"),
        field("clip_id", pa.string(), "the clip"),
        field("video_id", pa.string(), "the video it was cut from"),
        field("score", pa.float32(), "probability that sound and picture belong together, 0 to 1", nullable=True),
        field("audio_embedding", pa.list_(pa.float16()), "unit vector of the sound", nullable=True),
        field("visual_embedding", pa.list_(pa.float16()), "unit vector of the picture", nullable=True),
    ],
)
