"""How far raters agree beyond chance: Fleiss' kappa, for items that may have different numbers of raters.

Conventions
    counts [N, C]: how many raters put item n into category c. Raters are exchangeable: who said what is not used.
    An item with fewer than two raters says nothing of agreement and is left out, from the chance term too.
    With n_i raters of item i: P_i = sum_c n_ic (n_ic - 1) / (n_i (n_i - 1)), the share of pairs of raters that agree.
    Observed agreement is the mean of P_i over items, each item alike, however many raters it has. Agreement by chance
    is sum_c p_c ** 2 with p_c the share of all ratings that are c, each rating alike. With equal n_i both are Fleiss's.

References
    Fleiss 1971, Measuring nominal scale agreement among many raters, Psychological Bulletin 76(5).
    Fleiss, Levin, Paik 2003, Statistical Methods for Rates and Proportions, chapter 18 (different numbers of raters).
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
    """What raters' votes say of their agreement."""

    kappa: float
    """1 is full agreement, 0 what chance gives; below 0 less than that. NaN where it says nothing."""
    observed: float
    """Share of pairs of raters that agree, mean over items."""
    by_chance: float
    """The same share for votes dealt at random with the same frequencies of categories."""
    num_items: int
    """Items with two raters or more."""


def fleiss_kappa(counts: np.ndarray) -> Agreement:
    """Agreement of the raters of items.

    >>> round(fleiss_kappa(np.array([[2, 0], [0, 2], [1, 1]])).kappa, 3)  # observed 2/3, by chance 1/2
    0.333

    Args:
        counts: [N, C] raters of item n that chose category c.
    Returns:
        kappa is NaN without any item of two raters, or if every rating is of one category: chance explains all then.
    Raises:
        ValueError: not two axes, or a negative number or a fraction.
    """
    if counts.ndim != 2:
        raise ValueError(f"counts: shape {counts.shape}, expected [items, categories].")
    if (counts < 0).any() or (counts != np.round(counts)).any():
        raise ValueError("counts: expected whole numbers of raters, 0 or more.")
    raters = counts.sum(axis=1)
    rated = counts[raters >= 2].astype(np.float64)
    if not len(rated):
        return Agreement(np.nan, np.nan, np.nan, 0)
    pairs = (rated * (rated - 1)).sum(axis=1) / (rated.sum(axis=1) * (rated.sum(axis=1) - 1))
    observed, by_chance = float(pairs.mean()), float(((rated.sum(axis=0) / rated.sum()) ** 2).sum())
    kappa = (observed - by_chance) / (1 - by_chance) if by_chance < 1 else np.nan
    return Agreement(kappa, observed, by_chance, len(rated))
