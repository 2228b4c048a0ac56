"""Figures of models beside those of another model or workspace: what got better, what got worse, what cannot be told.

A figure changes beyond its interval if the other value lies outside the 95 % interval of this one. Without an interval
nothing is said: three examples more or less may be all the difference there is.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pipeline.evaluation.evaluating import VALIDATION
from pipeline.formatting import format_figure, format_number
from pipeline.learners import LEARNERS
from pipeline.metrics.directions import goodness
from pipeline.reports.headline_metrics import Figure

Verdict = Literal["better", "worse", "alike", "unknown"]
IDEALS = ("a copy", "a perfect", "perfect", "none")
"""Beginnings of baselines that no model exceeds."""


class Change(NamedTuple):
    """One figure of one model, beside the other's."""

    figure: Figure
    other: Figure
    verdict: Verdict
    """Of `figure`; unknown where it has no interval."""

    @property
    def value(self) -> str:
        """The figure with its interval, as text."""
        return format_figure(self.figure.value, self.figure.unit, self.figure.low, self.figure.high)

    @property
    def other_value(self) -> str:
        """The other's, with its interval, as text."""
        return format_figure(self.other.value, self.other.unit, self.other.low, self.other.high)


def against_baseline(figure: Figure) -> Verdict:
    """How a figure compares with its baseline; unknown too where that is what nothing exceeds."""
    if figure.baseline is None or figure.baseline_of.startswith(IDEALS):
        return "unknown"
    return verdict(figure, figure.baseline)


def verdict(figure: Figure, other: float | None) -> Verdict:
    """How a figure compares with another value of it."""
    if figure.value is None or other is None or figure.low is None or figure.high is None:
        return "unknown"
    if figure.low <= other <= figure.high:
        return "alike"
    is_better = goodness(figure.metric, figure.value) > goodness(figure.metric, other)
    return "better" if is_better else "worse"


def compare(figures: Sequence[Figure], others: Sequence[Figure], *, by_model: bool) -> list[Change]:
    """Each figure beside the same one of others.

    Args:
        figures: of this workspace.
        others: of one model, or of another workspace.
        by_model: whether to compare models of one name, as of two workspaces; else every model of the same learner.
    """
    known = {_key(other, by_model): other for other in others}
    changes = []
    for figure in figures:
        other = known.get(_key(figure, by_model))
        if other is not None and other is not figure and other.value is not None and figure.value is not None:
            changes.append(Change(figure, other, verdict(figure, other.value)))
    return changes


def _key(figure: Figure, by_model: bool) -> tuple[str, ...]:
    names = (figure.learner, figure.eval_set, figure.metric, figure.what if not figure.metric else "")
    return (figure.of, *names) if by_model else (figure.mixtures, *names)


class Cell(NamedTuple):
    """A model's value of a figure."""

    value: str
    verdict: Verdict
    """Against the baseline."""
    is_of_few: bool
    """Whether so few examples are behind it that it says little."""


class Row(NamedTuple):
    """A figure of one or several models."""

    what: str
    cells: list[Cell | None]
    """One for each model; None for a model without the figure."""
    baseline: str
    baseline_of: str
    n: str


class ModelTable(NamedTuple):
    """Models of one learner, side by side."""

    learner: str
    """Or what else the figures are of, such as labels."""
    about: str
    """What it learns."""
    models: list[str]
    rows: list[Row]

    @property
    def has_baseline(self) -> bool:
        """Whether any figure has one."""
        return any(row.baseline_of for row in self.rows)


def side_by_side(figures: Sequence[Figure], min_examples: int) -> list[ModelTable]:
    """A table for each learner, in the order in which the figures come, then for labels and selections.

    Figures of fewer examples than `min_examples` are of few; those of none are left out. Validation comes last.
    """
    groups: dict[str, list[Figure]] = {}
    shown = [figure for figure in figures if figure.n != 0]
    for figure in sorted(shown, key=lambda figure: (not figure.learner, figure.eval_set == VALIDATION)):
        groups.setdefault(figure.learner or figure.of, []).append(figure)
    tables = []
    for learner, found in groups.items():
        models = list(dict.fromkeys(figure.of for figure in found))
        by_row: dict[tuple[str, ...], dict[str, Figure]] = {}
        for figure in found:
            key = (figure.eval_set, figure.metric, figure.baseline_of, "" if figure.metric else figure.what)
            by_row.setdefault(key, {})[figure.of] = figure
        about = LEARNERS[learner].help if learner in LEARNERS else ""
        tables.append(ModelTable(learner, about, models, [_row(of, models, min_examples) for of in by_row.values()]))
    return tables


def _row(of_model: dict[str, Figure], models: list[str], min_examples: int) -> Row:
    first = next(iter(of_model.values()))
    cells = [_cell(of_model[model], min_examples) if model in of_model else None for model in models]
    counts = sorted({figure.n for figure in of_model.values() if figure.n is not None})
    baselines = dict.fromkeys(figure.cells()[2] for figure in of_model.values())  # of several models several
    return Row(
        first.what,
        cells,
        " / ".join(baselines),
        first.baseline_of,
        " to ".join(format_number(n) for n in dict.fromkeys((*counts[:1], *counts[-1:]))),
    )


def _cell(figure: Figure, min_examples: int) -> Cell:
    is_of_few = figure.n is not None and figure.n < min_examples
    return Cell(figure.cells()[1], against_baseline(figure), is_of_few)
