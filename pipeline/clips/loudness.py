"""Loudness of a waveform by ITU-R BS.1770-4: K-weighting, blocks of 400 ms, an absolute and a relative gate."""

import functools
import math

import numpy as np

FLOOR_LUFS = -70.0  # the absolute gate: what is quieter has no loudness
BLOCK_S, HOP_S = 0.4, 0.1
RELATIVE_GATE_LU = 10.0
OFFSET_DB = -0.691  # makes a 997 Hz sine of full scale -3.01 LUFS


def integrated_loudness(waveform: np.ndarray, rate_hz: int) -> float:
    """Integrated loudness in LUFS, floor -70: BS.1770-4, annex 1, one channel.

    Args:
        waveform: [T] full scale is 1. Shorter than 400 ms gives the floor.
        rate_hz: its sample rate; the K-weighting is that of BS.1770, designed anew for this rate.
    """
    from scipy.signal import sosfilt  # takes 0.9 s: only measuring needs it

    hop = round(HOP_S * rate_hz)
    weighted = sosfilt(_k_weighting(rate_hz), waveform)
    num_hops = len(weighted) // hop
    hops = np.square(weighted[: num_hops * hop]).reshape(num_hops, hop).mean(axis=1)
    hops_per_block = round(BLOCK_S / HOP_S)
    if num_hops < hops_per_block:
        return FLOOR_LUFS
    power = np.convolve(hops, np.full(hops_per_block, 1 / hops_per_block), mode="valid")
    power = power[power > _power(FLOOR_LUFS)]
    if not len(power):
        return FLOOR_LUFS
    gate = power.mean() / 10 ** (RELATIVE_GATE_LU / 10)
    return max(FLOOR_LUFS, OFFSET_DB + 10 * math.log10(power[power > gate].mean()))


def _power(loudness_lufs: float) -> float:
    return 10 ** ((loudness_lufs - OFFSET_DB) / 10)


@functools.cache
def _k_weighting(rate_hz: int) -> np.ndarray:
    """[2, 6] second-order sections: a high shelf for the head, a high-pass for the ear.

    The analog prototypes behind the 48 kHz coefficients of BS.1770 (De Man 2014, "Evaluation of implementations of the
    EBU R128 loudness measurement"), by the bilinear transform.
    """
    gain, exponent = 10 ** (3.999843853973347 / 20), 0.4996667741545416
    k, q = math.tan(math.pi * 1681.974450955533 / rate_hz), 0.7071752369554196
    a0 = 1 + k / q + k * k
    edge = gain**exponent
    shelf = [gain + edge * k / q + k * k, 2 * (k * k - gain), gain - edge * k / q + k * k, a0, 2 * (k * k - 1)]
    shelf.append(1 - k / q + k * k)
    k, q = math.tan(math.pi * 38.13547087602444 / rate_hz), 0.5003270373238773
    b0 = 1 + k / q + k * k
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / b0, (1 - k / q + k * k) / b0]
    return np.array([np.array(shelf) / a0, high_pass])
