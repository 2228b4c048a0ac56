"""Evaluate models as their learners say: frozen sets, or scores -> reports/model=<model>/."""

from typing import TYPE_CHECKING, Annotated

from cluster.resources import EVALUATING
from jobs.console.options import Session, named, with_session
from jobs.console.remedies import explain
from pipeline.formatting import format_counts, format_figure

if TYPE_CHECKING:
    from schemas.reports import SummaryRow


def evaluate(
    session: Session,
    model: Annotated[str | None, named("Name of the model. Default: every trained one.")] = None,
    mixtures: Annotated[str, named("Name of the frozen sets, for models that are evaluated on them.")] = "default",
) -> None:
    """Measure the models on held-out clips.

    Reads models/<model>/ and what its learner is evaluated on: for separation mixtures/<mixtures>/ (SI-SNR, off-screen
    suppression, AUC-ROC), or where it learnt from sounds alone sums of held-out sounds (SI-SNR improvement), for
    coincidence the scores of all clips (match AUC), for events features and spans of held-out clips (segment accuracy),
    for segmentation held-out clips with masks (mIoU).
    Writes the tables summary, and the rows that it is made of.

    Example: earshot evaluate --root my_workspace
    """
    from pipeline.learners.loading import trained_models

    models = [model] if model else [name for name in trained_models(session.workspace) if _has_verdicts(session, name)]
    if not models:
        raise session.workspace.error("models/NAME", "no trained model.")
    for name in models:
        _evaluate(session, name, mixtures)


def _has_verdicts(session: Session, model: str) -> bool:
    """False for a separator that learnt from a selection's sound alone: nothing has taught it what is on screen."""
    settings = session.workspace.stage(f"models/{model}")["settings"].get("separation", {})
    return settings.get("phase") != "audio" or settings.get("audio_from") != "selection"


def _evaluate(session: Session, model: str, mixtures: str) -> None:
    """Evaluate the parts that have no rows yet, then write the summary; again where there is more to summarise."""
    from pipeline.evaluation.evaluating import commit_summary
    from pipeline.learners.loading import find_entry, learner_of

    workspace = session.workspace
    kind = find_entry(learner_of(workspace, model)).evaluation_of(workspace.stage(f"models/{model}")["settings"])
    report = kind(workspace, model, mixtures).stage
    session = session.resume(report)
    evaluation = kind(workspace, model, mixtures, session.seed)
    if folder := evaluation.missing():
        print(f"evaluate {model}: {explain(workspace.error(folder, 'not complete.'), 'evaluate')}")
        return
    facts, inputs = evaluation.facts(), evaluation.inputs()
    with session.begin(report, evaluation.settings(), inputs, needs_ray=bool(evaluation.pending())):
        if workspace.is_finished(report) and facts.items() <= workspace.stage(report).items():
            session.done(f"evaluate {model}", "nothing to do, the report is there", report)
            return
        label = report.replace("/", " ").replace("reports", "evaluate")
        counts = session.map(label, evaluation, evaluation.pending(), EVALUATING)
        rows = evaluation.summarise()
        commit_summary(evaluation, rows, inputs)
        workspace.finish(report, **facts)
        found = {(row["eval_set"], row["metric"]): row for row in rows if row["value"] is not None}
        text = [format_counts(counts)] if counts else []
        text += [_say(found[of, metric]) for of, metric, *_ in evaluation.headlines if (of, metric) in found][:1]
        session.done(f"evaluate {model}", ", ".join(text) or "too few clips: nothing to compare", report)


def _say(row: "SummaryRow") -> str:
    value = format_figure(row["value"], row["unit"], row["low"], row["high"])
    return f"{row['metric']} {value} of {row['n']} ({row['eval_set']})"


command = with_session(evaluate)
