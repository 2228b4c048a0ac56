"""Scoring clips while others are cut: a worker that has cut a part hands it on at once."""

import collections
import contextlib
import dataclasses
from collections.abc import Iterator

from cluster.following import Follow
from cluster.resources import SCORING
from jobs.console.options import Session
from pipeline.formatting import format_counts


@contextlib.contextmanager
def score_while_cutting(session: Session, model: str = "coincidence") -> Iterator[Session]:
    """The session with which to cut so that clips are scored as they are cut; the given one where the model is not yet.

    The scores are those that `score` would write, and what is left is left to it.
    """
    from jobs.console.metering import Metered
    from jobs.console.reporting_waits import ReportingWaits
    from pipeline.learners.loading import check_model, rebuild
    from pipeline.selection.scoring import ScorePart

    workspace, folder = session.workspace, f"scores/{model}"
    if not workspace.is_finished(f"models/{model}"):
        print(f"score: no trained model {model} yet; clips are scored once it is trained", flush=True)
        yield session
        return
    if rebuild(workspace, model, "coincidence").vector_columns:
        print(f"score: model {model} is of imported vectors; clips are scored once these are imported", flush=True)
        yield session
        return
    counts: collections.Counter[str] = collections.Counter()
    work = ReportingWaits(Metered(workspace, f"score-{model}", ScorePart(workspace, model)))
    with session.begin(folder, {}, check_model(workspace, model, "coincidence")):
        follow = Follow(work, SCORING, counts.update, frozenset(workspace.parts(folder)))
        yield dataclasses.replace(session, follow=follow, stages=[])
    if counts:
        session.done("score", f"{format_counts(counts)}, while others were cut", folder)
