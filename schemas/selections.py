"""Which clips train and evaluate the next model, and why the others do not."""

import pyarrow as pa

from schemas.fields import field, table_schema

SELECTIONS = table_schema(
    "selections",
    version=1,
    row="one clip of the corpus, with the decision on it",
    fields=[
        field("selection", pa.string(), "name of the selection"),
        field("clip_id", pa.string(), "the clip"),
        field("video_id", pa.string(), "the video it was cut from"),
        field("part", pa.string(), "the part whose tar holds it"),
        field("kept", pa.bool_(), "whether the clip belongs to the selection"),
        field("reason", pa.string(), "kept, or the first rule that refused it: see pipeline/selection/filtering.py"),
        field("split", pa.string(), "train, validate or test: one for a video and for all uploads of its content"),
        field("score", pa.float32(), "coincidence score, where the clip has one", nullable=True),
        field("label", pa.string(), "label, where the clip has one", nullable=True),
    ],
)
# Reasons that speak of the whole video. Other refused clips may still be drawn for what people labelled them as.
VIDEO_REASONS = ("license", "near_duplicate")
