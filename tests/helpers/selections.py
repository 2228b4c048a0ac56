"""A selection of every clip, and frozen sets of it."""

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
