"""Generated vectors of pictures and sounds that share a class, and what the best of all scores makes of them."""

import dataclasses
from collections.abc import Set as AbstractSet
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import log_softmax, logsumexp

from pipeline.learners.vector_sets import VectorSet
from pipeline.outside.imported_tables import ImportFiles
from pipeline.selection.embeddings import to_column
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.scores import SCORES
from schemas.videos import VIDEOS


@dataclasses.dataclass(frozen=True)
class Classes:
    """Classes whose pictures lie around one mean, whose sounds around another, with noise as strong as the signal.

    Entries of means and noise are standard normal. The classes are equally likely.
    """

    pictures: np.ndarray
    """[C, D_v] means."""
    sounds: np.ndarray
    """[C, D_a] means."""

    def draw(self, rng: np.random.Generator, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pictures [n, D_v] and sounds [n, D_a] of classes [n], each with noise of its own, float32."""
        picture, sound = (
            (means[numbers] + rng.standard_normal((len(numbers), means.shape[1]))).astype(np.float32)
            for means in (self.pictures, self.sounds)
        )
        return picture, sound

    def best_scores(self, picture: np.ndarray, sound: np.ndarray) -> np.ndarray:
        """[n, m] log likelihood ratio that picture i and sound j are of one class: no score has a higher AUC.

        p(v, a | match) / (p(v) p(a)) = C sum_c p(c | v) p(c | a), with the known means (Neyman and Pearson 1933).
        """
        of_picture, of_sound = _posterior(self.pictures, picture), _posterior(self.sounds, sound)
        joint = logsumexp(of_picture[:, None] + of_sound[None], axis=2)
        return np.log(len(self.pictures)) + joint

    def linear_scores(self, picture: np.ndarray, sound: np.ndarray) -> np.ndarray:
        """[n, m] cosine of the best linear projections: each vector on the centred means of its kind (LDA)."""
        sides = []
        for means, vectors in ((self.pictures, picture), (self.sounds, sound)):
            centred = means - means.mean(axis=0)
            # evidence of each class, linear in the vector, as noise is the same in all directions
            evidence = (vectors - means.mean(axis=0)) @ np.linalg.pinv(centred)
            sides.append(evidence / np.linalg.norm(evidence, axis=1, keepdims=True))
        scores: np.ndarray = sides[0] @ sides[1].T
        return scores


def make_classes(seed: int, num_classes: int = 14, picture_dim: int = 96, sound_dim: int = 64) -> Classes:
    """Classes at random."""
    rng = np.random.default_rng([seed, 0])
    return Classes(rng.standard_normal((num_classes, picture_dim)), rng.standard_normal((num_classes, sound_dim)))


def vector_set(workspace: Workspace, picture: np.ndarray, sound: np.ndarray, name: str = "v") -> VectorSet:
    """One clip of each of n videos, with these vectors [n, D]."""
    ids = [f"{name}{number:05d}" for number in range(len(picture))]
    rows = pa.table({"clip_id": ids, "video_id": ids, "part": ["00000"] * len(ids)})
    return VectorSet(workspace, "clips/base", rows, picture, sound)


def pairs_auc(scores: np.ndarray) -> float:
    """AUC of the diagonal of scores [n, n], own pairs, against all others."""
    own = np.eye(len(scores), dtype=bool)
    ranks = np.searchsorted(np.sort(scores[~own]), scores[own], "left")
    ties = np.searchsorted(np.sort(scores[~own]), scores[own], "right") - ranks
    return float((ranks + ties / 2).mean() / (~own).sum())


def _posterior(means: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    log_likelihood = vectors @ means.T - (means**2).sum(axis=1) / 2
    posterior: np.ndarray = log_softmax(log_likelihood, axis=1)
    return posterior


def write_root(folder: Path, num_videos: int, num_parts: int, clips_per_video: int = 2) -> Workspace:
    """A root whose parts have the rows of so many videos and kept clips together, and no tar."""
    workspace = Workspace(str(folder))
    for part, videos in enumerate(np.array_split(np.arange(num_videos), num_parts)):
        name, ids = f"{part:05d}", [f"video{number:05d}" for number in videos]
        rows = [
            {
                "video_id": video,
                "uri": f"/videos/{video}.mp4",
                "part": name,
                "rights": "unknown",
                "num_clips": clips_per_video,
            }
            | {"outcome": "kept"}
            for video in ids
        ]
        clips = [
            {"clip_id": f"{video}_{1000 * second:08d}", "video_id": video, "part": name, "start_s": float(second)}
            | {"duration_s": 5.0, "num_frames": 5, "outcome": "kept"}
            for video in ids
            for second in range(clips_per_video)
        ]
        workspace.commit("videos/base", name, from_rows(rows, VIDEOS, name), VIDEOS)
        workspace.commit("clips/base", name, from_rows(clips, CLIPS, name), CLIPS)
    workspace.begin("clips/base", {}, {})
    return workspace


def import_vectors(workspace: Workspace, name: str, table: pa.Table) -> None:
    """Import a table of columns by clip_id."""
    file = Path(workspace.root) / f"{name}.parquet"
    pq.write_table(table, file)
    with ImportFiles(workspace, name, [str(file)], "base") as opened:
        stage = f"imported/{name}"
        workspace.begin(stage, {"spec": "base", "columns": opened.columns, "content": opened.content}, {})
        found = opened.write(workspace.pending("clips/base", stage))
        workspace.finish(stage, num_rows=found.num_rows, num_clips=found.num_clips)
    file.unlink()


def clip_ids(workspace: Workspace) -> list[str]:
    """The kept clips of a root, in the order of their rows."""
    rows = workspace.read_all("clips/base", CLIPS, ["clip_id", "outcome"]).to_pylist()
    return [row["clip_id"] for row in rows if row["outcome"] == "kept"]


def write_vectors(folder: Path) -> Workspace:
    """Two parts of 10 videos of two clips, with imported vectors clip.image of 6 and clap.audio of 4 numbers.

    Clip 3 has no picture, clip 5 no row in the table of sounds.
    """
    workspace = write_root(folder, num_videos=20, num_parts=2)
    import_class_vectors(workspace, no_picture={3}, no_sound={5})
    return workspace


def import_class_vectors(
    workspace: Workspace, no_picture: AbstractSet[int] = frozenset(), no_sound: AbstractSet[int] = frozenset()
) -> None:
    """clip.image of 6 and clap.audio of 4 numbers for a root's clips, of four classes, but for some clips."""
    rng, ids = np.random.default_rng(0), clip_ids(workspace)
    picture, sound = make_classes(0, 4, 6, 4).draw(rng, np.arange(len(ids)) // 2 % 4)
    pictures = [None if number in no_picture else row for number, row in enumerate(picture.tolist())]
    import_vectors(workspace, "clip", pa.table({"clip_id": ids, "image": pictures, "note": ["x"] * len(ids)}))
    is_known = pa.array([number not in no_sound for number in range(len(ids))])
    import_vectors(workspace, "clap", pa.table({"clip_id": ids, "audio": sound.tolist()}).filter(is_known))


def write_scores(
    workspace: Workspace, model: str, visual: np.ndarray, audio: np.ndarray, missing: AbstractSet[int] = frozenset()
) -> None:
    """scores/<model> with these embeddings [clips, D] of a root's clips, but for those of some numbers."""
    start = 0
    for part in workspace.parts("clips/base"):
        clips = workspace.read("clips/base", part, CLIPS, ["clip_id", "video_id"])
        rows = slice(start, start + len(clips))
        is_there = np.array([number not in missing for number in range(rows.start, rows.stop)])
        columns = {name: clips[name] for name in ("clip_id", "video_id")}
        columns["score"] = pa.array(np.full(len(clips), 0.5, np.float32), mask=~is_there)
        columns["audio_embedding"] = to_column(audio[rows][is_there], is_there)
        columns["visual_embedding"] = to_column(visual[rows][is_there], is_there)
        workspace.commit(f"scores/{model}", part, pa.table(columns, schema=SCORES), SCORES)
        start = rows.stop
    workspace.begin(f"scores/{model}", {}, {})
    workspace.finish(f"scores/{model}")
