"""What a separator reaches on sums of held-out sounds: per mixture."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema
from schemas.reports import EVALUATED


class SoundExampleRow(TypedDict):
    """one sum of held-out sounds, separated by one model, by the protocol of FUSS"""

    example_id: Annotated[str, "clip_id of the first sound, and the number of sounds"]
    recording: Annotated[str, "recording, or listed mixture, of the first sound: its examples are alike"]
    clip_ids: Annotated[
        list[str], "the sounds that are added up, in the order of the references", pa.list_(pa.string())
    ]
    num_references: Annotated[int, "sounds that are not silent", pa.int32()]
    num_active_sources: Annotated[int, "separated sources above -20 dB of the quietest of them", pa.int32()]
    reference: Annotated[list[int], "of each scored pair: number of the reference", pa.list_(pa.int32())]
    source: Annotated[list[int], "of each scored pair: number of the separated source", pa.list_(pa.int32())]
    si_snr_db: Annotated[list[float], "of each scored pair: source against reference", "dB", pa.list_(pa.float64())]
    si_snr_input_db: Annotated[
        list[float], "of each scored pair: mixture against reference", "dB", pa.list_(pa.float64())
    ]
    combined_improvement_db: Annotated[
        float | None,
        "mean over the references of the SI-SNR of all sources that the best assignment gives one, less that of the "
        "mixture; null for one sound",
        "dB",
    ]


SOUND_EXAMPLES = table_schema("sound_examples", version=1, row=SoundExampleRow, partitions=EVALUATED)
