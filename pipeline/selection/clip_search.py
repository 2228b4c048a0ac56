"""Embeddings of a picture or a sound -> the clips of a root whose sound or picture fits best, by the model's judgement.

The embeddings of the clips are those that `scores` has, so that no media is read: 2 bytes a number, part by part, with
the best so far kept. Half floats change a probability in its third digit.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.learners.loading import check_model
from pipeline.selection.embeddings import to_matrix
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS

FIGURES = ("probability", "logit", "cosine")
COLUMNS = {"picture": "visual_embedding", "sound": "audio_embedding"}
PAIRS_AT_ONCE = 1 << 16  # 64 MB of pairs of embeddings of 128 numbers
Judge = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]
ROWS = pa.schema(
    {
        "rank": pa.int32(),
        "clip_id": pa.string(),
        "video_id": pa.string(),
        "uri": pa.string(),
        "start_s": pa.float64(),
        **dict.fromkeys(FIGURES, pa.float32()),
    }
)


def stored_embeddings(workspace: Workspace, model: str, names: set[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Visual and audio embedding [D] float32 of the clips among the names that the model has scored.

    Raises:
        ConfigError: the scores are of another model of that name.
    """
    folder, wanted = f"scores/{model}", pa.array(sorted(names), pa.string())
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for part in workspace.parts(folder):
        if not pc.any(pc.is_in(workspace.read(folder, part, SCORES, ["clip_id"])["clip_id"], wanted)).as_py():
            continue
        _check_scores(workspace, model)
        rows = workspace.read(folder, part, SCORES, ["clip_id", *COLUMNS.values()])
        rows = rows.filter(pc.and_(pc.is_in(rows["clip_id"], wanted), pc.is_valid(rows["visual_embedding"])))
        visual, audio = (to_matrix(rows[column]).astype(np.float32) for column in COLUMNS.values())
        found |= dict(zip(rows["clip_id"].to_pylist(), zip(visual, audio, strict=True), strict=True))
    return found


def find_clips(
    workspace: Workspace,
    model: str,
    queries: np.ndarray,
    sought: Literal["picture", "sound"],
    judge: Judge,
    top: int,
    by: str = "probability",
    selection: str | None = None,
) -> pa.Table:
    """The `top` clips that fit best, as ROWS; each figure is the mean over the queries.

    Args:
        workspace: with scores of the model.
        model: name of the coincidence model.
        queries: [Q, D] embeddings of the clips of one picture or sound.
        sought: what of the clips is compared with the queries.
        judge: (visual [..., D], audio [..., D]) -> FIGURES, each [...].
        top: how many.
        by: one of FIGURES.
        selection: only its kept clips.
    Raises:
        ConfigError: there are no scores, no such selection, or the scores are of another model of that name.
    """
    folder = f"scores/{model}"
    parts = workspace.require(folder)
    _check_scores(workspace, model)
    if selection is not None:
        workspace.require(f"selections/{selection}")
    best = ROWS.empty_table().append_column("part", pa.array([], pa.string()))
    for part in parts:
        found = _judge_part(workspace, folder, part, queries, sought, judge, selection)
        best = pa.concat_tables([best, found]).sort_by([(by, "descending"), ("clip_id", "ascending")]).slice(0, top)
    return _complete(workspace, best)


def _check_scores(workspace: Workspace, model: str) -> None:
    """Raises a ConfigError if the scores are of another model of that name than there is now."""
    folder = f"scores/{model}"
    if not check_model(workspace, model, "coincidence").items() <= workspace.stage(folder)["inputs"].items():
        raise workspace.error(folder, f"of another models/{model} than there is now.", "stale")


def _judge_part(
    workspace: Workspace,
    folder: str,
    part: str,
    queries: np.ndarray,
    sought: str,
    judge: Judge,
    selection: str | None,
) -> pa.Table:
    """The clips of a part with their figures."""
    column = COLUMNS[sought]
    rows = workspace.read(folder, part, SCORES, ["clip_id", "video_id", column])
    rows = rows.filter(pc.is_valid(rows[column]))
    if selection is not None:
        kept = workspace.read(f"selections/{selection}", part, SELECTIONS, ["clip_id", "kept"])
        rows = rows.filter(pc.is_in(rows["clip_id"], kept.filter(kept["kept"])["clip_id"].combine_chunks()))
    vectors = to_matrix(rows[column])
    step = max(1, PAIRS_AT_ONCE // len(queries))
    figures = [np.zeros((len(FIGURES), 0), np.float32)]
    for start in range(0, len(vectors), step):
        chunk = vectors[start : start + step].astype(np.float32)
        pair = (queries[:, None], chunk[None]) if sought == "sound" else (chunk[None], queries[:, None])
        figures.append(np.stack([figure.mean(axis=0) for figure in judge(*pair)]))
    columns = dict(zip(FIGURES, np.concatenate(figures, axis=1), strict=True))
    blank = pa.nulls(len(rows))
    made = {"rank": blank, "uri": blank, "start_s": blank, "clip_id": rows["clip_id"], "video_id": rows["video_id"]}
    return pa.table({name: (made | columns)[name] for name in ROWS.names}, ROWS).append_column(
        "part", pa.array([part] * len(rows), pa.string())
    )


def _complete(workspace: Workspace, best: pa.Table) -> pa.Table:
    """The best clips with their ranks, where their video lies, and where in it they begin."""
    rows = best.to_pylist()
    uris: dict[str, str] = {}
    starts_s: dict[str, float] = {}
    for part in sorted({row["part"] for row in rows}):
        videos = workspace.read(VIDEOS_FOLDER, part, VIDEOS, ["video_id", "uri"])
        uris |= dict(zip(videos["video_id"].to_pylist(), videos["uri"].to_pylist(), strict=True))
        clips = workspace.read(CLIPS_FOLDER, part, CLIPS, ["clip_id", "start_s"])
        clips = clips.filter(pc.is_in(clips["clip_id"], best["clip_id"].combine_chunks()))
        starts_s |= dict(zip(clips["clip_id"].to_pylist(), clips["start_s"].to_pylist(), strict=True))
    known = [
        row | {"rank": rank, "uri": uris[row["video_id"]], "start_s": starts_s[row["clip_id"]]}
        for rank, row in enumerate(rows, 1)
    ]
    return pa.Table.from_pylist([{name: row[name] for name in ROWS.names} for row in known], ROWS)
