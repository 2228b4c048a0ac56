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
        field("reason", pa.string(), "kept, or the first rule that refused it"),
        field("split", pa.string(), "train, validate or test: a function of the video alone"),
        field("score", pa.float32(), "coincidence score, where the clip has one", nullable=True),
        field("label", pa.string(), "label, where the clip has one", nullable=True),
    ],
)
