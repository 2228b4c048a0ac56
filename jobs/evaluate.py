"""Evaluate a separation model on frozen sets, and its coincidence model on held-out pairs -> reports/model=<model>/."""

from typing import Annotated

from cluster.resources import EVALUATING
from jobs.console.options import Address, Preset, Root, Seed, Set, named
from jobs.console.session import Session, open_session
from pipeline.clips.splitting import SplittingConfig, duplicate_groups
from pipeline.config import from_dict
from pipeline.evaluation.evaluating import EvaluatePart, commit_summary, summarise_coincidence, summarise_separation
from pipeline.formatting import format_counts
from pipeline.hashing import hash_json
from pipeline.learners import check_model
from pipeline.storage.workspace import CLIPS_FOLDER, report_folder


def evaluate(session: Session, model: str, mixtures: str, coincidence: str) -> None:
    """Evaluate both models, as far as their reports are not there."""
    evaluate_separation(session, model, mixtures)
    evaluate_coincidence(session, coincidence)


def evaluate_separation(session: Session, model: str, mixtures: str) -> None:
    """Evaluate the parts that have no rows yet, then write the summary."""
    workspace, folder, report = session.workspace, f"mixtures/{mixtures}", f"reports/model={model}"
    workspace.require(folder)
    inputs = {folder: workspace.stage(folder)["hash"]} | check_model(workspace, model, "separation")
    with session.begin(report, {}, inputs):
        if workspace.is_finished(report):
            session.done("evaluate", "nothing to do, the report is there", report)
            return
        parts = workspace.pending(folder, report_folder(model, "examples"))
        counts = session.map(f"evaluate {model}", EvaluatePart(workspace, model, mixtures), parts, EVALUATING)
        commit_summary(workspace, model, summarise_separation(workspace, model))
        workspace.finish(report)
        session.done("evaluate", format_counts(counts), report)


def evaluate_coincidence(session: Session, model: str) -> None:
    """Write the summary of all clips' scores, again where there are more of them, or other duplicates, than before."""
    workspace, folder, report = session.workspace, f"scores/{model}", f"reports/model={model}"
    if not workspace.has_stage(folder) or workspace.pending(CLIPS_FOLDER, folder):
        print(f"evaluate: no summary of {model}: not all clips have its scores. Run `earshot score --model {model}`.")
        return
    session = session.resume(report)
    seen = hash_json([workspace.parts(folder), sorted(duplicate_groups(workspace).items())])
    # what is held out is what the model was not trained on, whatever the root's settings are by now
    config = from_dict(SplittingConfig, workspace.stage(f"models/{model}")["settings"]["splitting"])
    inputs = {folder: workspace.stage(folder)["hash"]}
    with session.begin(report, {"splitting": config, "seed": session.seed}, inputs):
        if workspace.stage(report).get("seen") == seen:
            session.done("evaluate", "nothing to do, the summary is there", report)
            return
        rows = summarise_coincidence(workspace, model, config, session.seed)
        commit_summary(workspace, model, rows)
        workspace.finish(report, seen=seen)
        told = [f"{row['metric']} {row['value']:.3g} of {row['n']} pairs" for row in rows if row["value"] is not None]
        session.done("evaluate", ", ".join(told) or "fewer than two test videos: nothing to compare", report)


def command(
    root: Root,
    model: Annotated[str, named("Name of the separation model.")] = "separation",
    mixtures: Annotated[str, named("Name of the frozen sets.")] = "default",
    coincidence: Annotated[str, named("Coincidence model to summarise beside it.")] = "coincidence",
    preset: Preset = None,
    settings: Set = None,
    seed: Seed = None,
    address: Address = None,
) -> None:
    """Measure a separation model: SI-SNR, off-screen suppression and AUC-ROC on the frozen sets.

    Reads models/<model>/ and mixtures/<mixtures>/. Writes reports/model=<model>/: one row per example, one per
    separated source, and a summary. Where all clips have scores/<coincidence>/, also reports/model=<coincidence>/: how
    well that model tells a held-out clip's own sound from another's.

    Example: earshot evaluate --root my_workspace
    """
    evaluate(open_session(root, preset, settings, seed, address), model, mixtures, coincidence)
