"""One decision per clip: the first rule that refuses it (see `filtering.py`), or `kept`; and its split.

A selection is a table, never a copy of the clips. Each part is decided by itself, with the selection's cutoffs.
"""

import collections
import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from pipeline.selection.cutoffs import Cutoffs, group_by_video, hash_ids, mean_scores, passes, rank_within_video
from pipeline.selection.filtering import ClipRules, FilteringConfig
from pipeline.selection.reasons import Reasons
from pipeline.storage.workspace import NUM_READERS, Workspace
from schemas.selections import RIGHTS_CHANGED, SELECTIONS

NUM_BINS = 20  # of the score histogram: 0.05 each


class DecidePart:
    """Decides on parts of clips."""

    def __init__(self, rules: ClipRules, cutoffs: Cutoffs) -> None:
        self._rules, self._cutoffs = rules, cutoffs

    def __call__(self, part: str) -> dict[str, int]:
        """Commit one decision per clip of the part; return counts by reason."""
        return next(self.run_parts([part]))

    def run_parts(self, parts: Sequence[str]) -> Iterator[dict[str, int]]:
        """What a call gives of each part, in order. The rules see clips of several parts at once, since one has few."""
        for clips in self._rules.read_together(parts):
            yield from self._decide(clips)

    def _decide(self, clips: Mapping[str, pa.Table]) -> Iterator[dict[str, int]]:
        for some, reasons in self._refuse(clips):
            first = 0
            for part, table in some.items():
                yield self._commit(part, table, reasons.part(first, len(table)))
                first += len(table)

    def _refuse(self, clips: Mapping[str, pa.Table]) -> Iterator[tuple[Mapping[str, pa.Table], Reasons]]:
        """Clips by part with their reasons: those of all parts at once, or of one after the other where all fail.

        Parts one by one may need less memory than there is; an error of another kind is met again, by its part.
        """
        try:
            reasons = self._rules.refuse(pa.concat_tables(clips.values()), self._cutoffs.score_cutoff)
        except ConfigError:
            if len(clips) == 1:
                raise
        else:
            yield clips, reasons
            return
        for part in clips:
            yield from self._refuse({part: clips[part]})

    def _commit(self, part: str, clips: pa.Table, reasons: Reasons) -> dict[str, int]:
        compare(clips, reasons, self._cutoffs, self._rules.config)
        kept = reasons.passed
        columns = dict(zip(clips.column_names, clips.columns, strict=True))
        columns |= {"kept": pa.array(kept), "reason": reasons.texts()}
        columns |= {"unique_s": pa.array(unique_seconds(clips, kept), mask=~kept)}
        decided = pa.table({name: columns[name] for name in SELECTIONS.names})
        self._rules.workspace.commit(f"selections/{self._rules.name}", part, decided, SELECTIONS)
        return reasons.count()


def undecided(workspace: Workspace, source: str, selection: str) -> list[str]:
    """The parts of `source` that a selection has not decided on yet, or that have clips of videos whose rights changed
    since."""

    def is_changed(part: str) -> bool:
        reasons = workspace.read(selection, part, SELECTIONS, ["reason"])["reason"]
        return pc.any(pc.equal(reasons, RIGHTS_CHANGED)).as_py() is True

    parts = workspace.parts(selection)
    with ThreadPoolExecutor(NUM_READERS) as pool:
        changed = itertools.compress(parts, pool.map(is_changed, parts))
        return sorted({*workspace.pending(source, selection), *changed})


def compare(clips: pa.Table, reasons: Reasons, cutoffs: Cutoffs, config: FilteringConfig) -> None:
    """Refuse clips of one part by the rules about the corpus, of those that no rule before these refuses."""
    if not config.max_clips_per_video and cutoffs.video_cutoff is None and cutoffs.clip_cutoff is None:
        return
    passed = np.flatnonzero(reasons.passed)
    left = clips.take(passed)
    names, videos, scores = group_by_video(left)

    def refuse(refused: np.ndarray, reason: str) -> None:
        mask = np.zeros(len(clips), bool)
        mask[passed[refused]] = True
        reasons.refuse(mask, reason)

    if cutoffs.video_cutoff is not None:
        means = mean_scores(videos, scores)
        tied = hash_ids(names, means == cutoffs.video_cutoff[0])
        refuse(~passes(means, tied, cutoffs.video_cutoff)[videos], "not_top_video")
    if config.max_clips_per_video:
        refuse(rank_within_video(videos, scores) >= config.max_clips_per_video, "over_video_cap")
    if cutoffs.clip_cutoff is not None:
        tied = hash_ids(left["clip_id"], scores == cutoffs.clip_cutoff[0])
        refuse(~passes(scores, tied, cutoffs.clip_cutoff), "not_top_clip")


def unique_seconds(clips: pa.Table, kept: np.ndarray) -> np.ndarray:
    """[n] seconds of each kept clip that no earlier kept clip of its video holds; 0 for the others.

    Their sum over any rows of whole videos is the length of what is kept, however clips overlap.
    """
    rows = np.flatnonzero(kept)
    videos = clips["video_id"].take(rows).combine_chunks().dictionary_encode().indices.to_numpy()
    starts, lengths = clips["start_s"].to_numpy()[rows], clips["duration_s"].to_numpy()[rows]
    order = np.lexsort((starts, videos))
    ends = starts[order] + lengths[order]
    is_first = np.diff(videos[order], prepend=-1) != 0
    before = np.where(is_first, -np.inf, np.concatenate([[-np.inf], ends])[: len(ends)])
    unique = np.zeros(len(clips))
    unique[rows[order]] = np.round(ends - np.minimum(ends, np.maximum(starts[order], before)), 6)
    return unique


def summarize(workspace: Workspace, name: str) -> dict[str, Any]:
    """Counts by reason, and histograms of the scores: NUM_BINS equal bins from 0 to 1, of all scored and kept clips."""
    counts: collections.Counter[str] = collections.Counter()
    bins = np.linspace(0, 1, NUM_BINS + 1)
    scored, kept = np.zeros(NUM_BINS, np.int64), np.zeros(NUM_BINS, np.int64)
    folder = f"selections/{name}"
    for part in workspace.parts(folder):
        rows = workspace.read(folder, part, SELECTIONS, ["reason", "kept", "score"])
        counts.update({item["values"]: item["counts"] for item in rows["reason"].value_counts().to_pylist()})
        scored += np.histogram(rows["score"].drop_null().to_numpy(), bins)[0]
        kept += np.histogram(rows["score"].filter(rows["kept"]).drop_null().to_numpy(), bins)[0]
    histograms = {"scored": scored.tolist(), "kept": kept.tolist()}
    return {"reasons": dict(sorted(counts.items())), "score_histograms": histograms}


def format_none_kept(reasons: Mapping[str, int]) -> str:
    """The reason that refused the most clips, where no clip is kept: a misspelt rule, or one that no clip meets."""
    if reasons.get("kept"):
        return ""
    reason, count = max(reasons.items(), key=lambda item: item[1], default=("not_cut", 0))
    return f"; 0 clips kept, {count} of {sum(reasons.values())} refused as {reason}"
