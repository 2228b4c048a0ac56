"""On-screen losses equal their definitions, enumerated over the power set of the positive labels."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.onscreen_cross_entropy import (
    active_combinations_cross_entropy,
    exact_cross_entropy,
    multiple_instance_cross_entropy,
)

Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: list[Loss] = [exact_cross_entropy, multiple_instance_cross_entropy, active_combinations_cross_entropy]


def draw(num_sources: int, spread: float = 3.0, batch: int = 64) -> tuple[Tensor, Tensor]:
    """Logits [B, S] in float64, labels [B, S]; the first row has no positive, the second no negative."""
    generator = torch.Generator().manual_seed(num_sources)
    logits = spread * torch.randn(batch, num_sources, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 2, (batch, num_sources), generator=generator)
    labels[0], labels[1] = 0, 1
    return logits, labels


def cost(logits: Tensor, on: set[int], off: set[int]) -> Tensor:
    """-sum log p over `on` - sum log(1 - p) over `off`, from probabilities."""
    p = torch.sigmoid(logits)
    return -sum((torch.log(p[m]) for m in on), torch.zeros(())) - sum(
        (torch.log(1 - p[m]) for m in off), torch.zeros(())
    )


def enumerated(logits: Tensor, labels: Tensor, kind: Loss) -> Tensor:
    """The minimum over labellings that the loss allows, [B], by trying each."""
    rows = []
    for row, label in zip(logits, labels, strict=True):
        positive = set(torch.nonzero(label).flatten().tolist())
        everything = set(range(len(row)))
        negative = everything - positive
        if not positive or kind is exact_cross_entropy:
            options = [cost(row, positive, negative)]
        elif kind is multiple_instance_cross_entropy:
            options = [cost(row, {m}, negative) for m in positive]
        else:
            parts = (set(p) for n in range(1, len(positive) + 1) for p in itertools.combinations(positive, n))
            options = [cost(row, part, everything - part) for part in parts]
        rows.append(torch.stack(options).min())
    return torch.stack(rows)


@pytest.mark.parametrize("num_sources", [1, 2, 4, 6])
@pytest.mark.parametrize("loss", LOSSES)
def test_value_and_gradient_equal_the_enumerated_definition(loss: Loss, num_sources: int) -> None:
    logits, labels = draw(num_sources)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    value, expected = loss(ours, labels), enumerated(theirs, labels, loss)
    assert value.shape == (len(logits),)
    assert torch.allclose(value, expected, atol=1e-10)
    value.sum().backward()
    expected.sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-8)


def test_exact_loss_is_torch_binary_cross_entropy() -> None:
    logits, labels = draw(4)
    expected = F.binary_cross_entropy_with_logits(logits, labels.double(), reduction="none").sum(-1)
    assert torch.allclose(exact_cross_entropy(logits, labels), expected)


def test_believing_less_never_costs_more() -> None:
    logits, labels = draw(6)
    exact, instance, active = (loss(logits, labels) for loss in LOSSES)
    assert (instance <= active + 1e-12).all()
    assert (active <= exact + 1e-12).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_without_positives_every_source_is_pushed_off_screen(loss: Loss) -> None:
    logits = torch.tensor([[0.0, 2.0, -1.0]], requires_grad=True)
    value = loss(logits, torch.zeros(1, 3))
    value.backward()
    assert value.item() == pytest.approx(sum(math.log1p(math.exp(z)) for z in (0.0, 2.0, -1.0)), rel=1e-6)
    assert logits.grad is not None
    assert (logits.grad > 0).all()


def test_undecided_positives_are_all_switched_on_by_active_combinations() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    active_combinations_cross_entropy(logits, torch.tensor([[1, 1, 0]])).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[-0.5, -0.5, 0.5]]


def test_of_improbable_positives_only_the_best_is_switched_on() -> None:
    logits = torch.tensor([[-1.0, -3.0, -2.0]], requires_grad=True)
    active_combinations_cross_entropy(logits, torch.tensor([[1, 1, 1]])).backward()
    assert logits.grad is not None
    assert (logits.grad.sign() == torch.tensor([[-1.0, 1.0, 1.0]])).all()


def test_sources_that_multiple_instance_leaves_free_get_no_gradient() -> None:
    logits = torch.tensor([[2.0, 5.0, -1.0, 0.5]], requires_grad=True)
    multiple_instance_cross_entropy(logits, torch.tensor([[1, 1, 1, 0]])).backward()
    assert logits.grad is not None
    assert (logits.grad == 0).tolist() == [[True, False, True, False]]


@pytest.mark.parametrize("loss", LOSSES)
def test_huge_logits_cost_their_size_and_nothing_overflows(loss: Loss) -> None:
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    value = loss(logits, torch.tensor([[1, 0], [1, 0]]))
    value.sum().backward()
    assert value.tolist() == [0.0, 2e4]
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_autocast_and_half_precision_logits_are_computed_in_fp32(loss: Loss) -> None:
    logits, labels = draw(4)
    logits = logits.bfloat16()
    expected = loss(logits.float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(logits, labels.bool())
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_that_do_not_fit_are_refused(loss: Loss) -> None:
    for logits, labels in (((2, 3), (2, 4)), ((3,), (3,)), ((2, 0), (2, 0))):
        with pytest.raises(ValueError, match="expected the same"):
            loss(torch.zeros(logits), torch.zeros(labels))
