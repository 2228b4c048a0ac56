"""Freeze the evaluation sets: a selection and labels -> mixtures/<name>/on_mom-00000 and so on."""

from cluster.resources import MIXING
from jobs.console.options import Name, Selection, Session, with_session
from pipeline.formatting import format_counts


def mix(session: Session, name: Name = "default", selection: Selection = "default") -> None:
    """Freeze evaluation sets of held-out videos: on_single, off_single, on_mom and off_mom.

    Reads the selection and its clips. Writes mixtures/<name>/ (tars of examples) and the table mixtures.

    Example: earshot mix --root my_workspace --set mixing.max_examples=500
    """
    from pipeline.evaluation.mixing import EVAL_SETS, MixPart, plan_mixtures
    from pipeline.storage.layout import LABELS_FOLDER

    folder = f"mixtures/{name}"
    session = session.resume(folder)
    workspace, config = session.workspace, session.config.mixing
    workspace.require(f"selections/{selection}")
    inputs = {f"selections/{selection}": workspace.stage(f"selections/{selection}")["hash"]}
    with session.begin(folder, {"mixing": config, "seed": session.seed}, inputs):
        if workspace.is_finished(folder):
            session.done("mix", "nothing to do, the sets are frozen", folder)
            return
        label_source = None
        if workspace.has_stage(LABELS_FOLDER):
            label_source = workspace.stage(LABELS_FOLDER)["settings"]["labels"]
        planned = plan_mixtures(workspace, selection, config, session.seed, label_source)
        finished = set(workspace.parts(folder))
        parts = [part for part in planned if part not in finished]
        counts = session.map(f"mix {name}", MixPart(workspace, name, selection, config, planned), parts, MIXING)
        workspace.finish(folder)
        sizes = {name: sum(len(planned[part]) for part in planned if part.startswith(name)) for name in EVAL_SETS}
        empty = [name for name, size in sizes.items() if not size]
        note = f"; empty for want of {config.split} videos: {', '.join(empty)}" if empty else ""
        session.done("mix", f"{format_counts(counts)} ({format_counts(sizes)}){note}", folder)


command = with_session(mix)
