"""Which clips a stage draws from: all kept clips of a split, or those of a selection, as a `ClipSet`."""

import duckdb
import pyarrow as pa

from pipeline.artifacts import CLIPS_FOLDER, Workspace
from pipeline.batching import ClipSet
from pipeline.splitting import SplittingConfig, part_splits
from schemas.clips import CLIPS
from schemas.selections import SELECTIONS, VIDEO_REASONS

PLACE = ["clip_id", "video_id", "part", "tar_offset", "tar_bytes"]


def load_split(workspace: Workspace, split: str, splitting: SplittingConfig) -> ClipSet:
    """Every kept clip of a split, before anything is known of its content."""
    tables = []
    for part in workspace.require(CLIPS_FOLDER, "earshot shard"):
        splits = part_splits(workspace, part, splitting)
        clips = workspace.read(CLIPS_FOLDER, part, CLIPS, [*PLACE, "outcome"])
        in_split = [
            outcome == "kept" and splits[video] == split
            for outcome, video in zip(clips["outcome"].to_pylist(), clips["video_id"].to_pylist(), strict=True)
        ]
        tables.append(clips.select(PLACE).filter(pa.array(in_split, pa.bool_())))
    return ClipSet(workspace, CLIPS_FOLDER, pa.concat_tables(tables))


def load_clips(workspace: Workspace, selection: str, split: str) -> ClipSet:
    """The kept clips of one split of a selection and its labelled clips, with their `kept` and `label`.

    Labelled clips are there whatever rule refused them, but for rules about their whole video (VIDEO_REASONS).
    """
    tables = []
    for part in workspace.require(f"selections/{selection}", "earshot filter"):
        columns = ["clip_id", "kept", "reason", "split", "label"]
        decisions = workspace.read(f"selections/{selection}", part, SELECTIONS, columns)
        places = workspace.read(CLIPS_FOLDER, part, CLIPS, [*PLACE, "outcome"])
        with duckdb.connect() as database:
            database.register("decisions", decisions)
            database.register("places", places)
            sql = """
                SELECT places.* EXCLUDE (outcome), kept, label FROM places JOIN decisions USING (clip_id)
                WHERE outcome = 'kept' AND split = $split
                    AND (kept OR label IS NOT NULL AND NOT list_contains($barred, reason)) ORDER BY clip_id
            """
            parameters = {"split": split, "barred": list(VIDEO_REASONS)}
            tables.append(database.sql(sql, params=parameters).to_arrow_table())
    return ClipSet(workspace, CLIPS_FOLDER, pa.concat_tables(tables))
