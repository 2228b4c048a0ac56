"""The report's first sentences: what happened, what the models reach, which of several is better, what to do next.

Comes in: rows of the queries OVERVIEW, figures, findings. Goes out: sentences, each with the number it is about.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.evaluation.evaluating import VALIDATION
from pipeline.formatting import format_hours, format_number
from pipeline.metrics.directions import goodness
from pipeline.reports.comparing import IDEALS, against_baseline, verdict
from pipeline.reports.headline_metrics import Figure
from pipeline.reports.overview import Finding, Rows, share

MAX_FIGURES = 2  # of a model, each of another evaluation set
# What a workspace has once all is done: the query that finds it, and what makes it.
STEPS = {
    "training": "Train a model: the clips are cut and no model has seen them.",
    "scores": "Score the clips: how well sound and picture of each belong together is not known yet.",
    "chosen": "Select clips: no rule has kept or refused any yet.",
    "summary": "Evaluate the models on held-out videos: what is known of them comes from training alone.",
}


class InShort(NamedTuple):
    """Sentences of the first screen."""

    happened: list[str]
    next_steps: list[str]


def write_in_short(rows: Rows, figures: Sequence[Figure], findings: Sequence[Finding]) -> InShort:
    """What happened, what the models reach, and what to do next."""
    models = list(_of_models(figures))
    return InShort([*_of_data(rows), *models], list(_next_steps(rows, figures, findings)))


def _of_data(rows: Rows) -> Iterator[str]:
    for corpus in rows["corpus"]:
        if not corpus["num_videos"]:
            yield "No video has been read yet."
            return
        length = f" ({format_hours(corpus['hours'])})" if corpus["hours"] else ""
        gave = [f"{format_number(cut['num_kept'])} clips of the spec {cut['spec']}" for cut in rows["cut"]]
        videos = f"{format_number(corpus['num_videos'])} video{'s' * (corpus['num_videos'] != 1)}{length}"
        yield f"{videos} gave {' and '.join(gave) or 'no clips'}."
    for chosen in rows["chosen"]:
        kept = f"{format_number(chosen['num_kept'])} of them, {share(chosen['num_kept'], chosen['num_clips'])}"
        yield f"The selection “{chosen['selection']}” keeps {kept}, for the next model to learn from."


def _of_models(figures: Sequence[Figure]) -> Iterator[str]:
    """A sentence for each model, and one for models of a learner that can be compared."""
    by_group: dict[tuple[str, str], dict[str, list[Figure]]] = {}
    for figure in figures:
        if _is_held_out(figure):
            by_group.setdefault((figure.learner, figure.mixtures), {}).setdefault(figure.of, []).append(figure)
    for models in by_group.values():
        for of, found in models.items():
            firsts = {figure.eval_set: figure for figure in reversed(found)}  # the first of each set stays
            shown = [figure for figure in found if firsts[figure.eval_set] is figure][:MAX_FIGURES]
            yield f"The model “{of}”: {'; '.join(map(_beside_baseline, shown))}."
        if len(models) > 1:
            yield _best_of([found[0] for found in models.values()])
    known = {figure.of for models in by_group.values() for found in models.values() for figure in found}
    validated = {figure.of: figure for figure in reversed(figures) if figure.eval_set == VALIDATION}
    for of, figure in reversed(validated.items()):
        if of not in known:
            yield f"The model “{of}” has not been evaluated on held-out videos yet. {_beside_baseline(figure)}."


def _is_held_out(figure: Figure) -> bool:
    """Whether it is of a model on held-out videos, beside a baseline that can be exceeded."""
    has_both = figure.value is not None and figure.baseline is not None
    is_of_model = bool(figure.learner) and figure.eval_set != VALIDATION
    return is_of_model and has_both and not figure.baseline_of.startswith(IDEALS)


def _beside_baseline(figure: Figure) -> str:
    what, value, baseline, baseline_of, _ = figure.cells()
    said = {
        "better": f"better than the baseline, {baseline} ({baseline_of})",
        "worse": f"worse than the baseline, {baseline} ({baseline_of})",
        "alike": f"which cannot be told from the baseline, {baseline} ({baseline_of})",
        "unknown": f"the baseline is {baseline} ({baseline_of})",
    }
    return f"{what}: {value}, {said[against_baseline(figure)]}"


def _best_of(figures: Sequence[Figure]) -> str:
    """Which of several models is best by the first figure of each."""
    best, second, *_ = sorted(figures, key=_badness)
    values = f"{best.what[:1].upper()}{best.what[1:]}: {best.cells()[1]} against {second.cells()[1]}"
    found = verdict(best, second.value)
    if found == "better":
        return f"The best is “{best.of}”: next is “{second.of}”, behind by more than the interval. {values}."
    why = "there is no interval" if found == "unknown" else "the difference is within the interval"
    return f"Which is best cannot be told: “{best.of}” is ahead of “{second.of}”, but {why}. {values}."


def _badness(figure: Figure) -> float:
    return -goodness(figure.metric, figure.value or 0.0)


def _next_steps(rows: Rows, figures: Sequence[Figure], findings: Sequence[Finding]) -> Iterator[str]:
    missing = next((text for of, text in STEPS.items() if not rows[of]), None)
    if findings:
        yield "Read what needs a look, from its first line on: the worst is first."
    if missing:
        yield missing
    elif figures:
        yield "Look at and listen to the worst examples: they show what the figures are about."
        firsts = {(figure.learner, figure.of): figure for figure in reversed(list(filter(_is_held_out, figures)))}
        best: dict[str, Figure] = {}
        for figure in sorted(firsts.values(), key=_badness):
            if against_baseline(figure) == "better":
                best.setdefault(figure.learner, figure)
        if best:
            yield f"Try {' and '.join(figure.of for figure in best.values())} on videos of your own."
