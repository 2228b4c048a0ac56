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
    video_id: Annotated[str, "the video of the first clip: examples of one video are alike"]
    si_snr_db: Annotated[float | None, "on-screen estimate against on-screen sound; on sets", "dB"]
    si_snr_input_db: Annotated[float | None, "untouched mixture against on-screen sound; on_mom", "dB"]
    si_snr_improvement_db: Annotated[float | None, "si_snr_db less si_snr_input_db; on_mom", "dB"]
    si_snr_oracle_db: Annotated[float | None, "best assignment of sources instead; on_mom", "dB"]
    snr_db: Annotated[float | None, "like si_snr_db, but a wrong level counts as noise: plain SNR; on sets", "dB"]
    snr_gain_db: Annotated[float | None, "snr_db less that of the untouched mixture; on_mom", "dB"]
    level_db: Annotated[float | None, "level of the on-screen estimate relative to the on-screen sound; on sets", "dB"]
    osr_db: Annotated[float | None, "off-screen suppression ratio; off sets", "dB"]
    capi_sdri_db: Annotated[
        float | None,
        "CAPI-SDRi of DCASE 2026: snr_gain_db; 0 for a miss or a false alarm; null for true silence and on_single",
        "dB",
    ]
    is_answered: Annotated[bool | None, "whether the on-screen estimate is above -20 dB of the mixture"]
    similarity_input: Annotated[float | None, "cosine of the picture and the mixture, by the coincidence model"]
    similarity_estimate: Annotated[float | None, "the same of the picture and the on-screen estimate: needs no truth"]
    attention_mass: Annotated[
        float | None, "share of the attention on what is seen to sound; on sets of a synthetic world"
    ]
    attention_hit_rate: Annotated[float | None, "share of frames whose most attended cell lies on it (pointing game)"]
    attention_chance: Annotated[float | None, "its share of the picture: what even attention reaches in both"]
    num_references: Annotated[
        int, "parts of the mixture that sound: 1 in singles, 2 in mixtures of mixtures", pa.int32()
    ]
    num_active_sources: Annotated[int, "separated sources above -20 dB of the quieter part (rule of FUSS)", pa.int32()]
    power_first: Annotated[float, "mean square of the first mixture"]
    power_second: Annotated[float, "mean square of the second mixture; 0 in singles"]
    product_first_second: Annotated[float, "mean over time of the product of both"]


EXAMPLES = table_schema("examples", version=4, row=ExampleRow, partitions=EVALUATED)


class SourceRow(TypedDict):
    """one separated source of one evaluation example"""

    eval_set: Annotated[str, "on_single, off_single, on_mom or off_mom"]
    example_id: Annotated[str, "the example, as in `mixtures`"]
    source: Annotated[int, "index of the model's output, 0 to S - 1", pa.int32()]
    probability: Annotated[float, "the model's probability that the source is on screen: the sigmoid of its logit"]
    logit: Annotated[float, "log odds of the probability: add a shift to see another operating point"]
    weight: Annotated[float | None, "power of the source over the power of the mixture; null in a silent mixture"]
    on_screen: Annotated[bool, "truth: the set's, or the oracle MixIT assignment's in on_mom"]
    product_first: Annotated[float, "mean over time of the product of the source and the first mixture"]
    product_second: Annotated[float, "mean over time of the product of the source and the second mixture"]
    products: Annotated[
        list[float], "mean over time of the product with each source, 0 to S - 1", pa.list_(pa.float64())
    ]


SOURCES = table_schema("sources", version=4, row=SourceRow, partitions=EVALUATED)


class OperatingPointRow(TypedDict):
    """one point of a model's curve of SI-SNR against suppression: what it reaches with one shift of its logits"""

    logit_shift: Annotated[float, "added to the logit of every source: higher keeps more; 0 is the model as it is"]
    on_mom_si_snr_db: Annotated[float | None, "median SI-SNR of the on-screen estimate; on_mom", "dB"]
    on_mom_si_snr_improvement_db: Annotated[float | None, "its median gain over the untouched mixture", "dB"]
    on_mom_snr_gain_db: Annotated[float | None, "median gain of the plain SNR, where a wrong level is noise", "dB"]
    on_mom_worse_share: Annotated[float | None, "share of examples whose SI-SNR is below the untouched mixture's"]
    on_single_si_snr_db: Annotated[float | None, "median SI-SNR; on_single", "dB"]
    on_single_level_db: Annotated[float | None, "median level of the estimate against the sound; on_single", "dB"]
    off_mom_osr_db: Annotated[float | None, "median off-screen suppression ratio; off_mom", "dB"]
    off_single_osr_db: Annotated[float | None, "median off-screen suppression ratio; off_single", "dB"]


OPERATING_POINTS = table_schema("operating_points", version=1, row=OperatingPointRow, partitions=EVALUATED)


class SummaryRow(TypedDict):
    """one figure of one model on one evaluation set"""

    eval_set: Annotated[str, "the set, or `all` where a figure pools them"]
    metric: Annotated[str, "such as median_si_snr_db: see the files of pipeline/evaluation/"]
    value: Annotated[float | None, "the figure"]
    unit: Annotated[str, "dB, or 1 for a ratio"]
    n: Annotated[int, "examples, sources or pairs behind it"]
    low: Annotated[float | None, "lower bound of the 95 % interval: bootstrap over videos; null where there is none"]
    high: Annotated[float | None, "its upper bound"]
    num_videos: Annotated[int | None, "videos behind the interval; examples of one video are not independent"]
    model_hash: Annotated[str | None, "hash of the model's weights: `content` of stages/models/<model>.json"]
    data_hash: Annotated[str | None, "hash of the hashes of all else that was read: clips, frozen sets, labels, ..."]


SUMMARY = table_schema("summary", version=5, row=SummaryRow, partitions=EVALUATED)


class TrainingRow(TypedDict):
    """one reported figure of one training run"""

    step: Annotated[int, "optimiser steps done"]
    split: Annotated[str, "train or validate"]
    metric: Annotated[str, "loss, or one of its parts"]
    value: Annotated[float | None, "mean since the last report"]
    elapsed_s: Annotated[float, "wall time of training up to then, stops left out", "s"]


TRAINING = table_schema("training", version=3, row=TrainingRow, partitions={"model": "name of the model"})
