"""Decide which clips belong to a selection: clips, scores and labels 00042 -> selections/<name>/00042."""

from cluster.resources import FILTERING
from jobs.progress import tell
from jobs.session import Address, Name, Preset, Root, Scorer, Seed, Session, Set, open_session
from pipeline.artifacts import CLIPS_FOLDER, LABELS_FOLDER
from pipeline.filtering import FilterPart, lowest_score


def select(session: Session, name: str, model: str) -> None:
    """Decide on the parts that have no decisions yet."""
    workspace, config, folder = session.workspace, session.config, f"selections/{name}"
    workspace.require(f"scores/{model}", "earshot score")
    sources = [CLIPS_FOLDER, f"scores/{model}"]
    has_labels = workspace.has_stage(LABELS_FOLDER)
    if has_labels:
        sources.append(LABELS_FOLDER)
    inputs = {source: workspace.stage(source)["hash"] for source in sources}
    with session.begin(folder, {"filtering": config.filtering, "splitting": config.splitting}, inputs):
        parts = workspace.pending(f"scores/{model}", folder)
        # of the first run: a collection that grows is judged by one threshold, not by one per night
        known = workspace.stage(folder).get("lowest_score")
        lowest = known if known is not None else lowest_score(workspace, model, config.filtering)
        work = FilterPart(workspace, name, model, config.filtering, config.splitting, lowest, has_labels)
        counts = session.map(f"filter {name}", work, parts, FILTERING)
        if parts:
            workspace.finish(folder, lowest_score=lowest)
        session.done("filter", tell(counts) or "nothing to do, every clip is decided", folder)


def command(
    root: Root,
    name: Name = "default",
    model: Scorer = "coincidence",
    preset: Preset = None,
    settings: Set = None,
    seed: Seed = None,
    address: Address = None,
) -> None:
    """Decide which clips train and evaluate the next model.

    Reads clips/, scores/<model>/ and labels/ if there are any. Writes selections/<name>/: for every clip whether it is
    kept, the first rule that refused it, and its split.

    Example: earshot filter --root my_workspace --name strict --set filtering.min_score=0.9
    """
    select(open_session(root, preset, settings, seed, address), name, model)
