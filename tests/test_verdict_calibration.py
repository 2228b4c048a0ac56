"""Calibration: figures from inner products are those of the waveforms, and the fit reaches its target."""

import numpy as np
import pytest
import torch

from pipeline.learners.verdict_calibration import CalibrationConfig, Point, ScoredMixtures, fit_verdicts
from pipeline.models.onscreen_classifier import OnScreenClassifier
from pipeline.models.towers import CoincidenceConfig
from tests.helpers.si_snr import off_screen_suppression_ratio, si_snr


def scored(logits: torch.Tensor, sources: torch.Tensor, first: torch.Tensor) -> ScoredMixtures:
    signals = torch.cat([first[:, None], sources], dim=1).double()
    return ScoredMixtures(logits.numpy(), (signals @ signals.mT / signals.shape[-1]).numpy())


@pytest.fixture
def noise() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits [64, 4], sources [64, 4, 500], and first mixtures [64, 500]: two of the sources, and noise."""
    generator = torch.Generator().manual_seed(0)
    sources = torch.randn(64, 4, 500, generator=generator).double() * torch.rand(64, 4, 1, generator=generator)
    first = sources[:, :2].sum(dim=1) + 0.1 * torch.randn(64, 500, generator=generator)
    return torch.randn(64, 4, generator=generator).double(), sources, first


def test_figures_from_inner_products_are_those_of_the_waveforms(noise: tuple[torch.Tensor, ...]) -> None:
    logits, sources, first = noise
    found, point = scored(*noise), Point(scale=1.7, shift=-0.4, relative=0.5)
    share = sources.square().sum(dim=-1)
    mean = (share * logits).sum(dim=1, keepdim=True) / share.sum(dim=1, keepdim=True)
    estimate = (torch.sigmoid(1.7 * (1.5 * logits - 0.5 * mean) - 0.4)[..., None] * sources).sum(dim=1)
    mixture = sources.sum(dim=1)
    gain = (si_snr(first, estimate) - si_snr(first, mixture)).numpy()
    np.testing.assert_allclose(found.improvement_db(point), gain, rtol=1e-9, atol=1e-9)
    expected = off_screen_suppression_ratio(mixture, estimate).numpy()
    np.testing.assert_allclose(found.suppression_db(point), expected, rtol=1e-9)
    level = 10 * torch.log10(estimate.square().sum(dim=1) / first.square().sum(dim=1)).numpy()
    np.testing.assert_allclose(found.level_db(point), level, rtol=1e-9)


def test_the_model_judges_by_the_point_that_was_fitted() -> None:
    torch.manual_seed(0)
    towers = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16)
    classifier = OnScreenClassifier(towers, tanh=False, cosine_feature=True).eval()
    sources, frames = 0.1 * torch.randn(3, 4, 8000), torch.rand(3, 2, 3, 32, 32)
    with torch.no_grad():
        video = classifier.visual_tower(frames)
        raw = classifier(sources, video).logits
        point = Point(scale=1.7, shift=-0.4, relative=0.5)
        classifier.calibrate(*point)
        verdicts = torch.sigmoid(classifier(sources, video).logits).numpy()
    found = scored(raw.double(), sources.double(), sources.sum(dim=1).double())
    estimate = (verdicts[..., None] * sources.numpy()).sum(axis=1)
    level = 10 * np.log10(np.square(estimate).sum(axis=1) / np.square(sources.sum(dim=1).numpy()).sum(axis=1))
    np.testing.assert_allclose(found.level_db(point), level, atol=1e-3)


@pytest.mark.parametrize("target_db", [3.0, 13.0, 30.0])
def test_the_fit_reaches_its_suppression_and_no_other_point_separates_better(
    noise: tuple[torch.Tensor, ...], target_db: float
) -> None:
    logits, sources, first = noise
    logits[:, :2] += 2  # the first two are on screen
    on, off = scored(logits, sources, first), scored(logits - 2, sources, first)
    point = fit_verdicts(on, off, on, CalibrationConfig(osr_db=target_db, max_loss_db=60))
    assert np.median(off.suppression_db(point)) == pytest.approx(target_db, abs=1e-3)
    best = np.median(on.improvement_db(point))
    for scale, relative in ((0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (2.0, 0.25)):
        others = [Point(scale, shift, relative) for shift in np.linspace(-20, 20, 2001)]
        at_target = min(others, key=lambda other: abs(np.median(off.suppression_db(other)) - target_db))
        assert best >= np.median(on.improvement_db(at_target)) - 0.02


def test_what_sounds_alone_stays_nearly_as_loud_where_the_suppression_allows_it(
    noise: tuple[torch.Tensor, ...],
) -> None:
    logits, sources, first = noise
    logits[:, :2] += 1
    on, off, alone = scored(logits, sources, first), scored(logits - 2, sources, first), scored(logits + 1, *noise[1:])
    free = fit_verdicts(on, off, alone, CalibrationConfig(osr_db=13, max_loss_db=60))
    bound = fit_verdicts(on, off, alone, CalibrationConfig(osr_db=13, max_loss_db=1.0))
    assert np.median(alone.level_db(bound)) >= max(-1.0, np.median(alone.level_db(free)))
    assert np.median(on.improvement_db(free)) >= np.median(on.improvement_db(bound))


def test_silence_has_no_figures_and_does_not_count_in_the_fit(noise: tuple[torch.Tensor, ...]) -> None:
    logits, sources, first = noise
    whole = scored(logits, sources, first)
    sources[0] = first[0] = 0
    some = scored(logits, sources, first)
    point = Point(1.0, 0.0, 0.5)
    for figure, of_whole in ((some.suppression_db, whole), (some.improvement_db, whole), (some.level_db, whole)):
        assert np.isnan(figure(point)[0])
        np.testing.assert_allclose(figure(point)[1:], getattr(of_whole, figure.__name__)(point)[1:])
    others = scored(logits[1:], sources[1:], first[1:])
    config = CalibrationConfig(osr_db=6.0)
    assert fit_verdicts(some, some, some, config) == fit_verdicts(others, others, others, config)
