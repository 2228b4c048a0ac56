"""What people say of clips: is a sounding thing on screen, is one off screen."""

from typing import Literal, get_args

import pyarrow as pa

from schemas.fields import field, table_schema

# What a clip may be labelled. The last two are no label: raters differ, or there are too few.
Label = Literal["on_screen", "off_screen", "mixed", "quiet", "conflict", "too_few_raters"]
LABEL_NAMES: tuple[Label, ...] = get_args(Label)

LABELS = table_schema(
    "labels",
    version=2,
    row="one clip that raters or a published list labelled",
    fields=[
        field("clip_id", pa.string(), "the clip"),
        field("video_id", pa.string(), "the video it was cut from"),
        field(
            "label",
            pa.string(),
            "on_screen, off_screen (only), mixed, quiet (neither), conflict (raters differ) or too_few_raters",
        ),
        field("num_raters", pa.int32(), "raters whose spans cover the clip; a published list counts for its three"),
        field("num_on_screen", pa.int32(), "named raters who said on_screen; null where none is named", nullable=True),
        field(
            "num_off_screen", pa.int32(), "named raters who said off_screen; null where none is named", nullable=True
        ),
        field("num_mixed", pa.int32(), "named raters who said mixed; null where none is named", nullable=True),
        field("num_quiet", pa.int32(), "named raters who said quiet; null where none is named", nullable=True),
        field("label_source", pa.string(), "names of the label files that judge the clip, with a comma between"),
    ],
)
