"""Which models learnt from some videos: those of whose splits train and validate they were, and what was built on them.

A model draws from a selection, or from the parts of what it read that were there when it began: clips, features, masks,
spans or imported columns. Of a selection, videos that it kept before they were refused count too. A video that trains
may have been in any of its steps, because each batch is drawn anew; one that validates has chosen the step whose
weights were kept.
"""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from pipeline.clips.cut_videos import cut_parts
from pipeline.clips.splitting import SplittingConfig, part_splits, shared_splits
from pipeline.clips.withdrawing import read_withdrawn
from pipeline.config import from_dict
from pipeline.storage import files
from pipeline.storage.layout import PARTITIONS
from pipeline.storage.lineage import dependents, list_stages
from pipeline.storage.workspace import Workspace
from pipeline.takedown.names import CLIP_ENDING, Names
from pipeline.takedown.requests import read_columns

SELECTIONS = "selections"
LEARNT_FROM = ("train", "validate")
Lesson = dict[str, Any]


def lessons(workspace: Workspace, names: Names) -> dict[str, Lesson]:
    """By stage, such as models/separation, what each model had of the videos; models that had nothing are left out.

    Each has the number of videos in `train` and `validate`, its `steps` so far, whether it `is_finished`, and the
    models that it was `built_on` and that had some.
    """
    stages = list_stages(workspace)
    shared: dict[str, Mapping[str, str]] = {}
    found: dict[str, Lesson] = {}
    for stage, record in stages.items():
        if not stage.startswith("models/"):
            continue
        splits = _drawn(workspace, stage, record, names, shared)
        counts = {split: list(splits.values()).count(split) for split in LEARNT_FROM}
        if any(counts.values()):
            found[stage] = counts | {"steps": record.get("step"), "is_finished": "finished" in record, "built_on": []}
    taught = sorted(found)
    for teacher in taught:
        for stage in dependents(stages, teacher):
            if stage.startswith("models/"):
                record = stages[stage]
                alone: Lesson = dict.fromkeys(LEARNT_FROM, 0)
                alone |= {"steps": record.get("step"), "is_finished": "finished" in record, "built_on": []}
                found.setdefault(stage, alone)["built_on"].append(teacher)
    return dict(sorted(found.items()))


def describe(stage: str, lesson: Lesson) -> str:
    """One line about a model: what it had, and in which of its steps."""
    said = []
    if lesson["train"]:
        steps = f"any of its {lesson['steps']} steps may have drawn them" if lesson["steps"] else "any step may have"
        said.append(f"{lesson['train']} videos trained it ({steps})")
    if lesson["validate"]:
        said.append(f"{lesson['validate']} chose its best step")
    if lesson["built_on"]:
        said.append(f"made with what {', '.join(lesson['built_on'])} computed")
    return f"{stage}: {'; '.join(said)}"


def _drawn(
    workspace: Workspace, stage: str, record: Mapping[str, Any], names: Names, shared: dict[str, Mapping[str, str]]
) -> dict[str, str]:
    """The split of each of the videos that a model may have drawn, by video_id."""
    there = _stages_with_tables(workspace)
    sources = [name for name in record["inputs"] if name.partition("/")[0] in PARTITIONS and name in there]
    chosen = [name for name in sources if name.startswith(f"{SELECTIONS}/")]
    uri = workspace.record_uri(stage, "parts")
    begun = set(json.loads(files.read_bytes(uri))) if files.exists(uri) else None
    drawn: dict[str, str] | None = None
    for source in chosen or sources:
        of_source: dict[str, str] = {}
        for part in workspace.parts(source):
            if begun is None or part in begun:
                of_source |= _videos_of(workspace, source, part, record, names, shared)
        drawn = of_source if drawn is None else {name: split for name, split in drawn.items() if name in of_source}
    return drawn or {}


def _stages_with_tables(workspace: Workspace) -> set[str]:
    return {f"{kind}/{name}".strip("/") for kind in PARTITIONS for name in workspace.names(kind)} | {"spans", "masks"}


def _videos_of(
    workspace: Workspace,
    source: str,
    part: str,
    record: Mapping[str, Any],
    names: Names,
    shared: dict[str, Mapping[str, str]],
) -> dict[str, str]:
    """The split of each of the videos that a part of a table has usable rows about, by video_id."""
    table = read_columns(workspace, source, part, ["video_id", "clip_id", "split", "reason", "outcome"])
    if table["video_id"].null_count:  # imported columns know clips alone
        ids = pc.replace_substring_regex(table["clip_id"], CLIP_ENDING, "")
        table = table.set_column(0, "video_id", ids)
    rows = table.filter(names.are_videos(table["video_id"].combine_chunks())).to_pylist()
    withdrawn = set(read_withdrawn(workspace, source)) if source.startswith(f"{SELECTIONS}/") else set()
    usable = [
        row
        for row in rows
        if (row["outcome"] or "kept") == "kept" and (row["reason"] in (None, "kept") or row["video_id"] in withdrawn)
    ]
    found = {row["video_id"]: row["split"] for row in usable}
    if any(split is None for split in found.values()) and record["settings"].get("splitting"):
        config = record["settings"]["splitting"]
        splitting, key = from_dict(SplittingConfig, config), json.dumps(config, sort_keys=True)
        if key not in shared:
            shared[key] = shared_splits(workspace, splitting, cut_parts(workspace))
        splits = part_splits(workspace, part, splitting, shared[key]) if part in cut_parts(workspace) else {}
        found = {name: split or splits.get(name, "train") for name, split in found.items()}
    return {name: split for name, split in found.items() if split is not None}
