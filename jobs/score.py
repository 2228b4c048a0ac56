"""Score every part of clips that a coincidence model has not scored: clips/00042 -> scores/<model>/00042."""

import shlex

from cluster.resources import SCORING
from jobs.console.options import Scorer, Session, with_session
from pipeline.formatting import format_counts


def score(session: Session, model: Scorer = "coincidence") -> None:
    """Score how well each clip's sound and picture belong together.

    Reads clips and models/<model>/. Writes the table scores: a probability and two embeddings per kept clip.

    Example: earshot score --root my_workspace
    """
    from pipeline.learners.loading import check_model
    from pipeline.selection.scoring import ScorePart
    from pipeline.storage.layout import CLIPS_FOLDER

    workspace, folder = session.workspace, f"scores/{model}"
    workspace.require(CLIPS_FOLDER)
    inputs = check_model(workspace, model, "coincidence")
    with session.begin(folder, {}, inputs):
        parts = workspace.pending(CLIPS_FOLDER, folder)
        counts = session.map(f"score {model}", ScorePart(workspace, model), parts, SCORING)
        if parts or not workspace.is_finished(folder):  # it may have been killed after its last part
            workspace.finish(folder)
        if counts["damaged"]:
            sql = "SELECT * FROM scores WHERE score IS NULL"
            print(f'score: damaged clips cannot be scored: earshot query --root {shlex.quote(workspace.root)} "{sql}"')
        session.done("score", format_counts(counts) or "nothing to do, every clip is scored", folder)


command = with_session(score)
