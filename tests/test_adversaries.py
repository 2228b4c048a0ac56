"""Gradient reversal by hand, both momentum rules; what the adversaries can see."""

import pytest
import torch

from pipeline.models.adversaries import (
    Adversaries,
    AdversariesConfig,
    GradientReversal,
    IdentityDiscriminator,
    ModalityClassifier,
)


def gradient_of(reversal: GradientReversal, rows: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    rows = rows.clone().requires_grad_()
    out = reversal(rows)
    assert torch.equal(out, rows)  # forward it is the identity
    out.backward(gradient)
    return rows.grad


@pytest.mark.parametrize("rule", ["coefficient", "gradient"])
def test_without_momentum_the_gradient_comes_back_reversed_and_scaled(rule: str) -> None:
    reversal = GradientReversal(3, strength=0.5, momentum=0.0, rule=rule)
    gradient = torch.tensor([[1.0, -2.0, 0.0], [4.0, 0.5, 8.0]])
    for _ in range(2):
        found = gradient_of(reversal, torch.randn(2, 3), gradient)
        torch.testing.assert_close(found, torch.tensor([[-0.5, 1.0, 0.0], [-2.0, -0.25, -4.0]]))


def test_a_moving_coefficient_rises_from_0_to_lambda() -> None:
    reversal = GradientReversal(1, strength=0.8, momentum=0.75, rule="coefficient")
    gradient = torch.ones(1, 1)
    # lambda_t = 0.75 lambda_(t-1) + 0.2: 0.2, 0.35, 0.4625
    for expected in (0.2, 0.35, 0.4625):
        assert gradient_of(reversal, torch.zeros(1, 1), gradient).item() == pytest.approx(-expected)
    for _ in range(60):
        last = gradient_of(reversal, torch.zeros(1, 1), gradient).item()
    assert last == pytest.approx(-0.8, rel=1e-5)


def test_a_moving_gradient_is_mixed_with_the_mean_of_those_before() -> None:
    reversal = GradientReversal(2, strength=0.5, momentum=0.75, rule="gradient")
    first = torch.tensor([[8.0, 0.0], [0.0, 4.0]])
    # g_1 = 0.25 of the gradient: [[2, 0], [0, 1]], of mean [1, 0.5]; -0.5 of it goes back
    found = gradient_of(reversal, torch.zeros(2, 2), first)
    torch.testing.assert_close(found, torch.tensor([[-1.0, 0.0], [0.0, -0.5]]))
    torch.testing.assert_close(reversal.mean_gradient, torch.tensor([1.0, 0.5]))
    # g_2 = 0.75 [1, 0.5] + 0.25 of [[4, 0], [0, 0]] = [[1.75, 0.375], [0.75, 0.375]]
    found = gradient_of(reversal, torch.zeros(2, 2), torch.tensor([[4.0, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[-0.875, -0.1875], [-0.375, -0.1875]]))
    torch.testing.assert_close(reversal.mean_gradient, torch.tensor([1.25, 0.375]))


@pytest.mark.parametrize("rule", ["coefficient", "gradient"])
def test_what_moves_is_kept_in_the_state_and_rests_in_evaluation(rule: str) -> None:
    reversal = GradientReversal(2, strength=1.0, momentum=0.5, rule=rule)
    gradient_of(reversal, torch.zeros(1, 2), torch.tensor([[1.0, 3.0]]))
    copy = GradientReversal(2, strength=1.0, momentum=0.5, rule=rule)
    copy.load_state_dict(reversal.state_dict())
    for each in (reversal, copy):
        each.eval()
        gradient_of(each, torch.zeros(1, 2), torch.tensor([[7.0, 7.0]]))
        each.train()
    again = [gradient_of(each, torch.zeros(1, 2), torch.tensor([[1.0, 1.0]])) for each in (reversal, copy)]
    assert torch.equal(*again)
    # a third step, of which the evaluation is none: 0.75 of the gradient; or 0.5 [0.5, 1.5] + 0.5 [1, 1]
    expected = [[-0.75, -0.75]] if rule == "coefficient" else [[-0.75, -1.25]]
    torch.testing.assert_close(again[0], torch.tensor(expected))


def test_one_backward_pass_teaches_the_adversary_and_misleads_the_encoder() -> None:
    torch.manual_seed(0)
    encoder, adversary = torch.nn.Linear(4, 4), torch.nn.Linear(4, 1)
    reversal = GradientReversal(4, strength=0.3, momentum=0.0, rule="coefficient")
    inputs = torch.randn(5, 4)
    plain = torch.autograd.grad(adversary(encoder(inputs)).square().mean(), [encoder.weight, adversary.weight])
    turned = torch.autograd.grad(
        adversary(reversal(encoder(inputs))).square().mean(), [encoder.weight, adversary.weight]
    )
    torch.testing.assert_close(turned[0], -0.3 * plain[0])
    torch.testing.assert_close(turned[1], plain[1])


def test_the_discriminator_is_symmetric_and_both_tell_apart_what_a_line_can() -> None:
    torch.manual_seed(0)
    discriminator = IdentityDiscriminator(6, 8)
    first, second = torch.randn(2, 5, 6)
    torch.testing.assert_close(discriminator(first, second), discriminator(second, first))
    classifier = ModalityClassifier(6, 8)
    optimiser = torch.optim.Adam(classifier.parameters(), 0.05)
    rows = torch.nn.functional.normalize(torch.randn(200, 6), dim=1)
    is_lips = (rows[:, 0] > 0).float()
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(classifier(rows), is_lips)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert ((classifier(rows) > 0) == is_lips.bool()).float().mean() > 0.95


def test_segments_of_clips_are_means_of_their_frames_and_a_pair_is_row_by_column() -> None:
    torch.manual_seed(0)
    adversaries = Adversaries(AdversariesConfig(), 3)
    lips = torch.randn(2, 8, 3)
    found = adversaries.identity_log_odds(lips)
    segments = [clip[2 * number : 2 * number + 2].mean(dim=0) for clip in lips for number in range(4)]
    assert found.shape == (8, 8)
    for row in range(8):
        for column in range(8):
            first, second = (segments[place] / segments[place].norm() for place in (row, column))
            torch.testing.assert_close(found[row, column], adversaries.identity(first, second))
    assert adversaries.identity_log_odds(lips[:, :3]).shape == (6, 6)  # three frames are three segments


def test_an_adversary_without_weight_has_no_parameters() -> None:
    nobody = Adversaries(AdversariesConfig(identity_weight=0.0, modality_weight=0.0), 8)
    assert list(nobody.parameters()) == list(nobody.buffers()) == []
    one = Adversaries(AdversariesConfig(identity_weight=0.0), 8)
    assert {name.split(".")[0] for name in one.state_dict()} == {"modality", "modality_reversal"}
