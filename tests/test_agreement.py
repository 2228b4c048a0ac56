"""Fleiss' kappa against worked examples and plain counting of pairs."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from pipeline.metrics.agreement import fleiss_kappa

# Fourteen raters put ten subjects into five categories: the worked example most often printed with the formula, with
# observed agreement 0.378, agreement by chance 0.213 and kappa 0.210. (Fleiss's own patients of 1971 give 0.430.)
WORKED = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)


def test_the_worked_example_of_ten_subjects_gives_its_three_numbers() -> None:
    found = fleiss_kappa(WORKED)
    assert round(found.observed, 3) == 0.378
    assert round(found.by_chance, 3) == 0.213
    assert round(found.kappa, 3) == 0.210
    assert found.num_items == 10


def counted(counts: np.ndarray) -> tuple[Fraction, Fraction]:
    """Observed agreement and that by chance, from the votes one by one."""
    agreeing, votes = [], []
    for row in counts:
        said = [category for category, count in enumerate(row) for _ in range(count)]
        if len(said) > 1:
            pairs = list(itertools.combinations(said, 2))
            agreeing.append(Fraction(sum(a == b for a, b in pairs), len(pairs)))
            votes += said
    shares = [Fraction(votes.count(category), len(votes)) for category in set(votes)]
    return sum(agreeing, Fraction()) / len(agreeing), sum((share**2 for share in shares), Fraction())


@pytest.mark.parametrize("seed", range(5))
def test_items_of_different_numbers_of_raters_agree_with_counting_pairs(seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 4, size=(12, 4))
    observed, by_chance = counted(counts)
    found = fleiss_kappa(counts)
    assert found.observed == pytest.approx(float(observed))
    assert found.by_chance == pytest.approx(float(by_chance))
    assert found.kappa == pytest.approx(float((observed - by_chance) / (1 - by_chance)))


def test_raters_who_always_agree_have_kappa_one_and_those_who_never_do_less_than_zero() -> None:
    assert fleiss_kappa(np.array([[3, 0], [0, 2], [4, 0]])).kappa == pytest.approx(1)
    assert fleiss_kappa(np.array([[1, 1], [1, 1]])).kappa == pytest.approx(-1)


def test_raters_who_guess_have_kappa_zero() -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(3, [0.5, 0.3, 0.2], size=20_000)
    assert fleiss_kappa(counts).kappa == pytest.approx(0, abs=0.02)


def test_an_item_of_one_rater_changes_nothing() -> None:
    assert fleiss_kappa(np.concatenate([WORKED, np.eye(5, dtype=int), np.zeros((1, 5), int)])) == fleiss_kappa(WORKED)


@pytest.mark.parametrize("counts", [np.zeros((0, 4), int), np.eye(4, dtype=int), np.array([[3, 0], [2, 0]])])
def test_where_nothing_can_be_said_kappa_is_no_number(counts: np.ndarray) -> None:
    assert np.isnan(fleiss_kappa(counts).kappa)


@pytest.mark.parametrize("counts", [np.zeros(3), np.array([[-1, 2]]), np.array([[0.5, 2]])])
def test_what_is_no_table_of_counts_is_refused(counts: np.ndarray) -> None:
    with pytest.raises(ValueError, match="counts: "):
        fleiss_kappa(counts)
