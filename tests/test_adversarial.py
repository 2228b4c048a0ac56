"""Losses of the adversaries, by hand."""

import math

import pytest
import torch

from pipeline.losses.adversarial import identity_loss, modality_loss


def cross_entropy(log_odds: float, is_true: bool) -> float:
    probability = 1 / (1 + math.exp(-log_odds))
    return -math.log(probability if is_true else 1 - probability)


def test_who_knows_nothing_pays_log_2() -> None:
    assert identity_loss(torch.zeros(4, 4), torch.tensor([0, 0, 1, 1])).item() == pytest.approx(math.log(2))
    assert modality_loss(torch.zeros(3, 5), torch.zeros(3, 5)).item() == pytest.approx(math.log(2))


def test_pairs_of_one_video_and_of_two_weigh_one_half_each() -> None:
    log_odds = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0], [-2.0, 0.2, 0.4]])
    # the first two segments are of one video; no segment counts with itself
    same = [cross_entropy(value, True) for value in (-1.0, 0.0)]
    other = [cross_entropy(value, False) for value in (0.5, 1.0, -2.0, 0.2)]
    expected = (sum(same) / 2 + sum(other) / 4) / 2
    assert identity_loss(log_odds, torch.tensor([7, 7, 1])).item() == pytest.approx(expected, rel=1e-5)


def test_lips_and_speech_weigh_one_half_each() -> None:
    seen, heard = torch.tensor([1.0, -0.5]), torch.tensor([0.3, 0.0, -4.0])
    expected = sum(cross_entropy(x, True) for x in seen.tolist()) / 4
    expected += sum(cross_entropy(x, False) for x in heard.tolist()) / 6
    assert modality_loss(seen, heard).item() == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_one_kind_of_pair_has_the_other_alone() -> None:
    assert identity_loss(torch.ones(2, 2), torch.zeros(2)).item() == pytest.approx(cross_entropy(1.0, True) / 2)
    assert identity_loss(torch.ones(2, 2), torch.arange(2)).item() == pytest.approx(cross_entropy(1.0, False) / 2)
