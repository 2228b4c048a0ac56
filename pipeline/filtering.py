"""Scores and labels -> one decision per clip, with the first rule that refused it, and a split per video.

The rules, in order: the clip was cut (else `not_cut:<why>`), it was scored, nobody labelled it off-screen only, its
score is at least `min_score`, it is among the best `keep_fraction`, and its video has not filled `max_clips_per_video`
with better ones. A selection is a table, never a copy of the clips.
"""

import dataclasses

import duckdb
import pyarrow as pa

from pipeline.artifacts import CLIPS_FOLDER, LABELS_FOLDER, Workspace
from pipeline.splitting import SplittingConfig, part_splits
from schemas.clips import CLIPS
from schemas.labels import LABELS
from schemas.scores import SCORES
from schemas.selections import SELECTIONS


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FilteringConfig:
    """What a clip must be to belong to the selection."""

    min_score: float = 0.0
    """Lowest coincidence score kept, 0 to 1. AudioScope kept 0.8 and above."""
    keep_fraction: float = 1.0
    """Share of the scored clips kept, the best first; applied beside min_score."""
    max_clips_per_video: int | None = None
    """Best clips kept of each video; None keeps all. A cap stops a few long videos from filling the set."""
    refuse_off_screen: bool = True
    """Refuse clips that people labelled as having off-screen sound only."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"filtering.min_score = {self.min_score}: expected 0 to 1.")
        if not 0 < self.keep_fraction <= 1:
            raise ValueError(f"filtering.keep_fraction = {self.keep_fraction}: expected more than 0, at most 1.")
        if self.max_clips_per_video is not None and self.max_clips_per_video < 1:
            raise ValueError(
                f"filtering.max_clips_per_video = {self.max_clips_per_video}: expected 1 or more, or none."
            )


def lowest_score(workspace: Workspace, model: str, config: FilteringConfig) -> float:
    """The score that a clip needs: `min_score`, or that of the last clip of `keep_fraction`, whichever is higher."""
    if config.keep_fraction == 1:
        return config.min_score
    scores = workspace.read_all(f"scores/{model}", SCORES, ["score"])
    with duckdb.connect() as database:
        database.register("scores", scores)
        sql = "SELECT score FROM scores ORDER BY score DESC LIMIT 1 OFFSET $above"
        num_kept = max(1, round(config.keep_fraction * len(scores)))
        found = database.execute(sql, {"above": num_kept - 1}).fetchone()
    return max(config.min_score, float(found[0])) if found else config.min_score


class FilterPart:
    """Decides on one part of clips."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        model: str,
        config: FilteringConfig,
        splitting: SplittingConfig,
        lowest: float,
        has_labels: bool,
    ) -> None:
        self._workspace, self._name, self._model, self._config = workspace, name, model, config
        self._splitting, self._lowest, self._has_labels = splitting, lowest, has_labels

    def __call__(self, part: str) -> dict[str, int]:
        """Commit one decision per clip of the part; return counts by reason."""
        split = part_splits(self._workspace, part, self._splitting)
        clips = self._workspace.read(CLIPS_FOLDER, part, CLIPS, ["clip_id", "video_id", "part", "outcome"])
        tables = {
            "clips": clips,
            "scores": self._workspace.read(f"scores/{self._model}", part, SCORES, ["clip_id", "score"]),
            "labels": self._workspace.read(LABELS_FOLDER, part, LABELS) if self._has_labels else LABELS.empty_table(),
            "splits": pa.table({"video_id": list(split), "split": list(split.values())}),
        }
        parameters = {
            "name": self._name,
            "lowest": self._lowest,
            "cap": self._config.max_clips_per_video or 2**31 - 1,
            "refuse": self._config.refuse_off_screen,
        }
        with duckdb.connect() as database:
            for name, table in tables.items():
                database.register(name, table)
            decided: pa.Table = database.sql(DECIDE, params=parameters).to_arrow_table()
        self._workspace.commit(f"selections/{self._name}", part, decided.cast(SELECTIONS), SELECTIONS)
        counts = decided.column("reason").value_counts().to_pylist()
        return {item["values"]: item["counts"] for item in counts}


# Rank within the video counts only clips that every rule before the cap lets through.
DECIDE = """
WITH judged AS (
    SELECT clips.*, score, label, split,
        CASE WHEN outcome <> 'kept' THEN 'not_cut:' || outcome
             WHEN score IS NULL THEN 'not_scored'
             WHEN $refuse AND label = 'off_screen' THEN 'labelled_off_screen'
             WHEN score < $lowest THEN 'low_score'
        END AS refusal
    FROM clips LEFT JOIN scores USING (clip_id) LEFT JOIN (SELECT clip_id, label FROM labels) USING (clip_id)
        JOIN splits USING (video_id)
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY video_id, refusal IS NULL ORDER BY score DESC, clip_id) AS place
    FROM judged
)
SELECT $name AS selection, clip_id, video_id, part, refusal IS NULL AND place <= $cap AS kept,
    coalesce(refusal, CASE WHEN place > $cap THEN 'over_video_cap' ELSE 'kept' END) AS reason,
    split, score::FLOAT AS score, label
FROM ranked ORDER BY clip_id
"""
