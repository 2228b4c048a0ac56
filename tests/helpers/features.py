"""Features of random numbers, and spans, as the commands that make both leave them."""

from typing import Any

import numpy as np

from pipeline.clips.tars import TarWriter
from pipeline.features.feature_samples import FeatureClip, encode
from pipeline.storage import files
from pipeline.storage.layout import SPANS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.features import FEATURES
from schemas.fields import from_rows
from schemas.spans import SPANS
from schemas.videos import VIDEOS

FOLDER = "features/events/f"
SIZES = {"num_segments": 4, "num_cells": 3, "visual_dim": 5, "audio_dim": 2}


def write_features(workspace: Workspace, part: str, clips: list[dict[str, Any]], folder: str = FOLDER) -> None:
    """One part of features; a clip is `clip_id`, `video_id`, and what its row has beside the usual."""
    rows = []
    with files.building(workspace.tar_uri(folder, part)) as path, TarWriter(path) as tar:
        for clip in clips:
            row = {"start_s": 0.0, **SIZES} | clip
            rng = np.random.default_rng([len(rows), *clip["clip_id"].encode()])
            n, r, c, a = (row[name] for name in SIZES)
            facts = {name: row[name] for name in ("clip_id", "video_id", "start_s")}
            sample = FeatureClip(row["clip_id"], rng.standard_normal((n, r, c)), rng.standard_normal((n, a)), facts)
            offset, length = tar.add(sample.key, encode(sample))
            rows.append({"tar_offset": offset, "tar_bytes": length} | row)
    workspace.commit(folder, part, from_rows(rows, FEATURES, part), FEATURES)


def write_spans(workspace: Workspace, part: str, spans: list[tuple[str, float, float, str]]) -> None:
    """One part of spans: video_id, start_s, end_s, category."""
    names = ("video_id", "start_s", "end_s", "category")
    rows = [dict(zip(names, span, strict=True)) | {"source": "spans.csv"} for span in spans]
    workspace.commit(SPANS_FOLDER, part, from_rows(rows, SPANS, part), SPANS)


def write_world(workspace: Workspace, folder: str = FOLDER) -> None:
    """Features of a clip of each video of a world, two of three with an event, and the records of both stages."""
    for part in workspace.parts(VIDEOS_FOLDER):
        videos = workspace.read(VIDEOS_FOLDER, part, VIDEOS)["video_id"].to_pylist()
        clips = [{"clip_id": f"{video}_00000000_events", "video_id": video} for video in videos]
        write_features(workspace, part, clips, folder)
        events = [(1.0, 3.0, "bell"), (0.0, 2.0, "horn"), (0.0, 0.0, "")]
        write_spans(workspace, part, [(video, *events[number % 3]) for number, video in enumerate(videos)])
    workspace.begin(folder, {}, {})
    workspace.begin(SPANS_FOLDER, {}, {})
