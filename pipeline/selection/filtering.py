"""Scores and labels -> one decision per clip, with the first rule that refused it, and a split per video.

The rules, in order; a clip's reason is the first that refuses it, and a rule counts only clips that all before it let
through. Rules about the whole video come first, those that compare clips with one another last.

    not_cut:<why>        its span gave no clip                    frozen_picture   frames equal to the one before
    license              the video's is not in `licenses`         low_score        below min_score or keep_fraction
    near_duplicate       another upload stands for it, or its     not_top_video    its video is not in top_videos
                         group is in another split
    not_scored           the model has not seen it                over_video_cap   its video has better ones enough
    labelled_off_screen, other_label   what people said           not_top_clip     not in top_clips
    too_quiet, silences, clipped       its sound                  kept             no rule refused it

keep_fraction is a share of what every rule before low_score lets through. Ties are settled by a hash of the id (between
clips of one video, by clip_id), so a decision never depends on which worker came first. A selection is a table, never a
copy of the clips. What compares clips across parts is settled beforehand in `Cutoffs`, by passes over columns
without embeddings; each part is then decided by itself.
"""

import collections
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.clips.splitting import SplittingConfig, hash_text, part_splits
from pipeline.config import Count, Share, config_dataclass
from pipeline.errors import ConfigError
from pipeline.selection.cutoffs import Candidates, Cutoffs, passes
from pipeline.storage.workspace import CLIPS_FOLDER, LABELS_FOLDER, VIDEOS_FOLDER, Workspace
from schemas.clips import CLIPS
from schemas.duplicates import DUPLICATES
from schemas.labels import LABELS, Label
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS

# Of each measured column: the config's field of its limit, the reason, and how what is refused compares with the limit.
# What has no measure passes.
MEASURES = {
    "loudness_lufs": ("min_loudness_lufs", "too_quiet", pc.less),
    "silent_fraction": ("max_silent_fraction", "silences", pc.greater),
    "clipped_fraction": ("max_clipped_fraction", "clipped", pc.greater),
    "frozen_fraction": ("max_frozen_fraction", "frozen_picture", pc.greater),
}
NUM_BINS = 20  # of the score histogram: 0.05 each
MAX_NAMED = 5  # licences in a message


@config_dataclass
class FilteringConfig:
    """What a clip must be to belong to the selection. Every default but refuse_off_screen lets all clips through."""

    licenses: tuple[str, ...] = ()
    """Licences kept, spelt as the collection states them; none named keeps all. Fewer: less data, easier to share."""
    duplicate_similarity: Annotated[float | None, Field(gt=0, lt=1)] = None
    """Cosine below which two clips are never one, in sound or in picture; None looks for no duplicates. Where many are
    that near, they must be nearer than by chance. Lower finds uploads that are brighter or noisier, and takes a few
    videos for uploads that only resemble one another: of 3 600 that differ 1 at 0.95, 6 at 0.9 and at 0.8."""
    refuse_off_screen: bool = True
    """Refuse clips that people labelled as having off-screen sound only."""
    labels: tuple[Label, ...] = ()
    """Keep only clips that people gave one of these labels; none named asks for no label."""
    min_loudness_lufs: float | None = None
    """Least integrated loudness. Higher refuses more hiss and hum, and more quiet nature."""
    max_silent_fraction: Share | None = None
    """Most of a clip that may be silent. Lower asks for sound throughout, and loses single events."""
    max_clipped_fraction: Share | None = None
    """Most of a clip's samples that may be at full scale. Lower refuses distorted sound; 0.001 is audible."""
    max_frozen_fraction: Share | None = None
    """Most of a clip's frames that may equal the one before. Below 1 refuses still pictures under music."""
    min_score: Share = 0.0
    """Lowest coincidence score kept, 0 to 1. AudioScope kept 0.8 and above."""
    keep_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share kept, the best first, of the clips that every rule before this one lets through: those refused for their
    licence, label, sound or picture do not count. Beside min_score: a clip must reach both. In a collection that grows,
    the score that the share came to in the first run stays."""
    top_videos: Count | None = None
    """Videos kept, the best by the mean score of what is left of their clips. Fewer: a cleaner, less varied set."""
    max_clips_per_video: Count | None = None
    """Best clips kept of each video; None keeps all. A cap stops a few long videos from filling the set."""
    top_clips: Count | None = None
    """Clips kept in all, the best first. In a collection that grows, later clips are held against those of the first
    run: this many of it, and of what arrives all that would have been among them. The same holds for top_videos."""


def check_values(workspace: Workspace, config: FilteringConfig) -> str:
    """What to tell a user of those `licenses` that no video has; "" where each occurs. Before a folder is claimed.

    Raises:
        ConfigError: no video has any of the licences, or nothing is labelled: every clip would be refused.
    """
    if config.labels and not workspace.has_stage(LABELS_FOLDER):
        raise ConfigError(f"filtering.labels = {', '.join(config.labels)}: nothing is labelled. Run `earshot label`.")
    counts: collections.Counter[str | None] = collections.Counter()
    for part in workspace.parts(VIDEOS_FOLDER) if config.licenses else []:
        counts.update(workspace.read(VIDEOS_FOLDER, part, VIDEOS, ["license"])["license"].to_pylist())
    absent = [name for name in config.licenses if name not in counts]
    if not absent:
        return ""
    there = ", ".join(f"{name!r} of {count} videos" for name, count in counts.most_common(MAX_NAMED))
    told = f"filtering.licenses: no video has {', '.join(map(repr, absent))}. Found: {there or 'no video'}."
    if len(absent) == len(config.licenses):
        raise ConfigError(f"{told} Spell them as the collection does, or name none to keep all.")
    return told


class FilterPart:
    """Decides on one part of clips; `survey` finds out before what the cutoffs are to be.

    Args:
        workspace: where clips, scores, labels and, if duplicates are looked for, `duplicates/<name>` lie.
        name: of the selection.
        model: whose scores.
        config: the rules.
        splitting: the splits.
        cutoffs: for `survey`, the lowest score is enough; for `passing`, none is needed.
    """

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        model: str,
        config: FilteringConfig,
        splitting: SplittingConfig,
        cutoffs: Cutoffs,
    ) -> None:
        self._workspace, self._name, self._model = workspace, name, model
        self._config, self._splitting, self._thresholds = config, splitting, cutoffs
        self._has_labels = workspace.has_stage(LABELS_FOLDER)

    def __call__(self, part: str) -> dict[str, int]:
        """Commit one decision per clip of the part; return counts by reason."""
        clips, reasons = self._first_refusals(part)
        passed = np.flatnonzero(reasons == "")
        left = clips.take(passed)
        names, videos, scores = _by_video(left)
        over_cap = _places(videos, scores) >= (self._config.max_clips_per_video or len(left) + 1)
        video_cutoff, clip_cutoff = self._thresholds.video_cutoff, self._thresholds.clip_cutoff
        if clip_cutoff is not None:
            tied = _hashes(left["clip_id"], scores == clip_cutoff[0])
            reasons[passed[~passes(scores, tied, clip_cutoff)]] = "not_top_clip"
        reasons[passed[over_cap]] = "over_video_cap"  # from the last rule to the first, so that the first one stays
        if video_cutoff is not None:
            means = _means(videos, scores)
            tied = _hashes(names, means == video_cutoff[0])
            reasons[passed[~passes(means, tied, video_cutoff)[videos]]] = "not_top_video"
        kept = reasons == ""
        reasons[kept] = "kept"
        columns = {name: clips[name] for name in ("clip_id", "video_id", "part", "split", "score", "label")}
        columns |= {"selection": pa.array([self._name] * len(clips), pa.string()), "kept": pa.array(kept)}
        columns |= {"reason": pa.array(reasons, pa.string())}
        decided = pa.table(columns).select(SELECTIONS.names).cast(SELECTIONS)
        self._workspace.commit(f"selections/{self._name}", part, decided, SELECTIONS)
        return collections.Counter(reasons.tolist())

    def passing(self, part: str) -> pa.Table:
        """clip_id, video_id and score of the part's clips that no rule refuses that looks at one clip alone."""
        clips, reasons = self._first_refusals(part)
        return clips.select(["clip_id", "video_id", "score"]).filter(pa.array(reasons == ""))

    def survey(self, part: str) -> Candidates:
        """What the part offers to top_videos and top_clips: what every rule before them lets through."""
        clips = self.passing(part)
        names, videos, scores = _by_video(clips)
        within_cap = _places(videos, scores) < (self._config.max_clips_per_video or len(clips) + 1)
        hashes = _hashes(clips["clip_id"], within_cap)[within_cap]
        video_hashes = _hashes(names, np.ones(len(names), bool))
        return Candidates(_means(videos, scores), video_hashes, videos[within_cap], scores[within_cap], hashes)

    def _first_refusals(self, part: str) -> tuple[pa.Table, np.ndarray]:
        """The part's clips by clip_id, and the reason of each: "" where no rule refuses it that looks at it alone."""
        clips = self._read(part)
        reasons = np.full(len(clips), "", dtype=object)
        for reason, refuses in _rules(clips, self._config, self._thresholds.score_cutoff):
            reasons[_true(refuses) & (reasons == "")] = reason
        uncut = reasons == "not_cut"
        reasons[uncut] = [f"not_cut:{outcome}" for outcome in clips["outcome"].filter(uncut).to_pylist()]
        return clips, reasons

    def _read(self, part: str) -> pa.Table:
        """What the rules ask of each clip; embeddings, which are most of the bytes, are never read."""
        workspace, config = self._workspace, self._config
        columns = ["clip_id", "video_id", "part", "outcome", *_measures(config)]
        clips = workspace.read(CLIPS_FOLDER, part, CLIPS, columns).sort_by("clip_id")
        scores = workspace.read(f"scores/{self._model}", part, SCORES, ["clip_id", "score"])
        labels = LABELS.empty_table().select(["clip_id", "label"])
        if self._has_labels:
            labels = workspace.read(LABELS_FOLDER, part, LABELS, ["clip_id", "label"])
        splits, others = part_splits(workspace, part, self._splitting), []
        if config.duplicate_similarity is not None:
            for row in workspace.read(f"duplicates/{self._name}", part, DUPLICATES).to_pylist():
                splits[row["video_id"]] = row["split"]
                others += [] if row["is_representative"] else [row["video_id"]]
        schema = pa.schema({"video_id": pa.string(), "split": pa.string()})  # which an empty list does not tell
        videos = pa.table([list(splits), list(splits.values())], schema=schema)
        clips = _join(_join(clips, scores, "clip_id"), labels, "clip_id")
        clips = _join(clips, videos, "video_id")
        if config.licenses:
            clips = _join(clips, workspace.read(VIDEOS_FOLDER, part, VIDEOS, ["video_id", "license"]), "video_id")
        return clips.append_column("is_other", pc.is_in(clips["video_id"], pa.array(others, pa.string())))


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
        kept += np.histogram(rows["score"].filter(rows["kept"]).to_numpy(), bins)[0]
    histograms = {"scored": scored.tolist(), "kept": kept.tolist()}
    return {"reasons": dict(sorted(counts.items())), "score_histograms": histograms}


def _rules(clips: pa.Table, config: FilteringConfig, lowest: float) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """(reason, which clips it refuses), in order; the rules that look at one clip at a time."""
    yield "not_cut", pc.not_equal(clips["outcome"], "kept")
    if config.licenses:
        yield "license", pc.invert(pc.is_in(clips["license"], pa.array(config.licenses)))
    yield "near_duplicate", clips["is_other"]
    yield "not_scored", pc.is_null(clips["score"], nan_is_null=True)
    if config.refuse_off_screen:
        yield "labelled_off_screen", pc.equal(clips["label"], "off_screen")
    if config.labels:
        yield "other_label", pc.invert(pc.is_in(clips["label"], pa.array(config.labels)))
    for column, (limit, reason, refuses) in _measures(config).items():
        yield reason, refuses(clips[column], getattr(config, limit))
    yield "low_score", pc.less(clips["score"], pa.scalar(lowest, pa.float32()))


def _measures(config: FilteringConfig) -> dict[str, tuple[str, str, Callable[..., pa.ChunkedArray]]]:
    """Those of MEASURES that have a limit."""
    return {column: rule for column, rule in MEASURES.items() if getattr(config, rule[0]) is not None}


def _join(clips: pa.Table, table: pa.Table, key: str) -> pa.Table:
    """The clips with the table's other column, null where the table has no such key."""
    (column,) = set(table.column_names) - {key}
    rows = pc.index_in(clips[key], value_set=table[key].combine_chunks())
    return clips.append_column(column, table[column].combine_chunks().take(rows.combine_chunks()))


def _true(mask: pa.ChunkedArray) -> np.ndarray:
    """[n] bool; null is no."""
    return pc.fill_null(mask, False).to_numpy().astype(bool)


def _by_video(clips: pa.Table) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """Names of the videos, and for each clip [n] the number of its video and its score."""
    encoded = clips["video_id"].combine_chunks().dictionary_encode()
    return encoded.dictionary, encoded.indices.to_numpy(), clips["score"].to_numpy()


def _means(videos: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[V] mean score of each video's clips."""
    return np.bincount(videos, scores) / np.bincount(videos)


def _places(videos: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[n] place of each clip among its video's, the best 0; of equal scores the earlier clip is better."""
    order = np.lexsort((-scores, videos))
    ordered = videos[order]
    places = np.empty(len(videos), np.int64)
    places[order] = np.arange(len(videos)) - np.searchsorted(ordered, ordered)
    return places


def _hashes(ids: pa.Array | pa.ChunkedArray, wanted: np.ndarray) -> np.ndarray:
    """[n] uint64 hash of each wanted id, 0 of the others: hashing is half of the work where nothing else is asked."""
    hashes = np.zeros(len(ids), np.uint64)
    hashes[wanted] = [hash_text(f"rank {name}") for name in ids.filter(pa.array(wanted)).to_pylist()]
    return hashes
