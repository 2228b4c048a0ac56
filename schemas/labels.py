"""What people say of clips: is a sounding thing on screen, is one off screen."""

import pyarrow as pa

from schemas.fields import field, table_schema

LABELS = table_schema(
    "labels",
    version=2,
    row="one clip that raters or a published list labelled",
    fields=[
        field("clip_id", pa.string(), "the clip"),
        field("video_id", pa.string(), "the video it was cut from"),
        field(
            "label", pa.string(), "on_screen, off_screen (only), mixed, quiet (neither), or conflict (raters differ)"
        ),
        field("num_raters", pa.int32(), "raters whose spans cover the clip"),
        field("num_on_screen", pa.int32(), "raters who said on_screen; null where none is named", nullable=True),
        field("num_off_screen", pa.int32(), "raters who said off_screen; null where none is named", nullable=True),
        field("num_mixed", pa.int32(), "raters who said mixed; null where none is named", nullable=True),
        field("num_quiet", pa.int32(), "raters who said quiet; null where none is named", nullable=True),
        field("label_source", pa.string(), "the label file's name"),
    ],
)
