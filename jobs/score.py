"""Score every part of clips that a coincidence model has not scored: clips/00042 -> scores/<model>/00042."""

from typing import Annotated

import typer

from cluster.resources import SCORING
from jobs.console.options import SPECS, Scorer, Session, one_of, with_session
from jobs.console.remedies import query_command
from pipeline.errors import ConfigError
from pipeline.formatting import format_counts


def score(
    session: Session,
    model: Scorer = "coincidence",
    scorer: Annotated[
        str | None,
        typer.Option(metavar="MODULE:CLASS", help="A class of your own, which scores in place of the model."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="With --scorer: of the imported table that it makes.")] = None,
    clips: Annotated[
        str | None,
        typer.Option(
            help=f"With --scorer: clip spec of the clips: {', '.join(SPECS)}. Default: base.",
            callback=one_of("--clips", SPECS),
        ),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Option(
            "--with", metavar="NAME=VALUE", help="With --scorer: an argument of the class, as text. Repeatable."
        ),
    ] = None,
) -> None:
    """Score how well each clip's sound and picture belong together.

    Reads models/<model>/ and clips, or in place of these the imported vectors that the model is of. Writes the table
    scores: a probability and two embeddings per kept clip.

    With --scorer it reads clips, and the class that docs/scorer.md describes scores them. Writes the table
    imported/<name>, with the columns that the class declares: a row per kept clip.

    Example: earshot score --root my_workspace
    """
    if scorer is not None:
        from jobs.console.own_scoring import score_by_own

        score_by_own(session, scorer, name, clips or "base", arguments or [])
        return
    if name or clips or arguments:
        raise ConfigError("score: --name, --clips and --with go with --scorer, and none is given. Give --scorer, too.")
    from pipeline.learners.loading import check_model, rebuild
    from pipeline.learners.sources import vector_inputs
    from pipeline.selection.scoring import ScorePart
    from pipeline.storage.layout import CLIPS_FOLDER

    workspace, folder = session.workspace, f"scores/{model}"
    workspace.require(CLIPS_FOLDER)
    inputs = check_model(workspace, model, "coincidence")
    inputs |= vector_inputs(workspace, rebuild(workspace, model, "coincidence"))
    with session.begin(folder, {}, inputs):
        parts = workspace.pending(CLIPS_FOLDER, folder)
        counts = session.map(f"score {model}", ScorePart(workspace, model), parts, SCORING)
        if parts or not workspace.is_finished(folder):  # it may have been killed after its last part
            workspace.finish(folder)
        if counts["damaged"]:
            sql = "SELECT * FROM scores WHERE score IS NULL"
            print(f"score: damaged clips cannot be scored: {query_command(workspace.root, sql)}")
        session.done("score", format_counts(counts) or "nothing to do, every clip is scored", folder)


command = with_session(score)
