"""Score every part of clips that a coincidence model has not scored: clips/00042 -> scores/<model>/00042."""

from cluster.resources import SCORING
from jobs.progress import tell
from jobs.session import Address, Preset, Root, Scorer, Seed, Session, Set, open_session
from pipeline.artifacts import CLIPS_FOLDER
from pipeline.evaluating import load_model
from pipeline.scoring import ScorePart


def score(session: Session, model: str) -> None:
    """Score the parts that have no scores yet."""
    workspace, config, folder = session.workspace, session.config.scoring, f"scores/{model}"
    workspace.require(CLIPS_FOLDER, "earshot shard --collection C")
    learner, _ = load_model(workspace, model, "coincidence")
    inputs = {f"models/{model}": workspace.stage(f"models/{model}")["hash"]}
    with session.begin(folder, config, inputs):
        parts = workspace.pending(CLIPS_FOLDER, folder)
        counts = session.map(f"score {model}", ScorePart(workspace, model, learner, config), parts, SCORING)
        if parts:
            workspace.finish(folder)
        session.done("score", tell(counts) or "nothing to do, every clip is scored", folder)


def command(
    root: Root,
    model: Scorer = "coincidence",
    preset: Preset = None,
    settings: Set = None,
    seed: Seed = None,
    address: Address = None,
) -> None:
    """Score how well each clip's sound and picture belong together.

    Reads clips/ and models/<model>/. Writes scores/<model>/: a probability and two embeddings per kept clip.

    Example: earshot score --root my_workspace
    """
    score(open_session(root, preset, settings, seed, address), model)
