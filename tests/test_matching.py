"""The match classifier learns what a product can tell, its curve is the likeliest, and its figures are held out."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.learners.matching import (
    EmbeddedBatch,
    MatchingConfig,
    calibrate,
    fit_logistic,
    train_matcher,
)
from pipeline.models.coincidence import CoincidenceConfig, CoincidenceModel

DIM = 8
QUICK = MatchingConfig(num_steps=300, learning_rate=0.05)


def batches(count: int, noise: float, seed: int = 0, size: int = 32) -> list[EmbeddedBatch]:
    """Sounds that are their pictures plus noise: how well they match is what the noise leaves."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for index in range(count):
        visual = F.normalize(torch.randn(size, DIM, generator=generator), dim=1)
        audio = F.normalize(visual + noise * torch.randn(size, DIM, generator=generator) / DIM**0.5, dim=1)
        made.append(EmbeddedBatch(visual, audio, torch.arange(size) + index * size))
    return made


def model(matcher: str) -> CoincidenceModel:
    torch.manual_seed(0)
    return CoincidenceModel(CoincidenceConfig(trunk="plain", width=0.1, embedding_dim=DIM, matcher=matcher)).eval()


@pytest.mark.parametrize("matcher", ["concat", "product"])
def test_a_trained_matcher_tells_matched_from_mismatched_pairs_it_has_not_seen(matcher: str) -> None:
    network = model(matcher)
    before = calibrate(network, batches(8, 0.5, seed=1))["match_auc"]
    train_matcher(network.matcher, batches(40, 0.5), MatchingConfig(num_steps=1500, learning_rate=0.1), seed=0)
    after = calibrate(network, batches(8, 0.5, seed=1))["match_auc"]
    assert before < 0.8 < 0.9 < after
    assert not any(parameter.requires_grad for parameter in network.matcher.parameters())


def test_training_is_a_function_of_its_seed_and_not_of_the_weights_before() -> None:
    one, two, other = model("concat"), model("concat"), model("concat")
    torch.nn.init.zeros_(two.matcher.hidden.weight)
    for network, seed in ((one, 0), (two, 0), (other, 1)):
        train_matcher(network.matcher, batches(3, 0.5), QUICK, seed)
    assert all(torch.equal(a, b) for a, b in zip(one.matcher.parameters(), two.matcher.parameters(), strict=True))
    assert not torch.equal(one.matcher.dense.weight, other.matcher.dense.weight)


def test_the_curve_through_logits_of_known_odds_gives_the_odds_back() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(1.0, 2.0, 200_000)
    label = (rng.random(len(logit)) < 1 / (1 + np.exp(-(0.5 * logit - 1.0)))).astype(float)
    assert fit_logistic(logit, label) == pytest.approx((0.5, -1.0), abs=0.02)
    scale, bias = fit_logistic(1e-3 * logit + 7, label)  # whatever the unit and the origin
    assert scale * 1e-3 == pytest.approx(0.5, abs=0.01)
    assert bias + scale * 7 == pytest.approx(-1.0, abs=0.02)


def test_classes_without_overlap_have_the_finite_curve_of_platts_targets() -> None:
    # targets are 2/3 and 1/3 for one item of each: the curve goes through both
    scale, bias = fit_logistic(np.array([3.0, 1.0]), np.array([1.0, 0.0]))
    assert scale == pytest.approx(math.log(2), rel=1e-3)
    assert bias == pytest.approx(-2 * math.log(2), rel=1e-3)


@pytest.mark.parametrize("matcher", ["concat", "cosine"])
def test_calibration_mends_a_probability_that_is_far_too_sure(matcher: str) -> None:
    network = model(matcher)
    if network.matcher is not None:
        train_matcher(network.matcher, batches(2, 1.0), MatchingConfig(num_steps=1500, learning_rate=0.1), seed=0)
    else:
        network.match_scale.data.fill_(1000.0)
    figures = calibrate(network, batches(40, 1.0, seed=1))
    assert figures["match_calibration_error"] < 0.05
    fresh = batches(40, 1.0, seed=2)  # what was folded into the weights holds for videos that nothing has seen
    (visual, audio), size = fresh[0].pairs(3), len(fresh[0].video)
    for batch in fresh[1:]:
        more = batch.pairs(3)
        visual, audio = torch.cat([visual, more[0]]), torch.cat([audio, more[1]])
    probability = network.score(visual, audio).detach()
    label = torch.cat([torch.ones(size), torch.zeros(size)]).repeat(len(fresh))
    assert probability.mean().item() == pytest.approx(0.5, abs=0.05)
    assert (probability - label).square().mean() < 0.25


def test_perfect_embeddings_have_perfect_figures_among_fifty() -> None:
    figures = calibrate(model("cosine"), batches(3, 0.0, size=120))
    assert figures["gallery"] == 50
    for name in ("match_auc", "cosine_auc", "sound_recall_at_1", "picture_recall_at_1"):
        assert figures[name] == 1


def test_two_videos_are_enough() -> None:
    figures = calibrate(model("concat"), batches(2, 0.5, size=2))
    assert figures["gallery"] == 2
    assert all(math.isfinite(value) for value in figures.values())


def test_pairs_are_as_many_with_the_own_sound_as_with_anothers() -> None:
    (batch,) = batches(1, 0.5, size=4)
    visual, audio = batch.pairs(1)
    assert torch.equal(visual, torch.cat([batch.visual, batch.visual]))
    assert torch.equal(audio[:4], batch.audio)
    assert torch.equal(audio[4:], batch.audio[[1, 2, 3, 0]])


@pytest.mark.parametrize("fields", [{"num_steps": 0}, {"num_batches": 0}, {"learning_rate": 0.0}])
def test_settings_out_of_range_are_refused(fields: dict) -> None:
    with pytest.raises(ValueError, match=f"matching.{next(iter(fields))} = "):
        MatchingConfig(**fields)
