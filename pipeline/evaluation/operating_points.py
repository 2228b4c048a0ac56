"""Rows of an evaluation -> what the model reaches at other thresholds: the curve of SI-SNR against suppression.

A shift b of every logit, p_m = sigmoid(z_m + b), trades on-screen sound for off-screen suppression. The tables
`sources` and `examples` hold the inner products of the sources with each other and with the mixtures, so every point
follows from them without the model: here in numpy, in SQL as the guide shows.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.evaluation.mixing import EVAL_SETS
from pipeline.evaluation.onscreen_rows import NUM_MIXTURES, estimate_weights
from pipeline.metrics.signal_products import level_db, si_snr_db, snr_db, suppression_db

SHIFTS = np.arange(-10, 10.25, 0.5)
"""From all sources off screen to all on screen, for logits of a usual spread."""


class StoredExamples(NamedTuple):
    """n examples of one model with S sources."""

    eval_set: np.ndarray
    """[n] names."""
    products: np.ndarray
    """[n, 2 + S, 2 + S] means over time of the products of both mixtures and the sources with each other."""
    logits: np.ndarray
    """[n, S] log odds that the source is on screen."""


def stored_examples(examples: pa.Table, sources: pa.Table) -> StoredExamples:
    """What the tables `examples` and `sources` hold of the examples, in the order of `examples`."""
    numbers = {example: number for number, example in enumerate(examples["example_id"].to_pylist())}
    place = np.array([numbers[example] for example in sources["example_id"].to_pylist()], dtype=np.int64)
    order = np.lexsort((sources["source"].to_numpy(), place))
    count, num_sources = len(numbers), len(place) // max(len(numbers), 1)
    size = NUM_MIXTURES + num_sources

    def by_example(column: str, *shape: int) -> np.ndarray:
        return np.array(sources[column].to_pylist(), dtype=np.float64)[order].reshape(count, num_sources, *shape)

    products = np.empty((count, size, size))
    products[:, 0, 0], products[:, 1, 1] = (examples[f"power_{which}"].to_numpy() for which in ("first", "second"))
    products[:, 0, 1] = products[:, 1, 0] = examples["product_first_second"].to_numpy()
    for mixture, name in enumerate(("product_first", "product_second")):
        products[:, mixture, NUM_MIXTURES:] = products[:, NUM_MIXTURES:, mixture] = by_example(name)
    products[:, NUM_MIXTURES:, NUM_MIXTURES:] = by_example("products", num_sources)
    return StoredExamples(np.array(examples["eval_set"].to_pylist(), dtype=str), products, by_example("logit"))


def operating_points(stored: StoredExamples) -> list[dict[str, Any]]:
    """Rows of the table `operating_points`, one per shift; none where there are no examples."""
    if not len(stored.eval_set):
        return []
    first, second = np.eye(stored.products.shape[-1])[:NUM_MIXTURES]
    untouched = si_snr_db(stored.products, first, first + second)
    untouched[~(stored.products[:, 1, 1] > 0)] = np.nan  # the mixture is its target: there is no gain over it
    plain = snr_db(stored.products, first, first + second)
    sets = {eval_set: stored.eval_set == eval_set for eval_set in EVAL_SETS}
    rows = []
    for shift in SHIFTS:
        estimate = estimate_weights(stored.logits + shift)
        si_snr = si_snr_db(stored.products, first, estimate)
        improvement, level = si_snr - untouched, level_db(stored.products, first, estimate)
        gain = np.where(np.isnan(untouched), np.nan, snr_db(stored.products, first, estimate) - plain)
        osr = suppression_db(stored.products, first + second, estimate)
        worse = np.where(np.isnan(improvement), np.nan, improvement < 0)
        figures = {
            "on_mom_si_snr_db": si_snr,
            "on_mom_si_snr_improvement_db": improvement,
            "on_mom_snr_gain_db": gain,
            "on_mom_worse_share": worse,
            "on_single_si_snr_db": si_snr,
            "on_single_level_db": level,
            "off_mom_osr_db": osr,
            "off_single_osr_db": osr,
        }
        summaries = {
            name: _summarise(name, values[next(chosen for of, chosen in sets.items() if name.startswith(of))])
            for name, values in figures.items()
        }
        rows.append({"logit_shift": float(shift), **summaries})
    return rows


def _summarise(name: str, values: np.ndarray) -> float | None:
    """Median, or of a share the mean; NaN is left out."""
    found = values[np.isfinite(values)]
    if not len(found):
        return None
    return float(np.mean(found) if name.endswith("_share") else np.median(found))
