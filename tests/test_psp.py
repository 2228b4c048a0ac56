"""The PSP network against a plain one, and what it does with similar and with dissimilar segments."""

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.models.psp import JointHead, PSPConfig, PSPModel, SeparateHead, propagation_weights
from tests.helpers.plain_psp import plain_head, plain_segments

SMALL = PSPConfig(embedding_dim=7, segment_dim=6, lstm_dim=5, attention_dim=8, map_dim=3, joint_dim=4)
WEAK_PSP = dataclasses.replace(SMALL, head="joint", embed_audio=False, output_layer=False, renormalise=False)
VARIANTS = {
    "CPSP": (SMALL, 0.16, False),
    "PSP, full": (dataclasses.replace(SMALL, head="joint"), 0.16, False),
    "PSP, weak": (WEAK_PSP, 0.15, True),
    "no propagation": (dataclasses.replace(SMALL, propagate=False), 0.16, False),
}


def build(config: PSPConfig, threshold: float, is_weak: bool, num_categories: int = 3) -> PSPModel:
    torch.manual_seed(0)
    return PSPModel(
        config, visual_dim=9, audio_dim=4, num_categories=num_categories, threshold=threshold, is_weak=is_weak
    )


def clips(batch: int = 2, segments: int = 6, cells: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    visual = torch.randn(batch, segments, cells, 9, generator=generator, dtype=torch.float64)
    return visual, torch.randn(batch, segments, 4, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", VARIANTS)
def test_without_dropout_the_network_is_the_plain_one(name: str) -> None:
    config, threshold, is_weak = VARIANTS[name]
    model = build(config, threshold, is_weak).double().eval()
    visual, audio = clips()
    segments = model(visual, audio)
    expected = plain_segments(model, config, threshold, visual.numpy(), audio.numpy())
    for found, wanted in zip(segments, expected, strict=True):
        np.testing.assert_allclose(found.detach(), wanted, atol=1e-6, rtol=0)
    out = model.head(segments.fused)
    for found, wanted in zip(out if isinstance(out, tuple) else (out,), plain_head(model, expected[2]), strict=True):
        np.testing.assert_allclose(found.detach(), wanted, atol=1e-6, rtol=0)


def test_the_published_sizes_are_the_defaults() -> None:
    config = PSPConfig()
    model = PSPModel(config, visual_dim=512, audio_dim=128, num_categories=28, threshold=0.099, is_weak=False)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes["embed_audio.0.weight"] == (256, 128)
    assert shapes["embed_audio.1.weight"] == (128, 256)
    assert shapes["embed_visual.0.weight"] == (256, 512)
    assert shapes["attention.embed_row.weight"] == (512, 512)
    assert shapes["attention.map_row.weight"] == (49, 512)
    assert shapes["visual_lstm.weight_ih_l0"] == (4 * 128, 128)
    assert shapes["propagation.branches.visual_1.weight"] == (256, 256)
    assert shapes["propagation.norm.weight"] == (256,)
    assert shapes["head.category.weight"] == (28, 256)
    assert model.propagation.dropout.p == 0.1


# --- propagation ---


def test_shares_are_those_above_the_threshold_and_renormalising_makes_them_sum_to_one() -> None:
    affinity = torch.tensor([[4.0, 3.0, 2.0, 1.0, -9.0]])  # relu: shares 0.4, 0.3, 0.2, 0.1, 0
    torch.testing.assert_close(propagation_weights(affinity, 0.25, False), torch.tensor([[0.4, 0.3, 0, 0, 0]]))
    torch.testing.assert_close(propagation_weights(affinity, 0.25, True), torch.tensor([[4 / 7, 3 / 7, 0, 0, 0]]))
    torch.testing.assert_close(propagation_weights(affinity, 0.0, True), torch.tensor([[0.4, 0.3, 0.2, 0.1, 0]]))


def test_an_even_row_is_just_above_the_published_threshold() -> None:
    even = torch.ones(1, 10, 10)
    torch.testing.assert_close(propagation_weights(even, 0.099, True), even / 10)
    assert not propagation_weights(even, 0.101, True).any()


@pytest.mark.parametrize("renormalise", [False, True])
def test_a_row_without_a_share_above_the_threshold_takes_in_nothing(renormalise: bool) -> None:
    rows = torch.stack([torch.full((10,), -1.0), torch.ones(10), torch.zeros(10)])
    assert torch.equal(propagation_weights(rows, 0.11, renormalise), torch.zeros(3, 10))
    config = dataclasses.replace(SMALL, renormalise=renormalise)
    none, off = (
        build(config, 0.999, False).eval(),
        build(dataclasses.replace(config, propagate=False), 0.0, False).eval(),
    )
    off.load_state_dict(none.state_dict(), strict=False)
    visual, audio = clips(segments=10)
    for found, wanted in zip(none(visual, audio), off(visual, audio), strict=True):
        assert torch.equal(found, wanted)


def test_what_is_taken_in_has_gradients_for_all_branches() -> None:
    model = build(SMALL, 0.1, False).eval()
    model(*clips()).fused.square().sum().backward()
    for name, layer in model.propagation.branches.items():
        assert layer.weight.grad.abs().max() > 0, name


def test_dropout_differs_by_seed_in_training_and_is_absent_in_evaluation() -> None:
    model, inputs = build(SMALL, 0.1, False), clips()
    outs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outs.append(model(*inputs).fused)
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])
    model.eval()
    assert torch.equal(model(*inputs).fused, model(*inputs).fused)


def test_half_precision_features_and_autocast_give_segments_in_single_precision() -> None:
    model = build(SMALL, 0.1, False).eval()
    visual, audio = (x.half() for x in clips())
    exact = model(visual.float(), audio.float()).fused
    assert torch.equal(model(visual, audio).fused, exact)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(visual, audio).fused
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, atol=0.2, rtol=0)


# --- heads ---


def test_a_separate_head_gives_each_segment_its_event_and_the_clip_its_category() -> None:
    head = SeparateHead(SMALL, 3)
    fused = torch.randn(2, 6, 10)
    event, category = head(fused)
    probability, categories = head.probabilities(fused)
    torch.testing.assert_close(probability, event.sigmoid())
    assert categories.shape == (2, 6, 3)
    torch.testing.assert_close(categories[:, 0], category.softmax(dim=1))
    assert (categories == categories[:, :1]).all()
    pooled, most = head.pooled(fused)
    torch.testing.assert_close(most, torch.stack([row.max() for row in event]))
    for b in range(2):
        for c in range(3):
            expected = max((event[b, t].sigmoid() * category[b, c]).item() for t in range(6))
            assert pooled[b, c].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("weigh", [False, True])
def test_a_joint_head_finds_an_event_exactly_where_background_is_not_the_best(weigh: bool) -> None:
    torch.manual_seed(0)
    head = JointHead(dataclasses.replace(SMALL, joint_dim=32), 3, weigh)
    fused = torch.randn(50, 6, 10)
    scores = head(fused)
    event, category = head.probabilities(fused)
    best = scores.argmax(dim=2)
    assert torch.equal(event > 0.5, best != 3)
    assert torch.equal(category.argmax(dim=2)[best != 3], best[best != 3])
    assert 0 < (best == 3).float().mean() < 1
    torch.testing.assert_close(category.sum(dim=2), torch.ones(50, 6))
    torch.testing.assert_close(head.pooled(fused), scores.mean(dim=1))
