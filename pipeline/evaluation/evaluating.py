"""Checkpoint and frozen set -> report rows; rows -> the figures of `summary`.

| metric | of | meaning |
|---|---|---|
| median_si_snr_db, median_si_snr_input_db, median_si_snr_improvement_db | on sets | estimate; mixture; gain |
| median_si_snr_oracle_db | on_mom | the best assignment of the sources to the two mixtures, found with the references |
| median_osr_db | off sets | power of the mixture over power of the on-screen estimate |
| auc_roc | all | sources' probabilities against truth, weighted by their power |
| match_auc | held_out_pairs | cosines of own sound and picture against those with another video's sound |

Medians, because a perfect reconstruction or an empty estimate has no finite value (AudioScope, section 4.3): the
metrics stop at 80 dB.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipeline.clips.samples import Clip, decode_sample
from pipeline.clips.splitting import SplittingConfig, duplicate_groups, part_splits
from pipeline.clips.tars import read_sequence
from pipeline.learners import load_model
from pipeline.learners.separation import SeparationLearner
from pipeline.metrics.detection import matched_mismatched_auc, weighted_auc_roc
from pipeline.selection.embeddings import to_matrix
from pipeline.storage import files
from pipeline.storage.workspace import VIDEOS_FOLDER, Workspace, report_folder
from pipeline.training.batching import step_rng
from schemas.fields import from_rows
from schemas.mixtures import MIXTURES
from schemas.reports import EXAMPLES, SOURCES, SUMMARY
from schemas.scores import SCORES

TABLES = {"examples": EXAMPLES, "sources": SOURCES}
BATCH_SIZE = 8  # examples per forward pass: speed, memory, and the last digits of figures


class EvaluatePart:
    """Evaluates one model on one part of the frozen examples. Loads the model at its first part and keeps it."""

    def __init__(self, workspace: Workspace, run: str, mixtures: str, batch_size: int = BATCH_SIZE) -> None:
        self._workspace, self._run, self._mixtures, self._batch_size = workspace, run, mixtures, batch_size
        self._loaded: tuple[SeparationLearner, torch.nn.Module] | None = None

    def __call__(self, part: str) -> dict[str, int]:
        """Write the part's rows of `examples` and `sources`; return how many examples."""
        learner, model = self._loaded = self._loaded or load_model(self._workspace, self._run, "separation")
        folder = f"mixtures/{self._mixtures}"
        keys = self._workspace.read(folder, part, MIXTURES, ["example_id"]).column("example_id").to_pylist()
        rows: dict[str, list[dict[str, Any]]] = {"examples": [], "sources": []}
        uri = self._workspace.uri(folder, f"{part}.tar")
        with files.local_copy(uri) as path:
            batch: list[Clip] = []
            for key, members in read_sequence(path, keys, uri):
                batch.append(decode_sample(key, members, uri))
                if len(batch) == self._batch_size or key == keys[-1]:
                    for table, found in learner.evaluate(model, batch).items():
                        rows[table] += found
                    batch = []
        eval_set = part.rpartition("-")[0]
        for table, schema in reversed(TABLES.items()):  # `examples` last: a part with it is finished
            tagged = [{"model": self._run, "eval_set": eval_set} | row for row in rows[table]]
            self._workspace.commit(report_folder(self._run, table), part, from_rows(tagged, schema, part), schema)
        return {"examples": len(rows["examples"])}


def summarise_separation(workspace: Workspace, run: str) -> list[dict[str, Any]]:
    """Rows of `summary` from a model's `examples` and `sources`."""
    examples = workspace.read_all(report_folder(run, "examples"), EXAMPLES)
    sources = workspace.read_all(report_folder(run, "sources"), SOURCES)
    rows = []
    for eval_set in ("on_single", "off_single", "on_mom", "off_mom"):
        chosen = examples.filter(pc.equal(examples["eval_set"], eval_set))
        figures = {name: _floats(chosen[f"{name}_db"]) for name in ("si_snr", "si_snr_input", "si_snr_oracle", "osr")}
        figures["si_snr_improvement"] = figures["si_snr"] - figures["si_snr_input"]
        wanted = ("si_snr", "si_snr_input", "si_snr_improvement", "si_snr_oracle") if "on_" in eval_set else ("osr",)
        for name in wanted:
            values = figures[name][np.isfinite(figures[name])]
            if name != "si_snr_oracle" or eval_set == "on_mom":
                rows.append(_row(run, eval_set, f"median_{name}_db", _median(values), "dB", len(values)))
    rows.append(_row(run, "all", "auc_roc", _auc(sources), "1", len(sources)))
    return rows


def summarise_coincidence(
    workspace: Workspace, run: str, splitting: SplittingConfig, seed: int
) -> list[dict[str, Any]]:
    """Rows of `summary` for a coincidence model, from its scores' embeddings of test clips.

    Each test clip's picture is compared with its own sound and with that of a clip of another test video. The model has
    trained on whole splits: a test video with an upload in another split is left out, whichever selection found it.
    """
    splits: dict[str, str] = {}
    for part in workspace.parts(VIDEOS_FOLDER):
        splits |= part_splits(workspace, part, splitting)
    groups = duplicate_groups(workspace)
    seen = {group for video, group in groups.items() if splits.get(video) != "test"}
    held_out = pa.array(
        [video for video, split in splits.items() if split == "test" and groups.get(video) not in seen], pa.string()
    )
    columns = ["clip_id", "video_id", "audio_embedding", "visual_embedding"]
    tables = [SCORES.empty_table().select(columns)]
    for part in workspace.parts(f"scores/{run}"):
        scores = workspace.read(f"scores/{run}", part, SCORES, columns)
        is_scored = pc.is_valid(scores["audio_embedding"])  # a damaged clip is not
        tables.append(scores.filter(pc.and_(is_scored, pc.is_in(scores["video_id"], held_out))))
    test = pa.concat_tables(tables)
    videos = test["video_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    if len(np.unique(videos)) < 2:
        return [_row(run, "held_out_pairs", "match_auc", None, "1", 0)]
    audio, visual = (to_matrix(test[f"{side}_embedding"]).astype(np.float32) for side in ("audio", "visual"))
    others = draw_others(videos, step_rng(seed))
    matched, mismatched = (audio * visual).sum(axis=1), (audio[others] * visual).sum(axis=1)
    auc = matched_mismatched_auc(matched, mismatched)
    return [_row(run, "held_out_pairs", "match_auc", auc, "1", 2 * len(videos))]


def draw_others(videos: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[n] for each clip one of another video, any other video being as likely: `ClipSet.draw_other` for all clips.

    `videos` [n] holds the number of each clip's video; there are 2 videos or more.
    """
    counts = np.bincount(videos)
    video = rng.integers(len(counts) - 1, size=len(videos))
    video += video >= videos  # the number among the others becomes that among all
    place = (np.cumsum(counts) - counts)[video] + rng.integers(counts[video])
    return np.argsort(videos, kind="stable")[place]


def commit_summary(workspace: Workspace, run: str, rows: list[dict[str, Any]]) -> None:
    """Write a model's summary."""
    workspace.commit(report_folder(run, "summary"), "00000", from_rows(rows, SUMMARY, run), SUMMARY)


def _row(run: str, eval_set: str, metric: str, value: float | None, unit: str, n: int) -> dict[str, Any]:
    return {"model": run, "eval_set": eval_set, "metric": metric, "value": value, "unit": unit, "n": n}


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in column.to_pylist()], dtype=np.float64)


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None


def _auc(sources: pa.Table) -> float | None:
    """Power-weighted AUC-ROC, or None where all sources have one truth."""
    truth = sources["on_screen"].to_numpy()
    if len(truth) == 0 or truth.all() or not truth.any():
        return None
    return weighted_auc_roc(sources["probability"].to_numpy(), truth, sources["weight"].to_numpy())
