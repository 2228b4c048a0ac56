"""What a model of lip reading makes of held-out clips of mouths: which sound it finds, at which offset, which word."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema
from schemas.reports import EVALUATED

RANKS, EMBEDDING = pa.list_(pa.int32()), pa.list_(pa.float32())


class UtteranceRow(TypedDict):
    """one held-out clip of a mouth and its sound, or one word in it where the model names words"""

    clip_id: Annotated[str, "the clip"]
    video_id: Annotated[str, "the video it is of"]
    track: Annotated[int | None, "number of the face within the video; null where clips follow no face", pa.int32()]
    speaker: Annotated[str | None, "who is seen, as the collection's column `speaker` has it; null where it has none"]
    sound_s: Annotated[
        float | None, "seconds of it that are not quiet: at most 30 dB below its loudest 40 ms, -60 dBFS or more", "s"
    ]
    rank_short: Annotated[
        list[int] | None,
        "of each of its windows, which lie 0.2 s apart: rank of the window's own sound among those of all of them, as "
        "the lips of the window score them; 1 is first",
        RANKS,
    ]
    rank_short_lips: Annotated[list[int] | None, "the same of the window's own lips, as its sound scores them", RANKS]
    rank_long: Annotated[
        int | None, "rank of the clip's own sound among `num_long` of different videos, as its lips score them"
    ]
    rank_long_lips: Annotated[int | None, "the same of the clip's own lips, as its sound scores them"]
    num_long: Annotated[int | None, "clips, this one among them, that `rank_long` compares; 32 where there are as many"]
    planted_ms: Annotated[float | None, "by how much its sound was made late for a test; below 0 early", "ms"]
    found_ms: Annotated[float | None, "how late the sound of that test is, as the model finds it", "ms"]
    confidence: Annotated[float | None, "the score of that offset, less the median of all offsets"]
    word: Annotated[str | None, "the word that is said; null where no words are named"]
    predicted: Annotated[str | None, "the word that the model reads"]
    lips_mean: Annotated[
        list[float] | None, "mean over the clip of its unit embeddings of lips, of the short scale", EMBEDDING
    ]
    speech_mean: Annotated[list[float] | None, "mean over the clip of its unit embeddings of speech", EMBEDDING]
    lips_step: Annotated[list[float] | None, "unit embedding of lips at one moment, drawn by the seed", EMBEDDING]
    speech_step: Annotated[list[float] | None, "unit embedding of speech at the same moment", EMBEDDING]


UTTERANCES = table_schema("utterances", version=1, row=UtteranceRow, partitions=EVALUATED)
