"""What models reach: per example, per separated source, per set; and how training went."""

import pyarrow as pa

from schemas.fields import field, table_schema

EXAMPLES = table_schema(
    "examples",
    version=2,
    row="one evaluation example, separated by one model",
    fields=[
        field("model", pa.string(), "name of the model"),
        field("eval_set", pa.string(), "on_single, off_single, on_mom or off_mom"),
        field("example_id", pa.string(), "the example, as in `mixtures`"),
        field("si_snr_db", pa.float64(), "on-screen estimate against on-screen sound; on sets", "dB", nullable=True),
        field(
            "si_snr_input_db", pa.float64(), "untouched mixture against on-screen sound; on sets", "dB", nullable=True
        ),
        field("si_snr_oracle_db", pa.float64(), "best assignment of sources instead; on_mom", "dB", nullable=True),
        field("osr_db", pa.float64(), "off-screen suppression ratio; off sets", "dB", nullable=True),
    ],
)

SOURCES = table_schema(
    "sources",
    version=2,
    row="one separated source of one evaluation example",
    fields=[
        field("model", pa.string(), "name of the model"),
        field("eval_set", pa.string(), "on_single, off_single, on_mom or off_mom"),
        field("example_id", pa.string(), "the example, as in `mixtures`"),
        field("source", pa.int32(), "index of the model's output, 0 to S - 1"),
        field("probability", pa.float64(), "the model's probability that the source is on screen"),
        field("weight", pa.float64(), "power of the source over the power of the mixture"),
        field("on_screen", pa.bool_(), "truth: the set's, or the oracle MixIT assignment's in on_mom"),
    ],
)

SUMMARY = table_schema(
    "summary",
    version=2,
    row="one figure of one model on one evaluation set",
    fields=[
        field("model", pa.string(), "name of the model"),
        field("eval_set", pa.string(), "the set, or `all` where a figure pools them"),
        field("metric", pa.string(), "such as median_si_snr_db: see pipeline/evaluation/evaluating.py"),
        field("value", pa.float64(), "the figure", nullable=True),
        field("unit", pa.string(), "dB, or 1 for a ratio"),
        field("n", pa.int64(), "examples, sources or pairs behind it"),
    ],
)

TRAINING = table_schema(
    "training",
    version=2,
    row="one reported figure of one training run",
    fields=[
        field("model", pa.string(), "name of the model"),
        field("step", pa.int64(), "optimiser steps done"),
        field("split", pa.string(), "train or validate"),
        field("metric", pa.string(), "loss, or one of its parts"),
        field("value", pa.float64(), "mean since the last report", nullable=True),
        field("elapsed_s", pa.float64(), "wall time of training up to then, stops left out", unit="s"),
    ],
)
