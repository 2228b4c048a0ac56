"""Judgements of label files (`pipeline/labels/ratings.py`) -> one label per clip that they cover.

A rater judges a clip if the rater's spans that touch the clip cover it; the judgement is the OR of theirs. A clip gets
a label if all its raters agree and there are enough of them, else `conflict` or `too_few_raters` (the unanimity rule of
AudioScope, section 4.2). A published list speaks for the three raters who agreed; which file said what decides nothing.
"""

import collections
import dataclasses
import itertools
import os
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.collection.addresses import Resolver, is_relative, plain
from pipeline.config import Count, config_dataclass
from pipeline.errors import ConfigError
from pipeline.formatting import format_difference
from pipeline.labels.ratings import Judgements, check_contradictions, codes, where
from pipeline.metrics.agreement import Agreement, fleiss_kappa
from pipeline.storage.layout import CLIPS_FOLDER, LABELS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.labels import LABELS
from schemas.videos import VIDEOS

SLACK_S = 0.01  # spans are written with two decimals or more
MAX_LISTED = 3
NAMES = {(True, False): "on_screen", (False, True): "off_screen", (True, True): "mixed", (False, False): "quiet"}


@config_dataclass
class LabelingConfig:
    """When judgements become a label."""

    min_raters: Count = 1
    """Raters that a clip needs, who must all agree. AudioScope asked three. More: fewer labels, and surer ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """A judgement on one span of a video; fields as in `Judgements.table`."""

    start_s: float
    end_s: float
    on_screen: bool
    off_screen: bool
    rater: str
    num_raters: int
    file: str


@dataclasses.dataclass(frozen=True, slots=True)
class FileFacts:
    """How many videos of a label file are in a workspace."""

    num_rows: int
    num_videos: int
    """Videos that the file judges."""
    num_matched: int
    """Those of them that are in the workspace."""


class LabelPart:
    """Labels one part of clips.

    Args:
        workspace: where videos and clips lie.
        judgements: of the label files.
        config: when they become a label.
    Raises:
        ConfigError: no video is the workspace's, a name fits two videos, or a rater says two things of one span.
    """

    def __init__(self, workspace: Workspace, judgements: Judgements, config: LabelingConfig) -> None:
        self._workspace, self._config = workspace, config
        table, names = judgements.table, codes(judgements.table, "video")
        self._places, numbers = _match(workspace, table)
        of_row = numbers[names]
        check_contradictions(table, np.where(of_row < 0, -1 - names, of_row))
        files = codes(table, "file")
        self.files = {}
        for code, name in enumerate(table["file"].chunk(0).dictionary.to_pylist()):
            named = np.unique(names[files == code])
            self.files[name] = FileFacts(int((files == code).sum()), len(named), int((numbers[named] >= 0).sum()))
        order = np.argsort(of_row, kind="stable")
        order = order[of_row[order] >= 0]
        self._table = table.drop_columns(["video"]).take(pa.array(order))
        self._first = np.searchsorted(of_row[order], np.arange(len(self._places) + 1))

    def __call__(self, part: str) -> dict[str, int]:
        """Label the part's clips and commit a row for each that has raters; return counts by label."""
        judgements: dict[str, list[Judgement]] = {}
        rows = []
        for clip in self._workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist():
            if clip["outcome"] != "kept":
                continue
            video_id, start_s = clip["video_id"], clip["start_s"]
            if video_id not in judgements:
                judgements[video_id] = self._of_video(video_id)
            raters = covering(judgements[video_id], start_s, start_s + clip["duration_s"])
            if raters:
                ids = {"clip_id": clip["clip_id"], "video_id": video_id}
                rows.append(ids | consensus(raters, self._config.min_raters))
        self._workspace.commit(LABELS_FOLDER, part, from_rows(rows, LABELS, part), LABELS)
        return collections.Counter(row["label"] for row in rows)

    def _of_video(self, video_id: str) -> list[Judgement]:
        place = self._places.get(video_id)
        if place is None:
            return []
        first, last = self._first[place : place + 2]
        return [Judgement(**row) for row in self._table.slice(first, last - first).to_pylist()]


def _match(workspace: Workspace, table: pa.Table) -> tuple[dict[str, int], np.ndarray]:
    """Places of the videos that label files speak of, by video_id; and of each name in the files, -1 if it fits none.

    A name is a video_id, an address, or the end of an address, in any spelling; a name with accents that fits none
    fits the video whose name has the same in composed characters.
    """
    names = table["video"].chunk(0).dictionary.to_pylist()
    resolve = Resolver(os.getcwd())
    keys = [plain(name) if is_relative(name) else resolve(name) for name in names]
    composed = [unicodedata.normalize("NFC", key) for key in keys]
    exact, alike = _Fits(keys), _Fits([key for key in composed if not key.isascii()])
    for part in workspace.parts(VIDEOS_FOLDER):
        for video in workspace.read(VIDEOS_FOLDER, part, VIDEOS, ["video_id", "uri"]).to_pylist():
            exact.add(video, video["uri"])
            if not video["uri"].isascii():
                alike.add(video, unicodedata.normalize("NFC", video["uri"]))
    found: list[str | None] = []
    for number, (key, same) in enumerate(zip(keys, composed, strict=True)):
        videos = exact.found.get(key) or alike.found.get(same) or []
        if len(videos) > 1:
            row = int(np.argmax(codes(table, "video") == number))
            one, other = (video["uri"] for video in videos)
            is_alike = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
            how = f", which differ: {format_difference(one, other)}" if is_alike else ""
            raise ConfigError(
                f"{where(table, row)}: `{names[number]}` fits two videos, {one} and {other}{how}. Expected the name of "
                "one: give more of its path, or its video_id."
            )
        found.append(videos[0]["video_id"] if videos else None)
    if not any(found):
        raise ConfigError(
            f"{where(table, 0)}: `{names[0]}` is not in {workspace.root}, nor is any other of the {len(names)} videos. "
            "Expected file names, addresses or video_ids as in the table `videos`."
        )
    places = {name: place for place, name in enumerate(sorted({name for name in found if name is not None}))}
    return places, np.array([-1 if name is None else places[name] for name in found])


class _Fits:
    """The first two videos that each of some names fits."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names, self.found = set(names), dict[str, list[dict[str, str]]]()

    def add(self, video: dict[str, str], uri: str) -> None:
        """Note a video for the names that are its video_id, its address `uri`, or the end of that."""
        pieces = uri.split("/")
        for name in self._names & {video["video_id"], *("/".join(pieces[i:]) for i in range(len(pieces)))}:
            videos = self.found.setdefault(name, [])
            if len(videos) < 2 and video["video_id"] not in [other["video_id"] for other in videos]:
                videos.append(video)


def covering(judgements: Iterable[Judgement], start_s: float, end_s: float) -> list[list[Judgement]]:
    """The spans that touch the clip, of each rater whose spans cover it. Who is not named is one rater per file."""
    by_rater: dict[tuple[str, str], list[Judgement]] = collections.defaultdict(list)
    for judgement in judgements:
        if judgement.start_s < end_s - SLACK_S and judgement.end_s > start_s + SLACK_S:
            by_rater[judgement.rater, "" if judgement.rater else judgement.file].append(judgement)
    covers = []
    for rater in sorted(by_rater):
        spans = sorted(by_rater[rater], key=lambda judgement: judgement.start_s)
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
    return {"label": label, "num_raters": num_raters, "label_source": ", ".join(files)} | counts


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
