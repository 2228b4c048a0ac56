"""What the events learner minimises: which parts, with which weights, and what each supervision looks at."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from pipeline.learners.event_objectives import (
    BACKGROUND,
    UNKNOWN,
    EventLossConfig,
    decide,
    full_losses,
    self_losses,
    weak_losses,
)
from pipeline.losses.cpsp import NO_CATEGORY, avpsp_loss, spsa_loss, vpsa_loss
from pipeline.models.psp import JointHead, PSPConfig, Segments, SeparateHead

MODEL = PSPConfig(lstm_dim=4, joint_dim=16)
CONFIG = EventLossConfig()
BARE = EventLossConfig(pair_weight=0.0, segment_weight=0.0, clip_weight=0.0)
LABELS = torch.tensor([[0, 0, -1, -1], [-1, 2, 2, 2], [-1, -1, -1, -1], [1, 1, 1, 1]])
TAG = torch.tensor([0, 2, NO_CATEGORY, 1])


def segments() -> Segments:
    generator = torch.Generator().manual_seed(0)
    visual, audio = (torch.randn(4, 4, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    return Segments(visual, audio, (visual + audio) / 2)


def head(kind: str, weigh: bool = False) -> SeparateHead | JointHead:
    torch.manual_seed(1)
    made = SeparateHead(MODEL, 3) if kind == "separate" else JointHead(MODEL, 3, weigh)
    return made.double()


def test_the_full_loss_is_the_sum_of_its_parts_with_the_published_weights() -> None:
    found, given = full_losses(head("separate"), segments(), LABELS, TAG, CONFIG), segments()
    is_event = LABELS >= 0
    torch.testing.assert_close(found["avpsp"], avpsp_loss(given.visual, given.audio, is_event))
    torch.testing.assert_close(found["spsa"], spsa_loss(given.fused, is_event, 0.6))
    torch.testing.assert_close(found["vpsa"], vpsa_loss(given.fused, TAG, 0.2, 3))
    total = found["event"] + found["category"] + 100 * found["avpsp"] + 0.01 * found["spsa"] + found["vpsa"]
    torch.testing.assert_close(found["loss"], total)


def test_events_cost_their_cross_entropy_and_categories_that_of_clips_with_an_event() -> None:
    made, given = head("separate"), segments()
    event, category = (x.detach().numpy() for x in made(given.fused))
    found = full_losses(made, given, LABELS, TAG, BARE)
    of_events = [
        math.log1p(math.exp(-logit if label >= 0 else logit))
        for logit, label in zip(event.flatten(), LABELS.flatten().tolist(), strict=True)
    ]
    assert found["event"].item() == pytest.approx(sum(of_events) / 16)
    of_clips = [math.log(sum(math.exp(c - category[b, TAG[b]]) for c in category[b])) for b in (0, 1, 3)]
    assert found["category"].item() == pytest.approx(sum(of_clips) / 3)
    assert set(found) == {"loss", "event", "category"}


def test_a_tag_without_any_segment_of_an_event_does_not_count_with_full_labels() -> None:
    tagged = TAG.clone()
    tagged[2] = 1  # as line 27 of AVE's annotations
    one, other = (full_losses(head("separate"), segments(), LABELS, tag, CONFIG) for tag in (TAG, tagged))
    assert one == other


def test_a_joint_head_learns_categories_and_background_of_segments_and_skips_unknown_categories() -> None:
    made, given = head("joint"), segments()
    scores = made(given.fused).detach()
    labels = LABELS.clone()
    labels[0, 0] = UNKNOWN
    costs = [
        -scores[b, t].log_softmax(dim=0)[label if label != BACKGROUND else 3].item()
        for b, row in enumerate(labels.tolist())
        for t, label in enumerate(row)
        if label != UNKNOWN
    ]
    assert len(costs) == 15
    assert full_losses(made, given, labels, TAG, BARE)["joint"].item() == pytest.approx(sum(costs) / 15)
    assert full_losses(made, given, torch.full_like(labels, UNKNOWN), TAG, BARE)["joint"] == 0  # not NaN


def test_an_unknown_category_is_an_event_all_the_same() -> None:
    unknown = torch.where(LABELS >= 0, UNKNOWN, BACKGROUND)
    none = torch.full((4,), NO_CATEGORY)
    one, other = (full_losses(head("separate"), segments(), labels, none, CONFIG) for labels in (LABELS, unknown))
    assert one == other
    assert one["event"] > 0
    assert one["category"] == 0


@pytest.mark.parametrize("name", ["pair_weight", "segment_weight", "clip_weight"])
def test_a_weight_of_zero_leaves_its_part_out(name: str) -> None:
    whole = full_losses(head("separate"), segments(), LABELS, TAG, CONFIG)
    found = full_losses(head("separate"), segments(), LABELS, TAG, dataclasses.replace(CONFIG, **{name: 0.0}))
    part = {"pair_weight": "avpsp", "segment_weight": "spsa", "clip_weight": "vpsa"}[name]
    assert whole.keys() - found.keys() == {part}
    torch.testing.assert_close(whole["loss"] - found["loss"], getattr(CONFIG, name) * whole[part])


# --- weak ---


@pytest.mark.parametrize("weigh", [False, True])
def test_with_weak_labels_a_joint_head_is_trained_by_the_mean_of_its_segments(weigh: bool) -> None:
    made, given = head("joint", weigh), segments()
    pooled = made(given.fused).detach().mean(dim=1)
    costs = [-pooled[b].log_softmax(dim=0)[tag if tag >= 0 else 3].item() for b, tag in enumerate(TAG.tolist())]
    assert weak_losses(made, given, TAG, BARE)["tag"].item() == pytest.approx(sum(costs) / 4)


def test_with_weak_labels_a_separate_head_is_trained_by_its_highest_products() -> None:
    made, given = head("separate"), segments()
    event, category = (x.detach() for x in made(given.fused))
    costs = []
    for b in (0, 1, 3):
        logits = [max((e.sigmoid() * c).item() for e in event[b]) for c in category[b]]
        costs.append(math.log(sum(math.exp(logit - logits[TAG[b]]) for logit in logits)))
    found = weak_losses(made, given, TAG, BARE)
    assert found["tag"].item() == pytest.approx(sum(costs) / 3)
    assert found["empty"].item() == pytest.approx(math.log1p(math.exp(event[2].max())))
    torch.testing.assert_close(found["loss"], found["tag"] + found["empty"])


def test_the_released_weak_form_leaves_clips_without_a_tag_out() -> None:
    released = dataclasses.replace(CONFIG, weak_form="released")
    found = weak_losses(head("separate"), segments(), TAG, released)
    assert set(found) == {"loss", "tag", "vpsa"}
    torch.testing.assert_close(found["loss"], found["tag"] + found["vpsa"])
    torch.testing.assert_close(found["vpsa"], vpsa_loss(segments().fused, TAG, 0.6, 4))


# --- self ---


def test_self_supervision_has_one_part() -> None:
    found = self_losses(segments(), CONFIG)
    assert found["loss"] == found["sspsp"] > 0


@pytest.mark.parametrize("kind", ["separate", "joint"])
def test_every_loss_sends_gradients_to_what_it_looks_at(kind: str) -> None:
    made = head(kind)
    for losses in (full_losses(made, leaves(), LABELS, TAG, CONFIG), weak_losses(made, leaves(), TAG, CONFIG)):
        made.zero_grad()
        losses["loss"].backward()
        assert all(parameter.grad.abs().max() > 0 for parameter in made.parameters())


def leaves() -> Segments:
    return Segments(*(rows.requires_grad_() for rows in segments()))


def test_the_decision_is_the_likeliest_category_where_an_event_is_more_likely_than_not() -> None:
    event = torch.tensor([[0.51, 0.5, 0.9]])
    category: Tensor = torch.tensor([[[0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]])
    decided, likeliest = decide(event, category)
    assert decided.tolist() == [[1, BACKGROUND, 0]]
    assert likeliest.tolist() == [[1, 0, 0]]
