"""What people say of clips: is a sounding thing on screen, is one off screen."""

import pyarrow as pa

from schemas.fields import field, table_schema

LABELS = table_schema(
    "labels",
    version=1,
    row="one clip that raters or a published list labelled",
    fields=[
        field("clip_id", pa.string(), "the clip"),
        field("video_id", pa.string(), "the video it was cut from"),
        field(
            "label", pa.string(), "on_screen, off_screen (only), mixed, quiet (neither), or conflict (raters differ)"
        ),
        field("num_raters", pa.int32(), "raters whose spans cover the clip"),
        field("label_source", pa.string(), "the label file's name"),
    ],
)
