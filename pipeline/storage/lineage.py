"""What was made from what: the stages that follow from a stage, by the inputs in their records, and their files."""

from typing import Any

from pipeline.storage import files
from pipeline.storage.workspace import CLIPS_FOLDER, LABELS_FOLDER, SETTINGS_FILE, STAGE_FILE, Workspace

# What a stage writes beside its own folder, by the folder's first name; {name} is the rest.
BESIDE = {
    CLIPS_FOLDER: ("collection", "videos", "usage/shard", SETTINGS_FILE),
    "models": ("training/{name}.parquet",),
    "scores": ("usage/score-{name}",),
    LABELS_FOLDER: ("usage/label",),
    "selections": tuple(f"usage/{step}-{{name}}" for step in ("count", "survey", "rank", "filter")),
    "duplicates": ("usage/compare-{name}", "usage/match-{name}"),
    "materialized": ("usage/materialize-{name}",),
    "mixtures": ("usage/mix-{name}",),
    "reports": ("usage/evaluate-{name}",),
}


def list_stages(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """The record of every stage that has begun, by its folder."""
    uris = (entry.uri for kind in BESIDE for entry in files.list_files(workspace.uri(kind)))
    found = (files.relative(uri, workspace.root) for uri in uris if uri.endswith(f"/{STAGE_FILE}"))
    return {folder: workspace.stage(folder) for folder in (name.removesuffix(f"/{STAGE_FILE}") for name in found)}


def dependents(stages: dict[str, dict[str, Any]], folder: str) -> list[str]:
    """Folders of the stages that were made from a stage, directly or not; the nearest first."""
    found = [folder]
    for source in found:  # grows on the way
        found += [other for other in stages if other not in found and _is_made_from(other, stages[other], source)]
    return found[1:]


def _is_made_from(folder: str, record: dict[str, Any], source: str) -> bool:
    """Whether a stage has another as input; not all are recorded: clips are under everything, mixtures take labels."""
    unrecorded = source == CLIPS_FOLDER or (source == LABELS_FOLDER and folder.startswith("mixtures/"))
    return unrecorded or source in {name.partition(" ")[0] for name in record["inputs"]}


def list_outputs(workspace: Workspace, folder: str) -> list[str]:
    """Addresses of all files that a stage wrote; the records that say so are the last."""
    kind, _, name = folder.partition("/")
    places = [workspace.uri(place.format(name=name)) for place in BESIDE.get(kind, ())]
    beside = [uri for place in places for uri in ([place] if files.exists(place) else _below(place))]
    return sorted(beside + _below(workspace.uri(folder)), key=lambda uri: uri.endswith((STAGE_FILE, SETTINGS_FILE)))


def check_unused(workspace: Workspace, folder: str) -> None:
    """Refuse to make a stage again that others were made from: they would not fit what it will hold.

    Raises:
        ConfigError: such stages are there; the topic is `stale`.
    """
    if users := dependents(list_stages(workspace), folder):
        found = f"would be made anew, but {', '.join(users)} were made from what it held before."
        raise workspace.error(folder, found, "stale")


def _below(uri: str) -> list[str]:
    return [entry.uri for entry in files.list_files(uri)]
