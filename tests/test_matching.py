"""The match classifier learns which pairs match, its curve is the likeliest, and its figures are held out."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import ConfigError
from pipeline.learners.matching import (
    EmbeddedBatch,
    MatchingConfig,
    auc_interval,
    calibrate,
    fit_logistic,
    train_matcher,
)
from pipeline.metrics.bootstrap import MIN_GROUPS, bootstrap_interval
from pipeline.metrics.detection import matched_mismatched_auc
from pipeline.models.towers import CoincidenceConfig, CoincidenceModel

DIM = 8
QUICK = MatchingConfig(num_steps=100, learning_rate=0.05)


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
    return CoincidenceModel(
        CoincidenceConfig(backbone="small_cnn", width=0.1, embedding_dim=DIM, matcher=matcher)
    ).eval()


@pytest.mark.parametrize("matcher", ["concat", "product"])
def test_a_trained_matcher_separates_matched_from_mismatched_pairs_it_has_not_seen(matcher: str) -> None:
    network = model(matcher)
    before = calibrate(network, batches(8, 0.5, seed=1))["match_auc"]
    train_matcher(network.matcher, batches(40, 0.5), MatchingConfig(num_steps=150, learning_rate=0.1), seed=0)
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
    logit = rng.normal(1.0, 2.0, 40_000)
    label = (rng.random(len(logit)) < 1 / (1 + np.exp(-(0.5 * logit - 1.0)))).astype(float)
    scale, bias = fit_logistic(logit, label, len(logit))
    assert (scale, bias) == pytest.approx((0.5, -1.0), abs=0.04)  # 3 standard errors
    other_scale, other_bias = fit_logistic(1e-3 * logit + 7, label, len(logit))  # whatever the unit and the origin
    assert other_scale * 1e-3 == pytest.approx(scale, rel=1e-3)
    assert other_bias + other_scale * 7 == pytest.approx(bias, abs=1e-3)


@pytest.mark.parametrize("repeats", [1, 16])
def test_classes_without_overlap_have_the_finite_curve_of_platts_targets_however_often_repeated(repeats: int) -> None:
    # targets are 2/3 and 1/3 for one video: the curve goes through both
    logit, label = np.tile([3.0, 1.0], repeats), np.tile([1.0, 0.0], repeats)
    scale, bias = fit_logistic(logit, label, 1)
    assert scale == pytest.approx(math.log(2), rel=1e-3)
    assert bias == pytest.approx(-2 * math.log(2), rel=1e-3)


def test_a_curve_never_falls() -> None:
    # the likeliest falls; the logits have a mean of 2 and a deviation of 1
    assert fit_logistic(np.array([1.0, 3.0]), np.array([1.0, 0.0]), 1) == pytest.approx((0.1, -0.2))


@pytest.mark.parametrize("differences", [0.0, 3e-7, -3e-7])
def test_logits_that_are_all_the_same_but_for_rounding_have_a_gentle_curve_through_one_half(differences: float) -> None:
    label = np.array([1.0, 0.0] * 5)
    for level in (-3.0, 0.0, 40.0):
        scale, bias = fit_logistic(level * (1 + differences * label), label, 5)
        assert scale * level + bias == pytest.approx(0, abs=1e-3)
        assert 0 < scale < 1.01 / max(abs(level), 1)


@pytest.mark.parametrize("matcher", ["concat", "cosine"])
def test_calibration_mends_a_probability_that_is_far_too_sure(matcher: str) -> None:
    network = model(matcher)
    if network.matcher is not None:
        train_matcher(network.matcher, batches(2, 1.0), MatchingConfig(num_steps=600, learning_rate=0.1), seed=0)
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


def test_a_classifier_that_is_wrong_about_all_videos_is_reported_and_not_inverted() -> None:
    network = model("cosine")
    opposed = [EmbeddedBatch(batch.visual, -batch.audio, batch.video) for batch in batches(4, 0.5)]
    figures = calibrate(network, opposed)
    assert figures["match_auc"] < 0.1
    assert network.match_scale > 0
    probability = torch.cat([network.score(*batch.pairs(1)) for batch in opposed])
    assert probability.min() > 0.4  # and is sure of nothing
    assert probability.max() < 0.6


def test_a_curve_through_two_videos_is_no_surer_of_new_ones_than_two_videos_allow() -> None:
    fresh = batches(8, 1.5, seed=99, size=64)
    for seed in range(20):
        network = model("cosine")
        calibrate(network, batches(1, 1.5, seed=seed, size=2) * 16)
        losses = []
        for batch in fresh:
            odds = network.score_logit(*batch.pairs(3))
            losses.append(F.binary_cross_entropy_with_logits(odds, torch.arange(128).lt(64).float()))
        assert torch.stack(losses).mean() < 0.8  # knowing nothing is log 2 = 0.69


def test_figures_are_of_a_curve_that_has_not_seen_the_videos_it_judges() -> None:
    # a sound's cosine with its own picture is 1 in even videos, 0.4 in odd ones, and 0 with any other picture. Platt's
    # targets for 4 videos are 5/6 and 1/6, at every repeat, so the even videos' curve has log odds -log 5 at 0 and
    # log 5 at 1, the odd ones' the same at 0 and 0.4: two and five log 5 to one, and one half at 0.5 and 0.2
    visual, cosine = torch.eye(16)[:8], torch.tensor([1.0, 0.4] * 4)[:, None]
    audio = cosine * visual + (1 - cosine.square()).sqrt() * torch.eye(16)[8:]
    figures = calibrate(model("cosine"), [EmbeddedBatch(visual, audio, torch.arange(8))] * 5)
    misses = [1 / (1 + 5**4), 1 / (1 + 5**-0.2), 1 / 6, 1 / 6]  # of even and odd videos' own sounds, and of others
    assert figures["match_accuracy"] == 0.75
    assert figures["match_brier"] == pytest.approx(np.square(misses).mean(), abs=1e-4)


def test_the_sound_of_a_pair_that_does_not_match_is_of_the_pictures_half() -> None:
    (batch,) = batches(1, 0.0, size=8)
    twice = torch.arange(8) // 2  # videos 0 and 1 show the same, as do 2 and 3: one of each in either half
    figures = calibrate(model("cosine"), [EmbeddedBatch(batch.visual[twice], batch.audio[twice], batch.video)])
    assert figures["match_auc"] == 1


@pytest.mark.parametrize(("size", "count", "num_videos", "gallery"), [(96, 2, 192, 50), (32, 5, 60, 50), (5, 8, 5, 5)])
def test_retrieval_is_among_fifty_videos_or_all_there_are_whatever_the_size_of_a_batch(
    size: int, count: int, num_videos: int, gallery: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    unit = torch.eye(num_videos)
    drawn = [torch.randperm(num_videos, generator=generator)[:size] for _ in range(count)]
    figures = calibrate(model("cosine"), [EmbeddedBatch(unit[videos], unit[videos], videos) for videos in drawn])
    assert figures["gallery"] == gallery
    recalls = {name: value for name, value in figures.items() if "recall" in name}
    assert set(recalls.values()) == {1.0}  # a video twice in a gallery would be its own rival
    output = {f"{view}_recall_at_{k}" for view in ("sound", "picture") for k in (1, 5, 10) if k < gallery}
    assert recalls.keys() == output
    assert figures["match_auc"] == figures["cosine_auc"] == 1


def test_retrieval_counts_every_moment_of_a_video() -> None:
    unit, moments = torch.eye(4), []
    for videos, found in (([0, 1], 1), ([0, 1], -1), ([2, 3], -1), ([2, 3], 1)):  # the sound, or its opposite
        moments.append(EmbeddedBatch(unit[videos], found * unit[videos], torch.tensor(videos)))
    assert calibrate(model("cosine"), moments)["sound_recall_at_1"] == 0.5


@pytest.mark.parametrize("num_videos", [2, 3, 4])
def test_two_videos_are_enough(num_videos: int) -> None:
    figures = calibrate(model("concat"), batches(1, 0.5, size=num_videos) * 2)
    assert figures["gallery"] == num_videos
    assert all(math.isfinite(value) for value in figures.values())


def test_pairs_are_as_many_with_the_own_sound_as_with_anothers() -> None:
    (batch,) = batches(1, 0.5, size=4)
    visual, audio = batch.pairs(1)
    assert torch.equal(visual, torch.cat([batch.visual, batch.visual]))
    assert torch.equal(audio[:4], batch.audio)
    assert torch.equal(audio[4:], batch.audio[[1, 2, 3, 0]])
    moments = EmbeddedBatch(batch.visual, batch.audio, torch.tensor([7, 7, 5, 5]))
    visual, audio = moments.pairs(1)  # the next row is of another video after the second and the fourth
    assert torch.equal(visual, batch.visual[[1, 3, 1, 3]])
    assert torch.equal(audio, batch.audio[[1, 3, 2, 0]])


@pytest.mark.parametrize("fields", [{"num_steps": 0}, {"num_batches": 0}, {"learning_rate": 0.0}])
def test_settings_out_of_range_are_refused(fields: dict) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(fields))} = "):
        MatchingConfig(**fields)


@pytest.mark.parametrize(("noise", "learnt"), [(0.5, True), (1e6, False)])
def test_the_auc_has_an_interval_over_videos_which_includes_chance_where_nothing_was_learnt(
    noise: float, learnt: bool
) -> None:
    network = model("cosine")
    figures = calibrate(network, batches(2, noise, seed=3, size=30))
    assert figures["num_videos"] == 60
    low, high = figures["match_auc_low"], figures["match_auc_high"]
    assert low < figures["match_auc"] < high
    assert (low > 0.5) == learnt
    again = calibrate(model("cosine"), batches(2, noise, seed=3, size=30) * 8)  # more moments of the same videos
    assert high - low < 1.5 * (again["match_auc_high"] - again["match_auc_low"])
    few = calibrate(model("cosine"), batches(1, noise, seed=3, size=MIN_GROUPS - 1))
    assert "match_auc_low" not in few


def test_the_interval_is_that_of_the_auc_of_the_pairs_of_drawn_videos() -> None:
    rng = np.random.default_rng(0)
    video = rng.integers(9, size=40)
    matched, mismatched = (rng.normal(mean, 1, 40).round(1) for mean in (0.5, 0.0))  # some are equal

    def auc(rows: np.ndarray) -> float:
        return matched_mismatched_auc(matched[rows], mismatched[rows])

    assert auc_interval(matched, mismatched, video, video) == pytest.approx(bootstrap_interval(auc, video))


def test_the_interval_of_pairs_that_are_not_two_by_two_is_that_of_the_auc_of_drawn_videos() -> None:
    rng = np.random.default_rng(0)
    label, video, scores = rng.random(60) < 0.3, rng.integers(9, size=60), rng.normal(size=60).round(1)

    def auc(rows: np.ndarray) -> float:
        return matched_mismatched_auc(scores[rows][label[rows]], scores[rows][~label[rows]])

    found = auc_interval(scores[label], scores[~label], video[label], video[~label])
    assert found == pytest.approx(bootstrap_interval(auc, video))
