"""Which clips a stage draws from: all kept clips of a split, or those of a selection, as a `ClipSet`."""

import concurrent.futures
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clip_specs import BASE, SOUNDS
from pipeline.clips.samples import Clip
from pipeline.clips.splitting import SplittingConfig, drawn_splits, shared_splits
from pipeline.errors import ConfigError
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import NUM_READERS, Workspace
from pipeline.training.batching import ClipSet
from schemas.clips import CLIPS
from schemas.selections import DRAWN_REASONS, SELECTIONS
from schemas.videos import VIDEOS

PLACE = ["clip_id", "video_id", "part", "tar_offset", "tar_bytes"]
ORIGINS = ("mixture", "recording")  # columns of a collection of sounds


def load_splits(
    workspace: Workspace, splits: Sequence[str], splitting: SplittingConfig, parts: Sequence[str], spec: str = BASE
) -> list[ClipSet[Clip]]:
    """Every kept clip of a clip spec of each of the splits, of these parts of clips.

    Those of videos whose owners refuse training are left out. Those of `sounds` also have `start_s`, and `mixture` and
    `recording`, which the collection's columns of these names give their video: the mixture that it is a known source
    of, and the recording that it is a take of.
    """
    shared = shared_splits(workspace, splitting, parts)

    def read(part: str) -> pa.Table:
        by_video = drawn_splits(workspace, part, splitting, shared)
        columns = [*PLACE, "start_s"] if spec == SOUNDS else PLACE
        clips = workspace.read(f"clips/{spec}", part, CLIPS, [*columns, "outcome"])
        videos = clips["video_id"].to_pylist()
        found = clips.select(columns).append_column(
            "split", pa.array([by_video[video] for video in videos], pa.string())
        )
        if spec == SOUNDS:
            of_video = _origins(workspace, part)
            for name in ORIGINS:
                values = [of_video[video][name] for video in videos]
                found = found.append_column(name, pa.array(values, pa.string()))
        return found.filter(pc.equal(clips["outcome"], "kept"))

    rows = read_parts(read, parts)
    if spec == SOUNDS:
        _check_origins(rows)
    return _split(workspace, f"clips/{spec}", splits, rows)


def _check_origins(rows: pa.Table) -> None:
    """Refuse sounds of one mixture or recording in several splits: a test would be of what was trained on.

    Raises:
        ConfigError: with the first such mixture or recording.
    """
    for name in ORIGINS:
        found = rows.select([name, "split"]).filter(pc.is_valid(rows[name])).group_by([name, "split"]).aggregate([])
        splits_of: dict[str, list[str]] = {}
        for row in found.sort_by([(name, "ascending"), ("split", "ascending")]).to_pylist():
            splits_of.setdefault(row[name], []).append(row["split"])
        torn = next((origin for origin, splits in splits_of.items() if len(splits) > 1), None)
        if torn is not None:
            raise ConfigError(
                f"clips/{SOUNDS}: {name} {torn} is in the splits {' and '.join(splits_of[torn])}; expected one, else a "
                "test is of what was trained on. Give the collection a column `split`; lists of mixtures have one by "
                "names that begin with train_, validation_ or eval_."
            )


def _origins(workspace: Workspace, part: str) -> dict[str, dict[str, str | None]]:
    """ORIGINS of each sound of a part, by video_id; None where the collection has no column, or several values."""
    rows = workspace.read(f"videos/{SOUNDS}", part, VIDEOS, ["video_id", "extra"]).to_pylist()
    extra = {row["video_id"]: json.loads(row["extra"] or "{}") for row in rows}
    return {
        video: {name: str(of[name]) if isinstance(of.get(name), str | int) else None for name in ORIGINS}
        for video, of in extra.items()
    }


def load_clips(workspace: Workspace, selection: str, split: str, *, labelled: bool) -> ClipSet[Clip]:
    """The kept clips of one split of a selection, with their `kept` and `label`.

    Args:
        labelled: also the clips with a label that a rule of DRAWN_REASONS refused.
    """
    parts = workspace.require(f"selections/{selection}")
    (clips,) = load_selected(workspace, selection, (split,), parts, labelled=labelled)
    return clips


def load_selected(
    workspace: Workspace, selection: str, splits: Sequence[str], parts: Sequence[str], *, labelled: bool
) -> list[ClipSet[Clip]]:
    """What `load_clips` gives, for each of the splits, of these parts of the selection."""

    def read(part: str) -> pa.Table:
        columns = ["clip_id", "kept", "reason", "split", "label"]
        decisions = workspace.read(f"selections/{selection}", part, SELECTIONS, columns)
        places = workspace.read(CLIPS_FOLDER, part, CLIPS, [*PLACE, "outcome"])
        with duckdb.connect() as database:
            database.register("decisions", decisions)
            database.register("places", places)
            sql = """
                SELECT places.* EXCLUDE (outcome), kept, label, split FROM places JOIN decisions USING (clip_id)
                WHERE outcome = 'kept'
                      AND (kept OR $labelled AND label IS NOT NULL AND list_contains($drawn, reason))
                ORDER BY clip_id
            """
            params = {"drawn": list(DRAWN_REASONS), "labelled": labelled}
            return database.sql(sql, params=params).to_arrow_table()

    return _split(workspace, CLIPS_FOLDER, splits, read_parts(read, parts))


def count_videos(
    workspace: Workspace,
    split: str,
    selection: str | None,
    splitting: SplittingConfig,
    parts: Sequence[str],
    spec: str,
    enough: int,
) -> int:
    """How many videos a split has to draw from, counted up to `enough`: from a selection, or if it is None from all
    clips of a clip spec."""
    found: set[str] = set()
    shared = shared_splits(workspace, splitting, parts) if selection is None else {}
    for part in parts:
        if selection is None:
            splits = drawn_splits(workspace, part, splitting, shared, kept_by=spec)
            found.update(video for video, other in splits.items() if other == split)
        else:
            rows = workspace.read(f"selections/{selection}", part, SELECTIONS, ["video_id", "kept", "split"])
            is_drawn = pc.and_(rows["kept"], pc.equal(rows["split"], split))
            found.update(rows["video_id"].filter(is_drawn).to_pylist())
        if len(found) >= enough:
            return enough
    return len(found)


def begun_parts(workspace: Workspace, folder: str, source: str) -> list[str]:
    """The parts of `source` that `folder` is made from: those that are stored, or those that are there now."""
    uri = workspace.record_uri(folder, "parts")
    return json.loads(files.read_bytes(uri)) if files.exists(uri) else workspace.parts(source)


def begun_with(workspace: Workspace, folder: str, source: str, is_finished: bool = False) -> list[str]:
    """The parts of `source` that `folder` is made from: those that were there at the first call, when they are stored.

    So parts that are added to a collection later do not change a run that is resumed.

    Raises:
        ConfigError: one of them is gone, and the run has not finished.
    """
    uri, parts = workspace.record_uri(folder, "parts"), begun_parts(workspace, folder, source)
    if not files.exists(uri):
        files.commit_bytes(uri, json.dumps(parts).encode())
    gone = sorted(set(parts) - set(workspace.parts(source)))
    if gone and not is_finished:
        raise ConfigError(
            f"{uri}: began with part {gone[0]}, which is no longer in {workspace.table(source)}. Bring it back, or "
            f"remove {workspace.uri(folder)} to begin anew."
        )
    return parts


def describe(clips: ClipSet) -> dict[str, Any]:
    """`num_clips`, `num_videos` and a `fingerprint` of what batches are drawn by: the rows, but for their places."""
    digest = hashlib.sha256()
    for name in sorted(set(clips.rows.column_names) - set(PLACE[2:])):
        digest.update(f"{name}\n".encode())
        for chunk in clips.rows[name].chunks:  # a value per line: other chunks of the same rows, the same bytes
            digest.update("".join(f"{json.dumps(value)}\n" for value in chunk.to_pylist()).encode())
    return {"num_clips": len(clips), "num_videos": clips.num_videos, "fingerprint": digest.hexdigest()[:12]}


def read_parts(read: Callable[[str], pa.Table], parts: Sequence[str]) -> pa.Table:
    """The rows that `read` returns for each part, in the order of the parts."""
    with concurrent.futures.ThreadPoolExecutor(NUM_READERS) as pool:
        return pa.concat_tables(pool.map(read, parts))


def _split(workspace: Workspace, folder: str, splits: Sequence[str], rows: pa.Table) -> list[ClipSet[Clip]]:
    """The clips of each split among the rows."""
    return [ClipSet(workspace, folder, clips) for clips in rows_of_splits(rows, splits)]


def rows_of_splits(rows: pa.Table, splits: Sequence[str]) -> list[pa.Table]:
    """The rows of each split, without that column."""
    return [rows.filter(pc.equal(rows["split"], split)).drop_columns("split") for split in splits]
