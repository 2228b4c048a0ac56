"""Evaluate a separation model on frozen sets, and its coincidence model on held-out pairs -> reports/run=<model>/."""

from typing import Annotated

from cluster.resources import EVALUATING
from jobs.progress import tell
from jobs.session import Address, Preset, Root, Seed, Session, Set, named, open_session
from pipeline.evaluating import (
    EvaluatePart,
    commit_summary,
    load_model,
    report_folder,
    summarise_coincidence,
    summarise_separation,
)


def evaluate(session: Session, model: str, mixtures: str, coincidence: str) -> None:
    """Evaluate the parts that have no rows yet, then both models' summaries."""
    workspace, config, folder = session.workspace, session.config, f"mixtures/{mixtures}"
    workspace.require(folder, "earshot mix")
    load_model(workspace, model, "separation")
    sources = (folder, f"models/{model}")
    inputs = {source: workspace.stage(source)["hash"] for source in sources}
    report = f"reports/run={model}"
    with session.begin(report, config.evaluating, inputs):
        if workspace.is_finished(report):
            session.done("evaluate", "nothing to do, the report is there", report)
            return
        parts = workspace.pending(folder, report_folder(model, "examples"))
        counts = session.map(
            f"evaluate {model}", EvaluatePart(workspace, model, mixtures, config.evaluating), parts, EVALUATING
        )
        commit_summary(workspace, model, summarise_separation(workspace, model))
        if workspace.has_stage(f"scores/{coincidence}"):
            rows = summarise_coincidence(workspace, coincidence, config.splitting, session.seed)
            commit_summary(workspace, coincidence, rows)
        workspace.finish(report)
        session.done("evaluate", tell(counts), report)


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

    Reads models/<model>/ and mixtures/<mixtures>/. Writes reports/run=<model>/: one row per example, one per separated
    source, and a summary.

    Example: earshot evaluate --root my_workspace
    """
    evaluate(open_session(root, preset, settings, seed, address), model, mixtures, coincidence)
