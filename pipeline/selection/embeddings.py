"""Embeddings in the list columns of `scores`, and back; never by way of Python's numbers, which take 32 bytes each.

Clips are compared by those of a model, of sound and of picture, or by an imported vector of the whole clip.
"""

import dataclasses
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.outside.vectors import check_vectors, read_vectors, table_of
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.scores import SCORES


def to_column(vectors: np.ndarray, is_there: np.ndarray) -> pa.Array:
    """[m] lists: the rows of `vectors` [n, D] where `is_there` [m] says so, n times, null elsewhere.

    The numbers are rounded to half floats, which floats hold.
    """
    ends = np.cumsum(is_there, dtype=np.int32) * np.int32(vectors.shape[1])
    values = pa.array(vectors.astype(np.float16).astype(np.float32).ravel())
    return pa.ListArray.from_arrays(np.append(np.int32(0), ends), values, mask=pa.array(~is_there))


def to_matrix(column: pa.ChunkedArray) -> np.ndarray:
    """[n, D] float16 of a column without nulls: first leave out the clips that have no score."""
    if column.null_count:
        raise ValueError(f"{column.null_count} of {len(column)} clips have no embedding.")
    values = column.combine_chunks().flatten().to_numpy().astype(np.float16)
    return values.reshape(len(column), -1) if len(column) else np.zeros((0, 1), np.float16)


class Compared(Protocol):
    """By which vectors clips are compared."""

    @property
    def workspace(self) -> Workspace:
        """Whose clips they are."""

    @property
    def folder(self) -> str:
        """The stage that has them; its parts are compared."""

    def inputs(self) -> dict[str, str]:
        """The hash of that stage, by its name. Raises a ConfigError if it is not there, or has no vectors."""

    def read(self, part: str) -> dict[str, np.ndarray]:
        """[k, S, D] float16 unit vectors of the clips of each video of a part, in order: S vectors for each clip that
        has them."""


@dataclasses.dataclass(frozen=True)
class ScoredEmbeddings:
    """Those of a model: of a clip's sound, and of its picture."""

    workspace: Workspace
    model: str

    @property
    def folder(self) -> str:
        """The scores."""
        return f"scores/{self.model}"

    def inputs(self) -> dict[str, str]:
        """The hash of the scores."""
        self.workspace.require(self.folder)
        return {self.folder: self.workspace.stage(self.folder)["hash"]}

    def read(self, part: str) -> dict[str, np.ndarray]:
        """[k, 2, D] of the scored clips."""
        columns = ["clip_id", "video_id", "score", "audio_embedding", "visual_embedding"]
        table = self.workspace.read(self.folder, part, SCORES, columns)
        table = table.filter(pc.is_finite(table["score"])).sort_by("clip_id")
        clips = np.stack([to_matrix(table[f"{side}_embedding"]) for side in ("audio", "visual")], axis=1)
        return _by_video(table["video_id"], clips)


@dataclasses.dataclass(frozen=True)
class ImportedVectors:
    """Those of a column of an imported table, one of each clip; of any length, as cosines are compared."""

    workspace: Workspace
    where: str
    """table.column"""

    @property
    def folder(self) -> str:
        """The imported table."""
        return table_of(self.where)

    def inputs(self) -> dict[str, str]:
        """The hash of the imported table."""
        content = check_vectors(self.workspace, self.where, CLIPS_FOLDER.partition("/")[2])
        return {self.folder: content}

    def read(self, part: str) -> dict[str, np.ndarray]:
        """[k, 1, D] of the clips whose vector is neither null nor zeros."""
        rows = self.workspace.read(CLIPS_FOLDER, part, CLIPS, ["clip_id", "video_id", "outcome"])
        rows = rows.filter(pc.equal(rows["outcome"], "kept")).sort_by("clip_id")
        found = read_vectors(self.workspace, self.where, part, rows["clip_id"].to_pylist())
        values = found.values.astype(np.float64)  # of fp32's largest numbers the squares overflow
        lengths = np.linalg.norm(values, axis=1)
        clips = (values / np.maximum(lengths, np.finfo(np.float64).tiny)[:, None]).astype(np.float16)
        videos = rows["video_id"].filter(pa.array(found.is_there))
        is_some = lengths > 0
        return _by_video(videos.filter(pa.array(is_some)), clips[is_some, None])


def vector_length(compared: Compared) -> int | None:
    """Numbers of a vector; None where there is none."""
    parts = map(compared.read, compared.workspace.parts(compared.folder))
    return next((clips.shape[2] for part in parts for clips in part.values()), None)


def _by_video(videos: pa.ChunkedArray, clips: np.ndarray) -> dict[str, np.ndarray]:
    names = np.array(videos.to_pylist())
    return {str(name): clips[names == name] for name in np.unique(names)}
