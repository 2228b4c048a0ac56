"""Frozen evaluation examples: single mixtures and mixtures of mixtures."""

from typing import Annotated, TypedDict

from schemas.fields import table_schema


class MixtureRow(TypedDict):
    """one evaluation example, whose sound and frames lie in the part's tar"""

    example_id: Annotated[str, "the key in the tar"]
    eval_set: Annotated[str, "on_single, off_single, on_mom or off_mom"]
    kind: Annotated[str, "what the first mixture is: NOn, SOff, LOn or LOff (AudioScope, section 3)"]
    first_clip_id: Annotated[str, "gives the frames and, but for SOff, the first mixture's sound"]
    sound_clip_id: Annotated[str, "gives the first mixture's sound: first_clip_id, but for SOff another's"]
    second_clip_id: Annotated[str | None, "gives the second mixture's sound; null in single mixtures"]
    split: Annotated[str, "the split all its clips are from"]
    label_source: Annotated[
        str, "where on/off comes from: `coincidence`, `unscored` (nobody and no model looked), or the label file's name"
    ]
    part: Annotated[str, "the part whose tar holds it, such as on_mom-00000"]


MIXTURES = table_schema("mixtures", version=2, row=MixtureRow, partitions={"mixtures": "name of the mixtures"})
