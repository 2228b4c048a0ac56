"""What was made from what: the stages that follow from a stage, by the inputs in their records, and their files."""

import json
from typing import Any

from pipeline.storage import files
from pipeline.storage.layout import (
    CLIPS_FOLDER,
    COLLECTION_FOLDER,
    LABELS_FOLDER,
    MASKS_FOLDER,
    MEDIA,
    PARTITIONS,
    SETTINGS_FILE,
    SPANS_FOLDER,
    STAGES,
    TABLES,
    TABLES_BESIDE,
    report_table,
    stage_of_record,
    table_folder,
)
from pipeline.storage.workspace import Workspace

RECORDED = ("features", "imported", "models", "reports")  # kinds whose records have all that they were made from


def list_stages(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """The record of every stage that has begun, by its name, in the order in which they began."""
    records = {}
    for entry in files.list_files(workspace.uri(STAGES)):
        if stage := stage_of_record(files.relative(entry.uri, workspace.root)):
            records[stage] = json.loads(files.read_bytes(entry.uri))
    return dict(sorted(records.items(), key=lambda item: (item[1]["started"], item[0])))


def dependents(stages: dict[str, dict[str, Any]], stage: str) -> list[str]:
    """The stages that were made from a stage, directly or not; the nearest first."""
    found = [stage]
    for source in found:  # grows on the way
        found += [other for other in stages if other not in found and _is_made_from(other, stages[other], source)]
    return found[1:]


def _is_made_from(stage: str, record: dict[str, Any], source: str) -> bool:
    """Whether a stage has another as input.

    Not all inputs are recorded: clips, spans and masks follow from the collection, most stages but for those of
    RECORDED from the clips of `base`, and mixtures take labels.
    """
    kind = stage.partition("/")[0]
    if kind in ("clips", SPANS_FOLDER, MASKS_FOLDER):
        return source == COLLECTION_FOLDER
    is_unrecorded = kind == "mixtures" if source == LABELS_FOLDER else source == CLIPS_FOLDER and kind not in RECORDED
    return is_unrecorded or source in {name.partition(" ")[0] for name in record["inputs"]}


def places(workspace: Workspace, stage: str) -> list[str]:
    """Addresses of the folders that a stage writes to, but for those of an evaluation's tables."""
    kind, _, name = stage.partition("/")
    partitions = [stage] if kind in PARTITIONS else []
    for partition in TABLES_BESIDE.get(kind, ()):
        table, _, begin = partition.format(name=name.replace("/", "-")).partition("/")
        if begin.endswith("*"):
            partitions += [f"{table}/{found}" for found in workspace.names(table) if found.startswith(begin[:-1])]
        else:
            partitions.append(f"{table}/{begin}")
    media = [workspace.uri(stage)] if kind in MEDIA or kind == "models" else []
    return media + [workspace.table(partition) for partition in partitions]


def list_outputs(workspace: Workspace, stage: str) -> list[str]:
    """Addresses of all files that a stage wrote; the records that say so are the last."""
    found = [uri for place in places(workspace, stage) for uri in _below(place)]
    if stage.startswith("reports/"):  # the tables of its learner
        ending = table_folder(report_table(stage, "x")).partition("/x/")[2]
        found += [uri for uri in _below(workspace.uri(TABLES)) if f"/{ending}/" in uri]
    records = [workspace.record_uri(stage, what) for what in ("cutoffs", "represented", "withdrawn", "parts", "")]
    records += [workspace.uri(SETTINGS_FILE)] if stage == COLLECTION_FOLDER else []
    return sorted(found) + [uri for uri in records if files.exists(uri)]


def check_unused(workspace: Workspace, stage: str) -> None:
    """Refuse to make a stage again that others were made from: they would not fit what it will hold.

    Raises:
        ConfigError: such stages are there; the topic is `stale`.
    """
    if users := dependents(list_stages(workspace), stage):
        found = f"would be made anew, but {', '.join(users)} were made from what it held before."
        raise workspace.error(stage, found, "stale")


def published_stage(workspace: Workspace) -> tuple[str, str] | None:
    """The stage of clips that were taken over from a published data set, and the name of that; None where none were."""
    stages = (f"clips/{spec}" for spec in workspace.names("clips"))
    for stage in filter(workspace.has_stage, stages):
        published = workspace.stage(stage)["settings"].get("published")
        if published is not None:
            return stage, published
    return None


def check_cut(workspace: Workspace) -> None:
    """Refuse to cut videos for a root whose clips were taken over from a published data set.

    Raises:
        ConfigError: there are such clips.
    """
    if found := published_stage(workspace):
        stage, name = found
        text = f"holds the clips of {name} as published, beside which no videos are cut. Use another root."
        raise workspace.error(stage, text, "")


def _below(uri: str) -> list[str]:
    return [entry.uri for entry in files.list_files(uri)]
