"""Judgements of label files (`pipeline/labels/ratings.py`) -> one label per clip that they cover.

A rater judges a clip if the rater's spans that touch the clip cover it; the judgement is the OR of theirs, or that of
the span that is the clip, where there is one, since what is heard in the next clip says nothing of this. A clip gets
a label if all its raters agree and there are enough of them, else `conflict` or `too_few_raters` (the unanimity rule of
AudioScope, section 4.2). A published list speaks for the three raters who agreed; which file said what decides nothing.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from pipeline.config import Count, config_dataclass
from pipeline.labels.label_files import FileRows
from pipeline.labels.published_truth import FLAGS
from pipeline.labels.ratings import check_contradictions
from pipeline.labels.video_names import MatchedRows
from pipeline.metrics.agreement import Agreement, fleiss_kappa
from pipeline.storage.layout import CLIPS_FOLDER, LABELS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.labels import LABELS

SLACK_S = 0.01  # spans are written with two decimals or more
MAX_LISTED = 3
RULES = 3  # of making labels of judgements; another number where they change, so that no table holds labels of both
NAMES = {(True, False): "on_screen", (False, True): "off_screen", (True, True): "mixed", (False, False): "quiet"}


@config_dataclass
class LabelingConfig:
    """When judgements become a label."""

    min_raters: Count = 1
    """Raters that a clip needs, who must all agree. AudioScope asked three. More: fewer labels, and surer ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """A judgement on one span of a video; fields as in `read_judgements`."""

    start_s: float
    end_s: float
    on_screen: bool
    off_screen: bool
    rater: str
    num_raters: int
    file: str
    background_music: bool | None = None
    voice_over: bool | None = None
    static_image: bool | None = None


class LabelPart:
    """Labels one part of clips.

    Args:
        workspace: where videos and clips lie.
        judgements: of the label files.
        config: when they become a label.
    Raises:
        ConfigError: no video is the workspace's, a name fits two videos, or a rater says two things of one span.
    """

    def __init__(self, workspace: Workspace, judgements: FileRows, config: LabelingConfig) -> None:
        self._workspace, self._config = workspace, config
        self._rows = MatchedRows(workspace, judgements)
        check_contradictions(judgements, self._rows.of_row)
        self.files = self._rows.files

    def __call__(self, part: str) -> dict[str, int]:
        """Label the part's clips and commit a row for each that has raters; return counts by label."""
        judgements: dict[str, list[Judgement]] = {}
        rows = []
        for clip in self._workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist():
            if clip["outcome"] != "kept":
                continue
            video_id, start_s = clip["video_id"], clip["start_s"]
            if video_id not in judgements:
                rows_of_video = self._rows.of_video(video_id)
                judgements[video_id] = [Judgement(**row) for row in rows_of_video if not row.pop("is_repeat")]
            raters = covering(judgements[video_id], start_s, start_s + clip["duration_s"])
            if raters:
                ids = {"clip_id": clip["clip_id"], "video_id": video_id}
                rows.append(ids | consensus(raters, self._config.min_raters))
        self._workspace.commit(LABELS_FOLDER, part, from_rows(rows, LABELS, part), LABELS)
        return collections.Counter(row["label"] for row in rows)


def covering(judgements: Iterable[Judgement], start_s: float, end_s: float) -> list[list[Judgement]]:
    """The spans that touch the clip, of each rater whose spans cover it; where a span is the clip, that one alone.

    Who is not named is one rater per file.
    """
    by_rater: dict[tuple[str, str], list[Judgement]] = collections.defaultdict(list)
    for judgement in judgements:
        if judgement.start_s < end_s - SLACK_S and judgement.end_s > start_s + SLACK_S:
            by_rater[judgement.rater, "" if judgement.rater else judgement.file].append(judgement)
    covers = []
    for rater in sorted(by_rater):
        spans = sorted(by_rater[rater], key=lambda judgement: judgement.start_s)
        own = [each for each in spans if max(abs(each.start_s - start_s), abs(each.end_s - end_s)) <= SLACK_S]
        if own:
            covers.append(own)
            continue
        covered_s = start_s
        for span in spans:
            if span.start_s <= covered_s + SLACK_S:
                covered_s = max(covered_s, span.end_s)
        if covered_s >= end_s - SLACK_S:
            covers.append(spans)
    return covers


def consensus(raters: list[list[Judgement]], min_raters: int) -> dict[str, Any]:
    """The columns of `schemas.labels.LABELS` that follow from each rater's spans, one rater or more."""
    said = [NAMES[any(span.on_screen for span in spans), any(span.off_screen for span in spans)] for spans in raters]
    num_raters = sum(spans[0].num_raters for spans in raters)
    label = said[0] if num_raters >= min_raters else "too_few_raters"
    if len(set(said)) > 1:  # more raters would not settle it
        label = "conflict"
    votes = collections.Counter(name for name, spans in zip(said, raters, strict=True) if spans[0].rater)
    counts = {f"num_{name}": votes[name] if votes else None for name in NAMES.values()}
    files = sorted({span.file for spans in raters for span in spans})
    flags = {name: _any(getattr(span, name) for spans in raters for span in spans) for name in FLAGS}
    return {"label": label, "num_raters": num_raters, "label_source": ", ".join(files)} | counts | flags


def _any(values: Iterable[bool | None]) -> bool | None:
    """Whether any value is true; None where no one says."""
    said = [value for value in values if value is not None]
    return any(said) if said else None


@dataclasses.dataclass(frozen=True, slots=True)
class LabelSummary:
    """Coverage, conflicts and agreement of the labels of a workspace."""

    num_kept: int
    """Clips that were cut."""
    num_judged: int
    """Those of them that have a row: a label, or the reason why they have none."""
    num_too_few: int
    """Those with too few raters."""
    num_conflicts: int
    """Those whose raters differ."""
    conflicts: list[str]
    """clip_id of the first MAX_LISTED of these."""
    agreement: Agreement
    """Of the named raters, in the four categories."""

    def __str__(self) -> str:
        share = self.num_judged / max(self.num_kept, 1)
        too_few = f", {self.num_too_few} of them by fewer raters than labeling.min_raters" if self.num_too_few else ""
        text = f"coverage: {self.num_judged} of {self.num_kept} kept clips ({share:.0%}) are judged{too_few}"
        if (found := self.agreement).num_items:
            text += f"\nagreement: Fleiss kappa {found.kappa:.3f} (observed {found.observed:.3f}, chance "
            text += f"{found.by_chance:.3f}) over {found.num_items} clips with two named raters or more"
        return text

    def facts(self) -> dict[str, Any]:
        """The counts, and the agreement, for the stage's record."""
        counts: dict[str, Any] = {"num_kept": self.num_kept, "num_judged": self.num_judged}
        counts |= {"num_rated_twice": self.agreement.num_items, "num_conflicts": self.num_conflicts}
        kappa = self.agreement.kappa
        # JSON has no NaN
        return counts | {"num_too_few": self.num_too_few, "fleiss_kappa": kappa if kappa == kappa else None}


def summarize_labels(workspace: Workspace) -> LabelSummary:
    """Coverage, conflicts and agreement over all parts that are labelled."""
    num_kept, counts = 0, collections.Counter[str]()
    conflicts: list[str] = []
    votes = [np.zeros((0, len(NAMES)), np.int64)]
    for part in workspace.parts(LABELS_FOLDER):
        num_kept += workspace.read(CLIPS_FOLDER, part, CLIPS, ["outcome"])["outcome"].to_pylist().count("kept")
        rows = workspace.read(LABELS_FOLDER, part, LABELS)
        labels = rows["label"].to_pylist()
        counts.update(labels)
        found = (i for i, label in enumerate(labels) if label == "conflict")
        conflicts += [rows["clip_id"][i].as_py() for i in itertools.islice(found, MAX_LISTED - len(conflicts))]
        named = np.stack([rows[f"num_{name}"].fill_null(0).to_numpy() for name in NAMES.values()], axis=1)
        votes.append(named[named.sum(axis=1) >= 2])  # one vote says nothing of agreement
    agreement = fleiss_kappa(np.concatenate(votes))
    num_too_few, num_conflicts = counts["too_few_raters"], counts["conflict"]
    return LabelSummary(num_kept, counts.total(), num_too_few, num_conflicts, conflicts, agreement)
