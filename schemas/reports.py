"""What models reach: per example, per separated source, per set; and how training went."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema

EVALUATED = {
    "model": "name of the model",
    "mixtures": "name of the frozen sets; - for a model that is evaluated on none",
}


class ExampleRow(TypedDict):
    """one evaluation example, separated by one model"""

    eval_set: Annotated[str, "on_single, off_single, on_mom or off_mom"]
    example_id: Annotated[str, "the example, as in `mixtures`"]
    si_snr_db: Annotated[float | None, "on-screen estimate against on-screen sound; on sets", "dB"]
    si_snr_input_db: Annotated[float | None, "untouched mixture against on-screen sound; on sets", "dB"]
    si_snr_oracle_db: Annotated[float | None, "best assignment of sources instead; on_mom", "dB"]
    osr_db: Annotated[float | None, "off-screen suppression ratio; off sets", "dB"]


EXAMPLES = table_schema("examples", version=3, row=ExampleRow, partitions=EVALUATED)


class SourceRow(TypedDict):
    """one separated source of one evaluation example"""

    eval_set: Annotated[str, "on_single, off_single, on_mom or off_mom"]
    example_id: Annotated[str, "the example, as in `mixtures`"]
    source: Annotated[int, "index of the model's output, 0 to S - 1", pa.int32()]
    probability: Annotated[float, "the model's probability that the source is on screen"]
    weight: Annotated[float, "power of the source over the power of the mixture"]
    on_screen: Annotated[bool, "truth: the set's, or the oracle MixIT assignment's in on_mom"]


SOURCES = table_schema("sources", version=3, row=SourceRow, partitions=EVALUATED)


class SummaryRow(TypedDict):
    """one figure of one model on one evaluation set"""

    eval_set: Annotated[str, "the set, or `all` where a figure pools them"]
    metric: Annotated[str, "such as median_si_snr_db: see the files of pipeline/evaluation/"]
    value: Annotated[float | None, "the figure"]
    unit: Annotated[str, "dB, or 1 for a ratio"]
    n: Annotated[int, "examples, sources or pairs behind it"]


SUMMARY = table_schema("summary", version=3, row=SummaryRow, partitions=EVALUATED)


class TrainingRow(TypedDict):
    """one reported figure of one training run"""

    step: Annotated[int, "optimiser steps done"]
    split: Annotated[str, "train or validate"]
    metric: Annotated[str, "loss, or one of its parts"]
    value: Annotated[float | None, "mean since the last report"]
    elapsed_s: Annotated[float, "wall time of training up to then, stops left out", "s"]


TRAINING = table_schema("training", version=3, row=TrainingRow, partitions={"model": "name of the model"})
