"""Selections: of every clip, with frozen sets of it; of some clips, others labelled; and what a selection reads."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from pipeline.evaluation.mixing import MixingConfig, MixPart, plan_mixtures
from pipeline.storage.layout import CLIPS_FOLDER, LABELS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.labels import LABELS
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS

R = TypeVar("R")


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
            row |= {"kept": place in (0, 2), "reason": "kept" if place in (0, 2) else "low_score"}
            row |= {"split": splits[clip["video_id"]]}
            row |= {"score": 0.5, "label": "on_screen" if place in (1, 2) else None}
            decided.append(row)
        workspace.commit(f"selections/{name}", part, from_rows(decided, SELECTIONS, part), SELECTIONS)
        rows += decided
    return {row["clip_id"]: row for row in rows}


def write_scores(workspace: Workspace, scores: dict[str, float]) -> None:
    """Scores of model `m`, of the clips that are named."""
    for part in workspace.parts(CLIPS_FOLDER):
        clips = [row for row in workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist() if row["clip_id"] in scores]
        columns = {
            "clip_id": pa.array([row["clip_id"] for row in clips], pa.string()),
            "video_id": pa.array([row["video_id"] for row in clips], pa.string()),
            "score": pa.array([scores[row["clip_id"]] for row in clips], pa.float32()),
            "audio_embedding": pa.array([np.ones(2, np.float32)] * len(clips), pa.list_(pa.float32())),
            "visual_embedding": pa.array([np.ones(2, np.float32)] * len(clips), pa.list_(pa.float32())),
        }
        workspace.commit("scores/m", part, pa.table(columns, schema=SCORES), SCORES)


def write_labels(workspace: Workspace, labels: dict[str, str]) -> None:
    """Labels of the clips that are named."""
    workspace.begin(LABELS_FOLDER, {}, {})
    for part in workspace.parts(CLIPS_FOLDER):
        clips = [row for row in workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist() if row["clip_id"] in labels]
        rows = [
            {name: clip[name] for name in ("clip_id", "video_id")}
            | {"label": labels[clip["clip_id"]], "num_raters": 1, "label_source": "l.csv"}
            for clip in clips
        ]
        workspace.commit(LABELS_FOLDER, part, from_rows(rows, LABELS, part), LABELS)


def backwards(step: str, work: Callable[[str], R], parts: list[str]) -> Iterable[R]:
    """A pass over the parts, here, the last part first."""
    return map(work, reversed(parts))
