"""Labels of people: whether a sounding thing is on screen, and whether one is off screen."""

from typing import Annotated, Literal, TypedDict, get_args

import pyarrow as pa

from schemas.fields import table_schema

# What a clip may be labelled. The last two are no label: raters differ, or there are too few.
Label = Literal["on_screen", "off_screen", "mixed", "quiet", "conflict", "too_few_raters"]
LABEL_NAMES: tuple[Label, ...] = get_args(Label)


class LabelRow(TypedDict):
    """one clip that raters or a published list labelled"""

    clip_id: Annotated[str, "the clip"]
    video_id: Annotated[str, "the video it was cut from"]
    label: Annotated[
        str, "on_screen, off_screen (only), mixed, quiet (neither), conflict (raters differ) or too_few_raters"
    ]
    num_raters: Annotated[int, "raters whose spans cover the clip; a published list counts for its three", pa.int32()]
    num_on_screen: Annotated[int | None, "named raters who said on_screen; null where none is named", pa.int32()]
    num_off_screen: Annotated[int | None, "named raters who said off_screen; null where none is named", pa.int32()]
    num_mixed: Annotated[int | None, "named raters who said mixed; null where none is named", pa.int32()]
    num_quiet: Annotated[int | None, "named raters who said quiet; null where none is named", pa.int32()]
    background_music: Annotated[bool | None, "whether it has background music; null where no label file says"]
    voice_over: Annotated[bool | None, "whether a voice is heard that nobody in the picture has; null where none says"]
    static_image: Annotated[bool | None, "whether its picture stands still; null where no label file says"]
    label_source: Annotated[str, "names of the label files that judge the clip, with a comma between"]


LABELS = table_schema("labels", version=4, row=LabelRow, partitions={"spec": "the clip's spec"})
