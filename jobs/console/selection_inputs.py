"""What a selection reads: the model whose scores it has by default, and the stages that must be there before it."""

from typing import TYPE_CHECKING

from jobs.console.options import Session

if TYPE_CHECKING:
    from pipeline.selection.filtering import ClipRules


def default_scorer(session: Session, folder: str) -> str | None:
    """`coincidence` if the selection was begun with its scores, or is new and they are there; None for no scores.

    Raises:
        ConfigError: there are none, and a rule needs them.
    """
    from pipeline.selection.filtering import needs_scores

    workspace, config, scores = session.workspace, session.config, "scores/coincidence"
    begun = workspace.stage(folder)["inputs"] if workspace.has_stage(folder) else None
    if scores in begun if begun is not None else workspace.has_stage(scores):
        return "coincidence"
    needed = [f"filtering.{setting}" for setting in needs_scores(config.filtering)]
    duplicates = f"duplicates/{folder.partition('/')[2]}"
    are_of_vectors = workspace.has_stage(duplicates) and "vectors" in workspace.stage(duplicates)["settings"]
    if (similarity := config.duplicates.similarity) is not None and not are_of_vectors:
        needed.append(f"duplicates.similarity = {similarity} (none needs no scores)")
    if needed:
        raise workspace.error(scores, f"nothing there yet, and it is needed for {', '.join(needed)}.")
    return None


def read_inputs(session: Session, rules: "ClipRules") -> dict[str, str]:
    """The hash of every stage that the selection of these rules reads, by its name.

    Raises:
        ConfigError: one is not there, lacks parts, or is of other settings.
    """
    from pipeline.selection.duplicates import check_settings
    from pipeline.storage.layout import CLIPS_FOLDER, LABELS_FOLDER

    workspace, config = session.workspace, session.config
    has_duplicates = config.duplicates.similarity is not None
    workspace.require(rules.source)
    sources = list(dict.fromkeys((CLIPS_FOLDER, rules.source)))
    sources += [LABELS_FOLDER] if workspace.has_stage(LABELS_FOLDER) else []
    sources += [f"duplicates/{rules.name}"] if has_duplicates else []
    sources += rules.own.stages
    inputs = {source: workspace.stage(source)["hash"] for source in sources}
    if has_duplicates:
        check_settings(workspace, rules.name, config.duplicates, config.splitting)
    for source in sources:
        if missing := workspace.pending(rules.source, source):
            raise workspace.error(source, f"{len(missing)} parts of {rules.source} are missing, first {missing[0]}.")
    return inputs
