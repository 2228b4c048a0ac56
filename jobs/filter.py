"""Decide which clips belong to a selection: clips, scores and labels 00042 -> selections/<name>/00042."""

from collections.abc import Callable, Iterator
from typing import Annotated, TypeVar

import typer

from cluster.resources import FILTERING
from jobs.console.options import Name, Session, named, with_session
from pipeline.formatting import format_counts

R = TypeVar("R")
MODEL_HELP = "Name of the coincidence model. Default: coincidence if there are its scores, else no scores."
Model = Annotated[str | None, named(MODEL_HELP, "--model")]
RECIPES = ("hunyuanvideo-foley", "sphere360", "v-aura", "vggsound-pipeline")
PARTS_PER_TASK = 16  # to decide on one takes 10 ms, as long as to start a task; rules see all of them at once


def select(
    session: Session,
    name: Name = "default",
    model: Model = None,
    recipe: Annotated[
        str | None, typer.Option(help=f"Published rules: {', '.join(RECIPES)}; or a .toml file with `rules`.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what each rule would leave, alone and in order; write nothing.")
    ] = False,
) -> None:
    """Decide which clips train and evaluate the next model.

    Reads the tables clips, scores and labels if there are any, duplicates if duplicates.similarity is set, and the
    imported tables that filtering.rules name. Writes the table selections: for every clip whether it is kept, the first
    rule that refused it, and its split. Decides anew on clips of videos whose rights have changed. Ends with an audit:
    no video, and no group of uploads of the same content, is in two splits.

    Example: earshot filter --root my_workspace --name strict --set filtering.min_score=0.9

    Example: earshot filter --root my_workspace --dry-run --set 'filtering.rules=motion > 0.01 as still'
    """
    from jobs.console.dry_run import show_preview
    from jobs.console.recipe import with_recipe
    from jobs.console.selection_inputs import default_scorer, read_inputs
    from pipeline.selection.cutoffs import load_or_compute
    from pipeline.selection.deciding import DecidePart, format_none_kept, summarize, undecided
    from pipeline.selection.filtering import ClipRules, check_values
    from pipeline.selection.leakage import audit
    from pipeline.selection.representatives import load_or_choose

    folder = f"selections/{name}"
    if recipe is not None:
        session = with_recipe(session, recipe, model)
    session = session.resume(f"duplicates/{name}").resume(folder)
    workspace, config = session.workspace, session.config
    model = model or default_scorer(session, folder)
    rules = ClipRules(workspace, name, model, config.filtering, config.splitting)
    inputs = read_inputs(session, rules)
    if message := check_values(workspace, config.filtering):  # before the folder is claimed for a misspelt rule
        print(f"filter: {message}", flush=True)
    if dry_run:
        show_preview(session, rules, PARTS_PER_TASK)
        return

    def each(step: str, work: Callable[[str], R], parts: list[str]) -> Iterator[R]:
        return session.each(f"{step} {name}", work, parts, FILTERING, PARTS_PER_TASK)

    settings = {"filtering": config.filtering, "duplicates": config.duplicates, "splitting": config.splitting}
    with session.begin(folder, settings, inputs):
        parts = undecided(workspace, rules.source, folder)
        if not parts and workspace.is_finished(folder):  # else it was killed after its last part
            session.done("filter", f"nothing to do, every clip is decided; {audit(workspace)}", folder)
            return
        note = ("" if model else "no scores; ") + "no duplicates looked for"
        note += f" ({rules.num_copies} videos have the bytes of another)" if rules.num_copies else ""
        if config.duplicates.similarity is not None:
            rules.represented = load_or_choose(rules, each)
            note = f"{len(rules.represented)} videos are represented by another upload"
        work = DecidePart(rules, load_or_compute(rules, each))
        counts = session.map(f"filter {name}", work, parts, FILTERING, parts_per_task=PARTS_PER_TASK)
        facts, audited = summarize(workspace, name), audit(workspace)
        none_kept = format_none_kept(facts["reasons"])
        none_kept += ": loosen that under another --name" if none_kept else ""
        workspace.finish(folder, audit=str(audited), **facts)
        session.done("filter", f"{format_counts(counts)}{none_kept}; {note}; {audited}", folder)


command = with_session(select)
