"""Clip -> coincidence score and embeddings: one row per kept clip, in the order of the part's tar.

A clip whose sound or picture cannot be decoded gets a row without a score, which the filter refuses: one flipped byte
in millions of clips must not stop a run of days. If no clip of a part can be decoded, the clips are not the cause: the
part is an error. A model of imported vectors reads these in place of clips; a clip without them has no score either.
"""

import numpy as np
import pyarrow as pa

from pipeline.errors import DataError
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.loading import load_model
from pipeline.learners.sources import read_samples
from pipeline.models.towers import SharedSpace
from pipeline.selection.embeddings import to_column
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.scores import SCORES

BATCH_SIZE = 32  # clips per forward pass: speed, memory, and the last digits of scores


class ScorePart:
    """Scores one part of clips. Loads the model at its first part and keeps it."""

    def __init__(self, workspace: Workspace, model: str, batch_size: int = BATCH_SIZE) -> None:
        self._workspace, self._name, self._batch_size = workspace, model, batch_size
        self._loaded: tuple[CoincidenceLearner, SharedSpace] | None = None

    def __call__(self, part: str) -> dict[str, int]:
        """Score every kept clip of the part and commit the rows; return how many, and how many cannot be scored.

        Raises:
            ConfigError: the model is of imported vectors, and they are not there.
            DataError: the tar is not what its rows promise, or none of its several clips can be decoded.
        """
        learner, model = self._loaded = self._loaded or load_model(self._workspace, self._name, "coincidence")
        rows = self._workspace.read(CLIPS_FOLDER, part, CLIPS, ["clip_id", "video_id", "outcome"]).to_pylist()
        kept = {row["clip_id"]: row["video_id"] for row in rows if row["outcome"] == "kept"}
        found: list[tuple[np.ndarray, ...]] = []
        errors: dict[str, DataError] = {}
        for samples in read_samples(self._workspace, learner, part, list(kept), self._batch_size, errors):
            found.append(learner.embed(model, samples))
        empty = (np.zeros(0, np.float32), np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32))
        scored, audio, visual = (np.concatenate(arrays) for arrays in zip(*(found or [empty]), strict=True))
        is_scored = np.array([key not in errors for key in kept], bool)
        scores = np.zeros(len(kept), np.float32)
        scores[is_scored] = scored
        columns = {
            "clip_id": pa.array(kept.keys(), pa.string()),
            "video_id": pa.array(kept.values(), pa.string()),
            "score": pa.array(scores, mask=~is_scored),
            "audio_embedding": to_column(audio, is_scored),
            "visual_embedding": to_column(visual, is_scored),
        }
        self._workspace.commit(f"scores/{self._name}", part, pa.table(columns, schema=SCORES), SCORES)
        left_out = "without vectors" if learner.vector_columns else "damaged"
        return {"clips": len(kept) - len(errors), left_out: len(errors)}
