"""Selections: of every clip, with frozen sets of it; and of some clips, others labelled."""

from typing import Any

from pipeline.evaluation.mixing import MixingConfig, MixPart, plan_mixtures
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS


def select_and_mix(workspace: Workspace, mixtures: str, config: MixingConfig) -> None:
    """Write the selection `all`, and frozen sets of that name from its test videos."""
    for part in workspace.parts(CLIPS_FOLDER):
        splits = {row["video_id"]: row["split"] for row in workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()}
        rows = [
            {name: clip[name] for name in ("clip_id", "video_id", "part")}
            | {"kept": True, "reason": "kept", "split": splits[clip["video_id"]]}
            for clip in workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist()
        ]
        workspace.commit("selections/all", part, from_rows(rows, SELECTIONS, part), SELECTIONS)
    planned = plan_mixtures(workspace, "all", config, 0, None)
    mix = MixPart(workspace, mixtures, "all", config, planned)
    for part in planned:
        mix(part)


def decide(workspace: Workspace, name: str) -> dict[str, dict[str, Any]]:
    """A selection of clips every 1 s: of each video's the first is kept, the second labelled, the third both.

    Returns:
        Its rows by clip_id.
    """
    rows = []
    for part in workspace.parts(CLIPS_FOLDER):
        splits = {row["video_id"]: row["split"] for row in workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()}
        decided = []
        for clip in workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist():
            place = int(clip["start_s"])
            row = {name: clip[name] for name in ("clip_id", "video_id", "part")}
            row |= {"kept": place in (0, 2), "reason": "kept", "split": splits[clip["video_id"]]}
            row |= {"score": 0.5, "label": "on_screen" if place in (1, 2) else None}
            decided.append(row)
        workspace.commit(f"selections/{name}", part, from_rows(decided, SELECTIONS, part), SELECTIONS)
        rows += decided
    return {row["clip_id"]: row for row in rows}
