"""The figures that a report shows first, each beside a baseline: chance, or the untouched mixture.

An AUC of 0.7 means little without chance at 0.5. A model's figures and baselines are the `headlines` of its learner's
evaluation: those of held-out videos come from `summary`, those of validation from the model's record, so they are there
as soon as it is trained. The figures of labelling and selecting come from those stages' records.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.evaluation.evaluating import VALIDATION
from pipeline.formatting import format_figure, format_number
from pipeline.learners import LEARNERS
from pipeline.storage.layout import NO_MIXTURES


class Figure(NamedTuple):
    """One line of the console's table."""

    of: str
    """A model's name, `labels`, or a selection."""
    what: str
    value: float | None
    unit: str
    baseline: float | None
    baseline_of: str
    n: int | None
    low: float | None = None
    """Bounds of the value's 95 % interval."""
    high: float | None = None
    learner: str = ""
    """Of a model's figure; where it is from: mixtures, eval_set and metric of `summary`."""
    mixtures: str = ""
    eval_set: str = ""
    metric: str = ""

    def cells(self) -> tuple[str, str, str, str, str]:
        """What, value with unit and interval, baseline with unit, whose baseline, n: as text."""
        value = format_figure(self.value, self.unit, self.low, self.high)
        baseline = format_figure(self.baseline, self.unit)
        return self.what, value, baseline, self.baseline_of, "" if self.n is None else format_number(self.n)


def list_figures(summary: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Every figure that is there, in the order in which the stages began.

    Args:
        summary: rows of the table `summary`.
        stages: each stage's record, by the time it began.
    """
    return [figure for stage in stages for figure in _of_stage(stage, summary)]


def column_titles() -> dict[str, str]:
    """Title of each metric's column in the table of all figures, in order."""
    kinds = [kind for entry in LEARNERS.values() for kind in reversed(entry.evaluations())]
    return {metric: title for kind in kinds for metric, title in kind.columns.items()}


def _of_stage(stage: Mapping[str, Any], summary: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    kind, _, name = stage["stage"].partition("/")
    if kind == "models" and stage["settings"]["learner"] in LEARNERS:
        validated = stage.get("figures", {}).items()
        rows = [{"eval_set": VALIDATION, "metric": m, "value": v, "unit": "1", "n": None} for m, v in validated]
        yield from _of_model(name, stage["settings"]["learner"], "", rows)
        for mixtures in dict.fromkeys(row["mixtures"] for row in summary if row["model"] == name):
            rows = [dict(row) for row in summary if (row["model"], row["mixtures"]) == (name, mixtures)]
            on = "" if mixtures in ("default", NO_MIXTURES) else f" on {mixtures}"
            yield from _of_model(f"{name}{on}", stage["settings"]["learner"], mixtures, rows)
    if kind == "labels" and "num_kept" in stage:
        coverage = stage["num_judged"] / max(stage["num_kept"], 1)
        conflicts = stage["num_conflicts"] / max(stage["num_judged"], 1)
        yield Figure("labels", "kept clips that people judged", coverage, "1", None, "", stage["num_kept"])
        yield Figure("labels", "judged clips on which they disagree", conflicts, "1", None, "", stage["num_judged"])
        what = "agreement of clips judged twice, Fleiss kappa"
        yield Figure("labels", what, stage["fleiss_kappa"], "1", 0.0, "chance", stage["num_rated_twice"])
    if kind == "selections" and "reasons" in stage:
        count = sum(stage["reasons"].values())
        kept = stage["reasons"].get("kept", 0) / max(count, 1)
        yield Figure(f"selection {name}", "clips kept, of all that were planned", kept, "1", None, "", count)


def _of_model(of: str, learner: str, mixtures: str, rows: list[dict[str, Any]]) -> Iterator[Figure]:
    """The headlines of its learner that are among the rows."""
    headlines = [headline for kind in LEARNERS[learner].evaluations() for headline in kind.headlines]
    of_all = {(row["eval_set"], row["metric"]): row["value"] for row in rows}
    for eval_set, metric, text, baseline, baseline_of in headlines:
        found = {row["metric"]: row for row in rows if row["eval_set"] == eval_set}
        if metric in found:
            values = {name: row["value"] for name, row in found.items()}
            beside = baseline(values | of_all) if callable(baseline) else baseline
            row = found[metric]
            what, interval = text.format(**values), (row.get("low"), row.get("high"))
            place = (learner, mixtures, eval_set, metric)
            yield Figure(of, what, row["value"], row["unit"], beside, baseline_of, row["n"], *interval, *place)
