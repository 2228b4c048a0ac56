"""Kept clips -> a stratified sample for raters, and the order in which a page shows them.

Strata are the deciles of the coincidence score (one where there is none) and, with a selection, the split and whether
the selection keeps the clip. Each decile gives as many clips as any other, shared out evenly among its strata. Clips of
different videos come first: a second clip of a video says less than a first one of another.

Design note: deciles are drawn alike, and not in proportion to the corpus, because a threshold is set where scores are
rare. `num_in_stratum` and `num_drawn` weigh an answer back to the corpus.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.reports.querying import query
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace

NUM_BINS = 10
REPEATED_SHARE = 0.1  # of the clips are shown twice, one at least
# Names decide what is drawn, so that the sample depends on the seed and not on the order of parts. What the windows
# sort is narrow: 26 s of CPU and 3 GB for 7.2 M clips.
SAMPLE = """
    WITH scored AS (
        SELECT clip_id, video_id, {score} AS score, {split} AS split, {kept} AS kept,
            md5_number_lower('{seed}:' || clip_id) AS draw
        FROM clips {join} WHERE clips.spec = 'base' AND outcome = 'kept' AND num_frames > 0
    ), binned AS (
        SELECT *, CASE WHEN score IS NULL OR isnan(score) THEN 0 ELSE 1 + least({bins} - 1, floor({bins} * (
                rank() OVER (PARTITION BY score IS NULL OR isnan(score) ORDER BY score) - 1
            ) / count(*) OVER (PARTITION BY score IS NULL OR isnan(score)))::INT) END AS decile,
            row_number() OVER (PARTITION BY video_id ORDER BY draw) AS of_video
        FROM scored
    ), within AS (
        SELECT *, count(*) OVER (PARTITION BY decile, split, kept) AS num_in_stratum,
            row_number() OVER (PARTITION BY decile, split, kept ORDER BY of_video, draw) AS place
        FROM binned
    ), drawn AS (
        SELECT * FROM within ORDER BY
            row_number() OVER (PARTITION BY decile ORDER BY place, of_video, draw),
            md5_number_lower('{seed}:' || decile)
        LIMIT {count}
    )
    SELECT clip_id, drawn.video_id, part, tar_offset, tar_bytes, start_s, duration_s, score, decile, split, kept,
        num_in_stratum, count(*) OVER (PARTITION BY decile, split, kept) AS num_drawn
    FROM drawn JOIN clips USING (clip_id) WHERE clips.spec = 'base' ORDER BY draw
"""


@dataclass(frozen=True, slots=True)
class RatingSample:
    """Clips for raters."""

    clips: pa.Table
    """One row each, in the order of their drawing: ids, place in the tars, start_s, duration_s, score, decile (0: no
    score), split and kept (null without a selection), num_in_stratum, num_drawn."""
    order: list[tuple[int, bool]]
    """What is shown: the number of a clip, and whether it was shown before."""


def draw_sample(
    workspace: Workspace, num_clips: int, seed: int, model: str, selection: str | None = None
) -> RatingSample:
    """A stratified sample of the kept clips of the spec `base`, the same for the same seed.

    Args:
        workspace: whose clips are drawn.
        num_clips: how many, or all if there are fewer.
        seed: of the draw.
        model: the coincidence model whose scores make the deciles; a selection has its own.
        selection: whose splits and verdicts make strata; its name is safe to be put into SQL.
    Raises:
        ConfigError: there is no clip, or no such selection.
    """
    workspace.require(CLIPS_FOLDER)
    parts = {"score": "score", "split": "NULL::VARCHAR", "kept": "NULL::BOOLEAN"}
    join = f"LEFT JOIN (SELECT clip_id, score FROM scores WHERE model = '{model}') USING (clip_id)"
    if selection is not None:
        workspace.require(f"selections/{selection}")
        parts |= {"split": "split", "kept": "kept"}
        columns = "clip_id, score, split, kept"
        join = f"JOIN (SELECT {columns} FROM selections WHERE selection = '{selection}') USING (clip_id)"
    clips = query(workspace, SAMPLE.format(**parts, join=join, seed=seed, bins=NUM_BINS, count=num_clips))
    if not len(clips):
        raise ConfigError(f"{CLIPS_FOLDER} of {workspace.root}: no clip with frames is kept; expected one or more.")
    return RatingSample(clips, _order(len(clips), seed))


def _order(num_clips: int, seed: int) -> list[tuple[int, bool]]:
    """Every clip once, and some of the first half again among the last third."""
    num_repeated = min(num_clips // 2, max(1, round(REPEATED_SHARE * num_clips)))
    rng = np.random.default_rng([seed, num_clips])
    early = num_clips - num_clips // 3
    again = rng.choice(max(1, num_clips // 2), num_repeated, replace=False)
    late = [(number, False) for number in range(early, num_clips)] + [(int(number), True) for number in again]
    return [(number, False) for number in range(early)] + [late[place] for place in rng.permutation(len(late))]
