"""Figures from inner products equal those of the waveforms, and the rules for what is active and what counts."""

import numpy as np
import pytest
import torch

from pipeline.metrics.signal_products import (
    CAP_DB,
    capi_sdr_improvement_db,
    count_active,
    level_db,
    si_snr_db,
    snr_db,
    suppression_db,
)
from tests.helpers.si_snr import off_screen_suppression_ratio, si_snr

FIRST, SECOND, MIXTURE = np.eye(6)[0], np.eye(6)[1], np.eye(6)[0] + np.eye(6)[1]


def products_of(waveforms: np.ndarray) -> np.ndarray:
    """[N, N] of waveforms [N, T]."""
    return waveforms @ waveforms.T / waveforms.shape[1]


@pytest.mark.parametrize("noise_db", [-60, -20, 0, 20])
def test_figures_are_those_of_the_waveforms(noise_db: float) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 4000))
    sources = np.stack([first, second, first + second, second - first])
    sources += 10 ** (noise_db / 20) * rng.normal(size=sources.shape)
    estimate = np.array([0, 0, 0.9, 0.1, 0.05, 0.02])
    waveforms = np.stack([first, second, *sources])
    products, heard = products_of(waveforms), torch.from_numpy(estimate @ waveforms)
    target, mixture = torch.from_numpy(first), torch.from_numpy(first + second)
    assert si_snr_db(products, FIRST, estimate) == pytest.approx(float(si_snr(target, heard)), abs=1e-6)
    osr = float(off_screen_suppression_ratio(mixture, heard))
    assert suppression_db(products, MIXTURE, estimate) == pytest.approx(osr, abs=1e-9)
    error = target - heard
    plain = 10 * np.log10(float(target.square().sum() / error.square().sum()))
    assert snr_db(products, FIRST, estimate) == pytest.approx(plain, abs=1e-9)
    level = 10 * np.log10(float(heard.square().sum() / target.square().sum()))
    assert level_db(products, FIRST, estimate) == pytest.approx(level, abs=1e-9)


def test_half_the_amplitude_changes_snr_and_level_and_not_si_snr() -> None:
    products = np.diag([1.0, 0.25, 0, 0, 0, 0])
    half = 0.5 * FIRST
    assert si_snr_db(products, FIRST, half) == CAP_DB
    assert snr_db(products, FIRST, half) == pytest.approx(20 * np.log10(2))
    assert level_db(products, FIRST, half) == pytest.approx(-20 * np.log10(2))
    assert si_snr_db(products, FIRST, MIXTURE) == pytest.approx(10 * np.log10(4))


def test_silence_has_no_value_as_a_target_and_the_lowest_as_an_estimate() -> None:
    silent, nothing = np.zeros((6, 6)), np.zeros(6)
    for figure in (si_snr_db, snr_db, level_db, suppression_db):
        assert np.isnan(figure(silent, FIRST, MIXTURE))
    products = np.diag([1.0, 1.0, 0, 0, 0, 0])
    assert si_snr_db(products, FIRST, nothing) == level_db(products, FIRST, nothing) == -CAP_DB
    assert suppression_db(products, MIXTURE, nothing) == CAP_DB
    assert snr_db(products, FIRST, nothing) == 0


def test_a_batch_has_the_values_of_its_examples() -> None:
    rng = np.random.default_rng(1)
    products = np.stack([products_of(rng.normal(size=(6, 50))) for _ in range(3)])
    estimates = rng.random((3, 6))
    together = si_snr_db(products, FIRST, estimates)
    alone = [float(si_snr_db(p, FIRST, e)) for p, e in zip(products, estimates, strict=True)]
    assert together.tolist() == pytest.approx(alone, abs=1e-12)


def test_an_active_source_is_above_minus_20_db_of_the_quietest_active_reference() -> None:
    just_above, just_below = 0.011 * 0.25, 0.009 * 0.25
    assert count_active(np.array([1.0, 0.25]), np.array([1.0, just_above, just_below, 0.0])) == (2, 2)
    assert count_active(np.array([1.0, 1e-17]), np.array([0.5, 0.011, 0.009])) == (1, 2)  # RMS 3e-9 is no sound
    assert count_active(np.zeros(2), np.ones(3)) == (0, 0)


def test_capi_sdri_counts_misses_and_false_alarms_as_0_db_and_leaves_true_silence_out() -> None:
    products = np.diag([1.0, 1.0, 0, 0, 0, 0])  # two sounds of one level: the mixture has an SNR of 0 dB

    def value(target: np.ndarray, estimate: np.ndarray) -> float:
        return float(capi_sdr_improvement_db(products, target, MIXTURE, estimate))

    nothing, loud, quiet = np.zeros(6), 0.15 * MIXTURE, 0.05 * MIXTURE  # -16 and -26 dB of the mixture
    assert value(FIRST, FIRST + 0.1 * SECOND) == pytest.approx(20)
    assert value(FIRST, quiet) == 0
    assert value(nothing, loud) == 0
    assert np.isnan(value(nothing, quiet))
    assert np.isnan(value(MIXTURE, loud))
