"""Which separated source is which reference, and which pairs count: the rules of FUSS' evaluation.

Conventions
-----------
Products are [R + S, R + S] float64 as in `signal_products`: first the R references, whose sum was separated, then the
S sources. References and sources are matched one to one so that the sum of SI-SNR is highest. A reference is active
above SILENT_POWER, a source above ACTIVE_SHARE of the quietest active reference; a pair counts where both are.

References
----------
google-research/sound-separation, models/dcase2020_fuss_baseline/evaluate_lib.py.
Wisdom et al. 2021, What's All the FUSS About Free Universal Sound Separation Data?, arXiv:2011.00803.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.metrics.signal_products import ACTIVE_SHARE, SILENT_POWER, si_snr_db


def match_sources(products: np.ndarray, num_references: int) -> list[tuple[int, int]]:
    """(reference, source) of each pair that counts, by reference; fewer than R where a reference has no active source.

    Args:
        products: [R + S, R + S] of the references and the sources.
        num_references: R.
    """
    powers = np.diag(products)
    active = np.flatnonzero(powers[:num_references] > SILENT_POWER)
    if not len(active):
        return []
    signals = np.eye(len(products))
    references, sources = signals[active], signals[num_references:]
    rows, columns = linear_sum_assignment(-si_snr_db(products, references[:, None], sources[None]))
    least = ACTIVE_SHARE * powers[active].min()
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(int(active[row]), column) for row, column in pairs if powers[num_references + column] > least]
