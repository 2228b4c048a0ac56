"""Separation figures of sums of waveforms, from the waveforms' inner products alone.

Conventions
-----------
Products are [..., N, N] float64: entry (i, j) is the mean over time of w_i w_j, for N waveforms such as two mixtures
and the sources that were separated from their sum. A signal is a weight [..., N] for each waveform: the on-screen
estimate has the sources' probabilities, the mixture a 1 for each of its two parts. So every figure at every
threshold, shift of the logits or choice of sources follows from N^2 numbers per example, without the waveforms.
Values are [...] in dB within +-CAP_DB; NaN where a target
or a mixture is silent, and no ratio is defined.
Design note: |t - y|^2 is a difference of products here. Their rounding is 1e-15 of |y|^2, the cap 1e-8.

References
----------
Tzinis et al. 2021, "Into the Wild with AudioScope", arXiv:2011.01143 (SI-SNR and OSR).
google-research/sound-separation, models/dcase2020_fuss_baseline (which references and estimates are active).
"""

import numpy as np

CAP_DB = 80.0
"""Limit of every value: 16-bit rounding noise lies 81 dB below sound at a usual level, -20 dB of full scale."""
SILENT_POWER = 1e-16
"""A reference of at most this mean square, RMS 1e-8, is not active."""
ACTIVE_SHARE = 0.01
"""An estimate is active above this share, -20 dB, of the quietest active reference's power."""


def power(products: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """[...] mean square of a signal [..., N], never below 0."""
    return np.maximum(product(products, signal, signal), 0.0)


def product(products: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[...] mean over time of the product of two signals, weights [..., N] each."""
    return np.einsum("...i,...ij,...j->...", first, products, second)


def si_snr_db(products: np.ndarray, target: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Scale-invariant signal-to-noise ratio of a signal against its target: 10 log10(c^2 / (|t|^2 |y|^2 - c^2)).

    c is the product of both. A silent estimate has -CAP_DB.
    """
    target_power, estimate_power = power(products, target), power(products, estimate)
    common = np.square(product(products, target, estimate))
    noise = np.maximum(target_power * estimate_power - common, 0.0)
    found = _ratio_db(common, noise)
    found = np.where(estimate_power > 0, found, -CAP_DB)
    return np.where(target_power > 0, found, np.nan)


def snr_db(products: np.ndarray, target: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Signal-to-noise ratio 10 log10(|t|^2 / |t - y|^2): unlike SI-SNR it counts a wrong level as noise."""
    target_power = power(products, target)
    return np.where(target_power > 0, _ratio_db(target_power, power(products, target - estimate)), np.nan)


def level_db(products: np.ndarray, target: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Level of a signal relative to its target, 10 log10(|y|^2 / |t|^2): 0 is as loud."""
    target_power = power(products, target)
    return np.where(target_power > 0, _ratio_db(power(products, estimate), target_power), np.nan)


def suppression_db(products: np.ndarray, mixture: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Off-screen suppression ratio 10 log10(|x|^2 / |y|^2) of clips where no sound is on screen."""
    return -level_db(products, mixture, estimate)


def count_active(references: np.ndarray, sources: np.ndarray) -> tuple[int, int]:
    """How many references are active, and how many separated sources, by their mean squares: the rule of FUSS.

    A reference is active above SILENT_POWER, a source above ACTIVE_SHARE of the quietest active reference. Fewer, as
    many or more sources than references: under-, equal and over-separation.

    Args:
        references: [R] mean squares.
        sources: [S] mean squares.
    Returns:
        Numbers of both, 0 and 0 where every reference is silent.

    >>> count_active(np.array([1.0, 0.1, 0.0]), np.array([0.5, 0.0011, 0.0009]))
    (2, 2)
    """
    active = references[references > SILENT_POWER]
    if not len(active):
        return 0, 0
    return len(active), int((sources > ACTIVE_SHARE * active.min()).sum())


def capi_sdr_improvement_db(
    products: np.ndarray, target: np.ndarray, mixture: np.ndarray, estimate: np.ndarray
) -> np.ndarray:
    """CAPI-SDRi of DCASE 2026 task 4 for one class, the on-screen sound; `target` is 0 where there is none.

    An estimate is an answer if its power is above ACTIVE_SHARE of the mixture's; the challenge's systems give labels
    instead. An answer to a target has the improvement of the plain SNR. A target without answer (false negative) and
    an answer without target (false positive in a zero-target mixture) have 0 dB. Where there is neither, and where the
    mixture is its target so that no improvement is defined, the value is NaN and left out of the mean:
    nttcslab/dcase2026_task4_baseline, src/evaluation/metrics/s5capi_metric.py, and arXiv:2604.00776.
    """
    answered = power(products, estimate) > ACTIVE_SHARE * power(products, mixture)
    has_target = power(products, target) > 0
    gain = snr_db(products, target, estimate) - snr_db(products, target, mixture)
    found = np.where(has_target, np.where(answered, gain, 0.0), np.where(answered, 0.0, np.nan))
    return np.where(has_target & ~(power(products, mixture - target) > 0), np.nan, found)


def _ratio_db(signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """10 log10(signal / noise) [...] within +-CAP_DB; NaN only for 0 / 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(10 * np.log10(signal / noise), -CAP_DB, CAP_DB)
