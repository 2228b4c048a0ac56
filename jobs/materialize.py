"""Copy a selection's kept clips into shuffled training shards: selections/<name> -> materialized/<name>."""

from cluster.resources import FILTERING
from jobs.console.options import Selection, Session, with_session
from pipeline.formatting import format_counts
from pipeline.hashing import hash_json


def materialize(session: Session, selection: Selection = "default") -> None:
    """Copy the kept clips of a selection into shuffled shards, for trainers that read tars in sequence.

    Reads the selection, its clips and videos. Writes materialized/<selection>/: tars of each split, in which clips of
    one video are far apart, and ATTRIBUTION.csv: title, author, licence, source and changes made of each video. And the
    table materialized. Ends with the audit of `earshot filter`.

    Example: earshot materialize --root my_workspace --selection strict
    """
    from pipeline.reports.attribution import write_attribution
    from pipeline.selection.leakage import audit, check_copies
    from pipeline.selection.materializing import MaterializePart, plan_shards

    folder, source = f"materialized/{selection}", f"selections/{selection}"
    session = session.resume(folder)
    workspace, config = session.workspace, session.config.materializing
    # the list of parts is an input: a selection that has grown is shuffled anew
    inputs = {source: workspace.stage(source)["hash"], f"{source} parts": hash_json(workspace.parts(source))}
    with session.begin(folder, {"materializing": config, "seed": session.seed}, inputs):
        plan = plan_shards(workspace, selection, config, session.seed)
        finished = set(workspace.parts(folder))
        shards = [shard for shard in plan.shards if shard not in finished]
        work = MaterializePart(workspace, selection, plan, session.seed)
        if withdrawn := check_copies(workspace, selection):
            found = f"has {withdrawn} clips that {source} refuses now: something else is declared of their videos."
            raise workspace.error(folder, found, "refused")
        counts = session.map(f"materialize {selection}", work, shards, FILTERING)
        if shards or not workspace.is_finished(folder):
            write_attribution(workspace, selection)  # before the shards count as complete
            workspace.finish(folder)
        note = f"{format_counts(counts)} in {len(shards)} shards" if shards else "nothing to do, every shard is written"
        if not plan.shards:
            note = "0 clips kept: no shards"
        session.done("materialize", f"{note}; {audit(workspace)}", folder)


command = with_session(materialize)
