"""Frozen evaluation examples: single mixtures and mixtures of mixtures."""

import pyarrow as pa

from schemas.fields import field, table_schema

MIXTURES = table_schema(
    "mixtures",
    version=1,
    row="one evaluation example, whose sound and frames lie in the part's tar",
    fields=[
        field("mixtures", pa.string(), "name of the mixtures"),
        field("example_id", pa.string(), "the key in the tar"),
        field("eval_set", pa.string(), "on_single, off_single, on_mom or off_mom"),
        field("kind", pa.string(), "what the first mixture is: NOn, SOff, LOn or LOff (AudioScope, section 3)"),
        field("first_clip_id", pa.string(), "gives the frames and, but for SOff, the first mixture's sound"),
        field("sound_clip_id", pa.string(), "gives the first mixture's sound: first_clip_id, but for SOff another's"),
        field(
            "second_clip_id", pa.string(), "gives the second mixture's sound; null in single mixtures", nullable=True
        ),
        field("split", pa.string(), "the split all its clips are from"),
        field("label_source", pa.string(), "where on/off comes from: `coincidence`, or the label file's name"),
        field("part", pa.string(), "the part whose tar holds it, such as on_mom-00000"),
    ],
)
