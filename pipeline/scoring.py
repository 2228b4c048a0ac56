"""Clip -> coincidence score and embeddings: one row per kept clip, in the order of the part's tar."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch

from pipeline import storage
from pipeline.artifacts import CLIPS_FOLDER, Workspace
from pipeline.batching import read_ahead
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.samples import Clip, decode_sample
from pipeline.tars import read_sequence
from pipeline.training import load_weights
from schemas.clips import CLIPS
from schemas.scores import SCORES


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ScoringConfig:
    """How clips go through the model."""

    batch_size: int = 32
    """Clips per forward pass. It changes speed and memory, and scores only in their last digits."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"scoring.batch_size = {self.batch_size}: expected 1 or more.")


class ScorePart:
    """Scores one part of clips. Loads the model at its first part and keeps it."""

    def __init__(self, workspace: Workspace, model: str, learner: CoincidenceLearner, config: ScoringConfig) -> None:
        self._workspace, self._name, self._learner, self._config = workspace, model, learner, config
        self._model: torch.nn.Module | None = None

    def __call__(self, part: str) -> dict[str, int]:
        """Score every kept clip of the part and commit the rows; return how many."""
        if self._model is None:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            self._model = self._learner.model().eval().to(device)
            load_weights(self._model, self._workspace, f"models/{self._name}")
        rows = self._workspace.read(CLIPS_FOLDER, part, CLIPS, ["clip_id", "video_id", "outcome"]).to_pylist()
        kept = {row["clip_id"]: row["video_id"] for row in rows if row["outcome"] == "kept"}
        scores, audio, visual, ids = [], [], [], []
        for clips in read_ahead(self._batches(part, list(kept))):
            score, heard, seen = self._learner.embed(self._model, clips)
            scores.append(score)
            audio.append(heard)
            visual.append(seen)
            ids += [clip.key for clip in clips]
        columns = {
            "model": pa.array([self._name] * len(ids), pa.string()),
            "clip_id": pa.array(ids, pa.string()),
            "video_id": pa.array([kept[key] for key in ids], pa.string()),
            "score": pa.array(np.concatenate([*scores, np.zeros(0)]).astype(np.float32)),
            "audio_embedding": _vectors(audio),
            "visual_embedding": _vectors(visual),
        }
        table = pa.table(columns, schema=SCORES)
        self._workspace.commit(f"scores/{self._name}", part, table, SCORES)
        return {"clips": len(ids)}

    def _batches(self, part: str, keys: list[str]) -> Iterator[list[Clip]]:
        with storage.local_copy(self._workspace.uri(CLIPS_FOLDER, f"{part}.tar")) as path:
            clips = (decode_sample(key, members) for key, members in read_sequence(path, keys))
            yield from _batched(clips, self._config.batch_size)


def _vectors(batches: list[np.ndarray]) -> pa.Array:
    """[n, D] rows as a list column of half floats."""
    rows = np.concatenate(batches).astype(np.float16) if batches else np.zeros((0, 1), np.float16)
    return pa.array(list(rows), pa.list_(pa.float16()))


def _batched(clips: Iterator[Clip], size: int) -> Iterator[list[Clip]]:
    while batch := list(itertools.islice(clips, size)):
        yield batch
