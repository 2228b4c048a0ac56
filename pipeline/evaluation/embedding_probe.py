"""Embeddings that a coincidence model gave clips, frozen, and labels of some of them -> what a linear probe reads off.

The embeddings are those of the table `scores`. Each labelled clip is classified by multinomial logistic regression that
was fitted to the clips of other videos (`metrics.linear_probe`), from what is seen, from what is heard, and from both.
The towers have never seen a label; by default only clips of test videos count, which they have not seen either.
"""

import tempfile
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clips.splitting import SplittingConfig
from pipeline.config import from_dict
from pipeline.errors import ConfigError
from pipeline.evaluation.seen_videos import leaking_videos, split_of_videos
from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.linear_probe import predict_by_probe
from pipeline.selection.embeddings import to_matrix
from pipeline.storage import files
from pipeline.storage.layout import LABELS_FOLDER
from pipeline.storage.sql_files import literal, quoted, select_from_file
from pipeline.storage.workspace import Workspace
from schemas.labels import LABELS
from schemas.scores import SCORES

NUM_FOLDS = 5
NO_LABEL = ("conflict", "too_few_raters")
SIDES: dict[str, tuple[str, ...]] = {
    "picture": ("visual_embedding",),
    "sound": ("audio_embedding",),
    "both": ("visual_embedding", "audio_embedding"),
}
KEYS = ("clip_id", "video_id")


class ProbeFigure(NamedTuple):
    """Accuracy of one probe."""

    embedding: str
    """picture, sound or both."""
    accuracy: float
    """Share of clips whose class the probe names, 0 to 1."""
    low: float | None
    """Of the interval of 95 % over other videos; None below five videos."""
    high: float | None
    baseline: float
    """Share of the most frequent class: who names it always."""
    num_clips: int
    num_videos: int
    num_classes: int


def labelled_embeddings(
    workspace: Workspace, model: str, classes: dict[str, dict[str, str]], split: str = "test"
) -> pa.Table:
    """clip_id, video_id, visual_embedding, audio_embedding and class of the clips that have all of these.

    Args:
        workspace: with scores of the model.
        model: name of the coincidence model.
        classes: by KEYS, class by clip or by video, as `read_classes` or `label_classes` gives them.
        split: test, whose videos have no upload in another split; train; validate; or all.
    Raises:
        ConfigError: there are no scores.
    """
    folder = f"scores/{model}"
    splitting = from_dict(SplittingConfig, workspace.stage(f"models/{model}")["settings"]["splitting"])
    splits = split_of_videos(workspace, splitting)
    leaking = leaking_videos(workspace, splits)
    videos = {video for video, of in splits.items() if split == "all" or (of == split and video not in leaking)}
    columns = [*KEYS, "visual_embedding", "audio_embedding"]
    tables = []
    for part in workspace.require(folder):
        rows = workspace.read(folder, part, SCORES, columns)
        rows = rows.filter(pc.and_(pc.is_valid(rows["visual_embedding"]), pc.is_in(rows["video_id"], pa.array(videos))))
        ids = zip(*(rows[key].to_pylist() for key in KEYS), strict=True)
        found = [classes["clip_id"].get(clip, classes["video_id"].get(video)) for clip, video in ids]
        rows = rows.append_column("class", pa.array(found, pa.string()))
        tables.append(rows.filter(pc.is_valid(rows["class"])))
    return pa.concat_tables(tables).combine_chunks()


def label_classes(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Labels of the root's clips. Raises a ConfigError if there are none."""
    workspace.require(LABELS_FOLDER)
    rows = workspace.read_all(LABELS_FOLDER, LABELS, ["clip_id", "label"]).to_pylist()
    return {"clip_id": {row["clip_id"]: row["label"] for row in rows if row["label"] not in NO_LABEL}, "video_id": {}}


def read_classes(uri: str, column: str) -> dict[str, dict[str, str]]:
    """Classes of clips, or of videos, by a table of the user's with a column clip_id or video_id.

    Raises:
        ConfigError: no such file, not a table, without such columns, or with two classes of one clip or video.
    """
    if not files.exists(uri):
        raise ConfigError(f"labels {uri}: no such file.")
    with files.local_copy(uri) as path, duckdb.connect() as database, tempfile.TemporaryDirectory() as spill:
        database.execute(f"SET temp_directory = {literal(spill)}")
        try:
            found = database.sql(select_from_file(str(path), uri))
            key = next((name for name in KEYS if name in found.columns), None)
            if key is None or column not in found.columns:
                raise ConfigError(
                    f"labels {uri}: columns {', '.join(found.columns)}: expected clip_id or video_id, and {column}."
                )
            pairs = f"SELECT DISTINCT {key}::VARCHAR, {quoted(column)}::VARCHAR FROM found"
            rows = database.execute(f"{pairs} WHERE {key} IS NOT NULL AND {quoted(column)} IS NOT NULL").fetchall()
        except duckdb.Error as error:
            raise ConfigError(f"labels {uri}: not a readable table ({error}).") from error
    known = dict(rows)
    if len(known) < len(rows):
        other = next(name for name, value in rows if known[name] != value)
        raise ConfigError(f"labels {uri}: {other} has two classes of {column}, expected one.")
    return {"clip_id": {}, "video_id": {}, key: known}


def probe_embeddings(rows: pa.Table) -> list[ProbeFigure]:
    """What probes of what is seen, heard and both reach on rows of `labelled_embeddings`.

    Raises:
        ConfigError: the rows have fewer than two classes or two videos.
    """
    _, videos = np.unique(rows["video_id"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    classes = rows["class"].to_numpy(zero_copy_only=False).astype(str)
    names, counts = np.unique(classes, return_counts=True)
    num_videos = int(videos.max(initial=-1)) + 1
    if len(names) < 2 or num_videos < 2:
        raise ConfigError(
            f"{len(rows)} labelled clips of {num_videos} videos and {len(names)} classes: expected two classes "
            "and two videos or more, to fit to one and try on another."
        )
    folds = np.random.default_rng(0).permutation(num_videos)[videos] % NUM_FOLDS
    made = []
    for side, columns in SIDES.items():
        features = np.concatenate([to_matrix(rows[column]).astype(np.float64) for column in columns], axis=1)
        is_right = (predict_by_probe(features, classes, folds) == classes).astype(float)
        interval = bootstrap_interval(lambda drawn, right=is_right: float(right[drawn].mean()), videos)  # type: ignore[misc]
        facts = (float(counts.max() / len(rows)), len(rows), num_videos, len(names))
        made.append(ProbeFigure(side, float(is_right.mean()), interval.low, interval.high, *facts))
    return made
