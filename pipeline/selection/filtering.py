"""The rules of a selection: scores, labels and measures of a clip -> the first rule that refuses it.

The rules, in order. A clip's reason is the first rule that refuses it; a rule sees only the clips that all rules before
it accept. Rules about the whole video come first, rules that compare clips with one another last.

    not_cut:<why>        its span gave no clip                    frozen_picture   frames equal to the one before
    license              the video's is not in `licenses`         low_score        below min_score or keep_fraction
    no_train, rights_unknown, rights_train   those of the video are not in `rights`
    near_duplicate       another upload represents its group,     not_top_video    its video is not in top_videos
                         or the group is in another split
    not_scored           the model has not seen it                over_video_cap   its video has enough better clips
    labelled_off_screen, other_label   what people said           not_top_clip     not in top_clips
    too_quiet, silences, clipped       its sound                  kept             no rule refused it

Between frozen_picture and low_score are the rules of `rules`, which users write, with their reasons (`own_rules.py`).
Where no model has scored the clips, the rules from not_scored and low_score on and near_duplicate do not apply.
keep_fraction is a share of the clips that every rule before low_score accepts. This module holds the rules up to
low_score, which look at one clip at a time. The rules that compare clips across parts need cutoffs, which
`pipeline/selection/cutoffs.py` computes beforehand; `pipeline/selection/deciding.py` applies all rules to one part.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.clips.cut_videos import cut_parts
from pipeline.clips.splitting import SplittingConfig, shared_splits, split_of
from pipeline.config import Count, Share, config_dataclass
from pipeline.errors import ConfigError
from pipeline.selection.own_rules import check_reasons, read_rules
from pipeline.selection.reasons import KEPT, Reasons
from pipeline.storage.layout import CLIPS_FOLDER, IMPORTED, LABELS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.duplicates import DUPLICATES
from schemas.labels import LABELS, Label
from schemas.scores import SCORES
from schemas.selections import RIGHTS_CHANGED
from schemas.videos import VIDEOS, Rights

# For each measured column: the limit's field in the config, the reason, and the comparison that refuses a clip.
# A clip without a measure passes.
MEASURES = {
    "loudness_lufs": ("min_loudness_lufs", "too_quiet", pc.less),
    "silent_fraction": ("max_silent_fraction", "silences", pc.greater),
    "clipped_fraction": ("max_clipped_fraction", "clipped", pc.greater),
    "frozen_fraction": ("max_frozen_fraction", "frozen_picture", pc.greater),
}
# Reasons of the rules that are built in, in order, but for `not_cut:` and what follows it.
REASONS = (
    *("license", "no_train", "rights_unknown", "rights_train", "near_duplicate", "not_scored", "labelled_off_screen"),
    *("other_label", "too_quiet", "silences", "clipped", "frozen_picture", "low_score", "not_top_video"),
    *("over_video_cap", "not_top_clip"),
)
# Fields of rules that order or refuse clips by their score.
OF_SCORES = ("min_score", "keep_fraction", "top_videos", "max_clips_per_video", "top_clips")
# The reason where a video's rights are not among those that are kept.
RIGHTS_REASONS = {"no_train": "no_train", "unknown": "rights_unknown", "train": "rights_train"}
MAX_NAMED = 5  # licences in a message
CLIPS_AT_ONCE = 50_000  # that the rules see, with at most a part's more: 10 MB where they read no vectors or texts
BYTES_AT_ONCE = 1 << 26  # of these clips, as far as those before have as many each: of vectors of 4 096 floats 4 000


@config_dataclass
class FilteringConfig:
    """What a clip must be to belong to the selection. Defaults but `rights` and refuse_off_screen let all through."""

    licenses: tuple[str, ...] = ()
    """Licences kept, spelt as the collection states them; none named keeps all. Fewer: less data, easier to share."""
    rights: Annotated[tuple[Rights, ...], Field(min_length=1)] = ("train", "unknown")
    """Keep videos with these rights: by default all but those whose owner refuses training. `train` alone keeps those
    that are permitted expressly: of most collections nothing."""
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
    rules: tuple[str, ...] = ()
    """Rules of your own, each `EXPRESSION as REASON`: clips for which the expression is false are refused for this
    reason, and where it is null for one of its own, such as `no_peav`. It is DuckDB's, over the columns of clips,
    `score`, `videos.*`, `labels.*` and imported tables: `peav.similarity >= 0.25 as low_similarity`. They come after
    the rules about sound and picture and before the score. Several: a JSON list."""
    min_score: Share = 0.0
    """Lowest coincidence score kept, 0 to 1. AudioScope kept 0.8 and above."""
    keep_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share kept, the best first, of the clips that every rule before this one lets through: those refused for their
    licence, label, sound or picture do not count. Beside min_score: a clip must reach both. In a collection that grows,
    the score cutoff of the first run stays."""
    top_videos: Count | None = None
    """Videos kept, the best by the mean score of what is left of their clips. Fewer: a cleaner, less varied set."""
    max_clips_per_video: Count | None = None
    """Best clips kept of each video; None keeps all. A cap stops a few long videos from filling the set."""
    top_clips: Count | None = None
    """Clips kept in all, the best first. In a collection that grows, the cutoff of the first run stays: this many of it
    are kept, and every later clip that would have been among them. The same holds for top_videos."""

    def __post_init__(self) -> None:
        check_reasons(self.rules, (*REASONS, KEPT, "not_cut", RIGHTS_CHANGED))


def needs_scores(config: FilteringConfig) -> list[str]:
    """The fields that ask for scores: `keep_fraction = 0.8 (1.0 needs no scores)`."""
    fields = ((name, getattr(config, name), getattr(FilteringConfig(), name)) for name in OF_SCORES)
    return [f"{name} = {value} ({default} needs no scores)" for name, value, default in fields if value != default]


def check_values(workspace: Workspace, config: FilteringConfig) -> str:
    """A message about those `licenses` that no video has; "" where each occurs. Called before a folder is claimed.

    Raises:
        ConfigError: no video has any of the licences, or nothing is labelled: every clip would be refused.
    """
    if config.labels and not workspace.has_stage(LABELS_FOLDER):
        message = f"filtering.labels = {', '.join(config.labels)}: nothing is labelled."
        raise ConfigError(message, "missing", stage=LABELS_FOLDER, root=workspace.root)
    counts: collections.Counter[str | None] = collections.Counter()
    for part in workspace.parts(VIDEOS_FOLDER) if config.licenses else []:
        counts.update(workspace.read(VIDEOS_FOLDER, part, VIDEOS, ["license"])["license"].to_pylist())
    absent = [name for name in config.licenses if name not in counts]
    if not absent:
        return ""
    there = ", ".join(f"{name!r} of {count} videos" for name, count in counts.most_common(MAX_NAMED))
    message = f"filtering.licenses: no video has {', '.join(map(repr, absent))}. Found: {there or 'no video'}."
    if len(absent) == len(config.licenses):
        raise ConfigError(f"{message} Spell them as the collection does, or name none to keep all.")
    return message


@dataclasses.dataclass
class ClipRules:
    """Applies the rules that look at one clip at a time to parts of clips."""

    workspace: Workspace
    """Holds clips, scores, labels and, if uploads of the same content were looked for, duplicates/<name>."""
    name: str
    """Of the selection."""
    model: str | None
    """The model that scored the clips; None where none has: then no clip has a score, and no rule may need one."""
    config: FilteringConfig
    splitting: SplittingConfig
    represented: Set[str] | None = None
    """video_id of videos that another upload represents; None if no uploads were looked for."""

    def __post_init__(self) -> None:
        self._has_labels = self.workspace.has_stage(LABELS_FOLDER)
        self._shared = shared_splits(self.workspace, self.splitting, cut_parts(self.workspace))
        self.own = read_rules(self.workspace, self.config.rules, are_scored=self.model is not None, taken=REASONS)

    @property
    def num_copies(self) -> int:
        """How many videos have the bytes, or the address, of another one."""
        return len(self._shared)

    @property
    def source(self) -> str:
        """The folder whose parts are decided: the scores, or the clips where there are none."""
        return CLIPS_FOLDER if self.model is None else f"scores/{self.model}"

    def refuse(self, clips: pa.Table, score_cutoff: float) -> Reasons:
        """The first of these rules that refuses each clip, of clips as `read` gives them, of one part or of several."""
        reasons = Reasons(len(clips))
        for outcome in clips["outcome"].unique().to_pylist():
            if outcome != "kept":
                reasons.refuse(is_true(pc.equal(clips["outcome"], outcome)), f"not_cut:{outcome}")
        for _, reason, refuses in self.refusals(clips, score_cutoff):
            reasons.refuse(is_true(refuses), reason)
        return reasons

    def refusals(self, clips: pa.Table, score_cutoff: float) -> Iterator[tuple[str, str, pa.ChunkedArray]]:
        """(rule, reason, [n] whether it refuses each clip) in order, of clips as `read` gives them.

        A rule is named by its reason; those of users have more reasons, for their nulls.
        """
        are_scored = self.model is not None
        for reason, refuses in _rules_of_clips(clips, self.config, are_scored):
            yield reason, reason, refuses
        yield from self.own.refusals(clips)
        if are_scored:
            yield "low_score", "low_score", pc.less(clips["score"], pa.scalar(score_cutoff, pa.float32()))

    def passing(self, part: str, score_cutoff: float) -> pa.Table:
        """clip_id, video_id and score of the part's clips that none of these rules refuses."""
        clips = self.read(part)
        passed = self.refuse(clips, score_cutoff).passed
        return clips.select(["clip_id", "video_id", "score"]).filter(pa.array(passed))

    def count_passing(self, part: str) -> dict[str, int]:
        """By video_id, how many clips none of these rules refuses; min_score is the score cutoff."""
        return collections.Counter(self.passing(part, self.config.min_score)["video_id"].to_pylist())

    def read(self, part: str) -> pa.Table:
        """The part's clips by clip_id with the columns that the rules need; embeddings, most bytes, are never read."""
        return next(self.read_together([part]))[part]

    def read_together(self, parts: Sequence[str]) -> Iterator[dict[str, pa.Table]]:
        """What `read` gives, by part, of as many parts at a time as have CLIPS_AT_ONCE clips or BYTES_AT_ONCE.

        Read table by table: part by part would take a quarter longer, since each step would find the caches cold.
        Where rules read imported tables, whose values may be long, the first part is alone: it has the bytes of a clip.
        """
        columns = ["clip_id", "video_id", "part", "outcome", "start_s", "duration_s", *_measures(self.config)]
        columns = list(dict.fromkeys([*columns, *(name for name in self.own.columns("") if name != "score")]))
        found: dict[str, pa.Table] = {}
        clips_at_once = 1 if self.own.schemas else CLIPS_AT_ONCE
        bytes_of_clip = 1
        for part in parts:
            found[part] = _in_order(self.workspace.read(CLIPS_FOLDER, part, CLIPS, columns))
            if part == parts[-1] or sum(map(len, found.values())) >= clips_at_once:
                clips = self._with_others(found)
                found = {}
                bytes_of_clip = max([bytes_of_clip, *(each.nbytes // max(1, len(each)) for each in clips.values())])
                clips_at_once = min(CLIPS_AT_ONCE, BYTES_AT_ONCE // bytes_of_clip)
                yield clips

    def _with_others(self, clips: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """Clips by part, with what other tables say of them and of their videos."""
        own, columns = self.own, {part: _columns(table) for part, table in clips.items()}

        def add(folder: str, schema: pa.Schema, wanted: dict[str, str], is_there: bool = True) -> None:
            names = ["clip_id", *dict.fromkeys(wanted.values())]
            tables = {part: self.workspace.read(folder, part, schema, names) for part in clips if is_there}
            for part, found in columns.items():
                found |= _joined(found["clip_id"], tables.get(part, schema.empty_table()), "clip_id", wanted)

        add(self.source, SCORES, {"score": "score"}, is_there=self.model is not None)
        add(LABELS_FOLDER, LABELS, {"label": "label"} | own.named("labels"), is_there=self._has_labels)
        for part, found in columns.items():
            videos = self._read_videos(part)
            wanted = {name: name for name in videos.column_names if name != "video_id"}
            found |= _joined(found["video_id"], videos, "video_id", wanted)
        for name, schema in own.schemas.items():
            add(f"{IMPORTED}/{name}", schema, own.named(name))
        return {part: pa.table(found) for part, found in columns.items()}

    def _read_videos(self, part: str) -> pa.Table:
        """The part's videos with their splits, what the rules need, and whether another upload represents each."""
        own, workspace = self.own.named("videos"), self.workspace
        names = list(dict.fromkeys(["video_id", "split", "license", "rights", *own.values()]))
        videos = workspace.read(VIDEOS_FOLDER, part, VIDEOS, names)
        columns = _columns(videos)
        ids = columns["video_id"].to_pylist()
        prescribed = zip(ids, columns["split"].to_pylist(), strict=True)
        splits = {
            video: self._shared.get(video) or split_of(video, self.splitting, split) for video, split in prescribed
        }
        if self.represented is not None:
            rows = workspace.read(f"duplicates/{self.name}", part, DUPLICATES, ["video_id", "split"])
            splits |= dict(zip(rows["video_id"].to_pylist(), rows["split"].to_pylist(), strict=True))
            columns["is_represented"] = pa.array([video in self.represented for video in ids], pa.bool_())
        columns["split"] = pa.array([splits[video] for video in ids], pa.string())
        return pa.table(columns | {name: columns[column] for name, column in own.items()})


def _rules_of_clips(
    clips: pa.Table, config: FilteringConfig, are_scored: bool
) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """(reason, [n] whether it refuses each clip) of the rules that are built in and come before those of users."""
    yield "not_cut", pc.not_equal(clips["outcome"], "kept")
    if config.licenses:
        yield "license", pc.invert(pc.is_in(clips["license"], pa.array(config.licenses)))
    for rights, reason in RIGHTS_REASONS.items():
        if rights not in config.rights:
            yield reason, pc.equal(clips["rights"], rights)
    if "is_represented" in clips.column_names:
        yield "near_duplicate", clips["is_represented"]
    if are_scored:
        yield "not_scored", pc.is_null(clips["score"], nan_is_null=True)
    if config.refuse_off_screen:
        yield "labelled_off_screen", pc.equal(clips["label"], "off_screen")
    if config.labels:
        yield "other_label", pc.invert(pc.is_in(clips["label"], pa.array(config.labels)))
    for column, (limit, reason, refuses) in _measures(config).items():
        yield reason, refuses(clips[column], getattr(config, limit))


def _measures(config: FilteringConfig) -> dict[str, tuple[str, str, Callable[..., pa.ChunkedArray]]]:
    """The entries of MEASURES whose limit is set."""
    return {column: rule for column, rule in MEASURES.items() if getattr(config, rule[0]) is not None}


def _in_order(clips: pa.Table) -> pa.Table:
    """The clips by clip_id; to see that they are takes a fifth of the time of sorting them."""
    ids = _chunk(clips["clip_id"])
    return clips if pc.all(pc.less(ids[:-1], ids[1:])).as_py() else clips.sort_by("clip_id")


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _columns(table: pa.Table) -> dict[str, pa.Array]:
    """Each column of a table, by its name, in one chunk."""
    return dict(zip(table.column_names, map(_chunk, table.columns), strict=True))


def _joined(keys: pa.Array, table: pa.Table, key: str, wanted: Mapping[str, str]) -> dict[str, pa.Array]:
    """For each key the values of its row, null where the table lacks it: columns by the names that they get here."""
    if not len(table):
        return {name: pa.nulls(len(keys), table.schema.field(column).type) for name, column in wanted.items()}
    columns = _columns(table)
    rows = pc.index_in(keys, value_set=columns[key])
    return {name: columns[column].take(rows) for name, column in wanted.items()}


def is_true(mask: pa.ChunkedArray) -> np.ndarray:
    """[n] bool; null becomes False."""
    return pc.fill_null(mask, False).to_numpy().astype(bool, copy=False)
