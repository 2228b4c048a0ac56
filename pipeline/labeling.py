"""Raters' judgements, or published clip lists -> one label per clip.

A label file is CSV or Parquet, in one of two forms.

1. Judgements, one row each: `video` (a file name, an address or a video_id), `on_screen` and `off_screen` (0 or 1: does
   something visible sound; does something invisible sound), optional `start_s` and `end_s` (default: the whole video)
   and `rater` (default: one rater).
2. A published AudioScope list (`pipeline/published.py`): video path, start, end; the label is in the file's name
   (`..._onscreen_unanimous_...` or `..._offscreen_unanimous_...`).

A rater judges a clip if the rater's spans that touch the clip cover it; the judgement is the OR of theirs. A clip gets
a label if all its raters agree, else `conflict` (the unanimity rule of AudioScope, section 4.2).
"""

import collections
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.artifacts import CLIPS_FOLDER, LABELS_FOLDER, VIDEOS_FOLDER, Workspace
from pipeline.errors import ConfigError
from pipeline.metrics.agreement import Agreement, fleiss_kappa
from pipeline.published import read_list
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.labels import LABELS
from schemas.videos import VIDEOS

# Names of digits are text all the same: the video 007 must not become 7.
AS_TEXT = pyarrow.csv.ConvertOptions(column_types={"video": pa.string(), "rater": pa.string()})
SLACK_S = 0.01  # spans are written with two decimals or more
MAX_LISTED = 3
NAMES = {(True, False): "on_screen", (False, True): "off_screen", (True, True): "mixed", (False, False): "quiet"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one rater says of one span of one video."""

    video: str
    start_s: float
    end_s: float
    on_screen: bool
    off_screen: bool
    rater: str


class LabelPart:
    """Labels one part of clips."""

    def __init__(self, workspace: Workspace, labels: str) -> None:
        self._workspace = workspace
        self._source = posixpath.basename(labels)
        self._judgements: dict[str, list[Judgement]] = collections.defaultdict(list)
        for judgement in read_judgements(labels):
            self._judgements[judgement.video].append(judgement)

    def __call__(self, part: str) -> dict[str, int]:
        """Label the part's clips and commit a row for each that has raters; return counts by label."""
        names = ["video_id", "uri"]
        videos = self._workspace.read(VIDEOS_FOLDER, part, VIDEOS, names).to_pylist()
        judgements = {row["video_id"]: self._of_video(row) for row in videos}
        rows = []
        for clip in self._workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist():
            if clip["outcome"] != "kept":
                continue
            start_s, end_s = clip["start_s"], clip["start_s"] + clip["duration_s"]
            said = clip_verdicts(judgements[clip["video_id"]], start_s, end_s)
            if said:
                ids = {"clip_id": clip["clip_id"], "video_id": clip["video_id"]}
                rows.append(ids | consensus(said) | {"label_source": self._source})
        self._workspace.commit(LABELS_FOLDER, part, from_rows(rows, LABELS, part), LABELS)
        return collections.Counter(row["label"] for row in rows)

    def num_matched(self) -> int:
        """Videos of the workspace that the label file speaks of."""
        videos = self._workspace.read_all(VIDEOS_FOLDER, VIDEOS, ["video_id", "uri"]).to_pylist()
        return sum(bool(self._of_video(row)) for row in videos)

    @property
    def num_videos(self) -> int:
        """Videos that the label file speaks of."""
        return len(self._judgements)

    def _of_video(self, row: dict[str, Any]) -> list[Judgement]:
        found: list[Judgement] = []
        # a label file may name a video by id, by address, or by the end of its path
        pieces = row["uri"].split("/")
        for name in {row["video_id"], row["uri"], *("/".join(pieces[i:]) for i in range(len(pieces)))}:
            found += self._judgements.get(name, [])
        return found


def clip_verdicts(judgements: Iterable[Judgement], start_s: float, end_s: float) -> dict[str, tuple[bool, bool]]:
    """(on screen, off screen) by rater, of those whose spans cover the clip."""
    by_rater: dict[str, list[Judgement]] = collections.defaultdict(list)
    for judgement in judgements:
        if judgement.start_s < end_s - SLACK_S and judgement.end_s > start_s + SLACK_S:
            by_rater[judgement.rater].append(judgement)
    verdicts = {}
    for rater in sorted(by_rater):
        spans = sorted(by_rater[rater], key=lambda judgement: judgement.start_s)
        covered_s = start_s
        for span in spans:
            if span.start_s <= covered_s + SLACK_S:
                covered_s = max(covered_s, span.end_s)
        if covered_s >= end_s - SLACK_S:
            verdicts[rater] = (any(span.on_screen for span in spans), any(span.off_screen for span in spans))
    return verdicts


def consensus(verdicts: dict[str, tuple[bool, bool]]) -> dict[str, Any]:
    """The label that all raters give, or `conflict`, and how many said what, where raters are named."""
    votes = collections.Counter(NAMES[verdict] for verdict in verdicts.values())
    label = next(iter(votes)) if len(votes) == 1 else "conflict"
    counts = {f"num_{name}": votes[name] if any(verdicts) else None for name in NAMES.values()}
    return {"label": label, "num_raters": len(verdicts)} | counts


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """What the labels of a workspace amount to."""

    num_kept: int
    """Clips that were cut."""
    num_labelled: int
    """Those of them that have a label, or a conflict."""
    conflicts: list[str]
    """clip_id of the first MAX_LISTED clips whose raters differ."""
    num_conflicts: int
    agreement: Agreement
    """Of the named raters, in the four categories."""


def summarize_labels(workspace: Workspace) -> LabelSummary:
    """Coverage, conflicts and agreement over all parts that are labelled."""
    num_kept = num_labelled = 0
    conflicts: list[str] = []
    votes = [np.zeros((0, len(NAMES)), np.int64)]
    for part in workspace.parts(LABELS_FOLDER):
        outcomes = workspace.read(CLIPS_FOLDER, part, CLIPS, ["outcome"])["outcome"].to_pylist()
        rows = workspace.read(LABELS_FOLDER, part, LABELS)
        num_kept, num_labelled = num_kept + outcomes.count("kept"), num_labelled + len(rows)
        conflicts += [
            row["clip_id"] for row in rows.select(["clip_id", "label"]).to_pylist() if row["label"] == "conflict"
        ]
        votes.append(np.stack([rows[f"num_{name}"].fill_null(0).to_numpy() for name in NAMES.values()], axis=1))
    agreement = fleiss_kappa(np.concatenate(votes))
    return LabelSummary(num_kept, num_labelled, conflicts[:MAX_LISTED], len(conflicts), agreement)


def read_judgements(uri: str) -> list[Judgement]:
    """Every judgement of a label file.

    Raises:
        ConfigError: no such file, neither of the two forms (the message names the row), or a list that is not whole.
    """
    if not storage.exists(uri):
        raise ConfigError(f"--labels {uri}: no such file.")
    name = posixpath.basename(uri).lower()
    listed = {"onscreen_unanimous": (True, False), "offscreen_unanimous": (False, True)}
    with storage.local_copy(uri) as path:
        for mark, verdict in listed.items():
            if mark in name:
                return [Judgement(*row, *verdict, "") for row in read_list(f"--labels {uri}", uri, path)]
        try:
            table = pq.read_table(path) if uri.endswith(".parquet") else pa.csv.read_csv(path, convert_options=AS_TEXT)
        except pa.ArrowInvalid as error:
            raise ConfigError(f"--labels {uri}: not a readable table ({error}).") from error
    missing = {"video", "on_screen", "off_screen"} - set(table.column_names)
    if missing:
        raise ConfigError(
            f"--labels {uri}: columns {', '.join(table.column_names)}; expected video, on_screen, off_screen and "
            "optional start_s, end_s, rater; or a published list, with (on|off)screen_unanimous in its name."
        )
    return [_judgement(row, index, uri) for index, row in enumerate(table.to_pylist())]


def _judgement(row: dict[str, Any], index: int, uri: str) -> Judgement:
    flags = {}
    for name in ("on_screen", "off_screen"):
        if str(row[name]).lower() not in ("0", "1", "true", "false"):
            raise ConfigError(f"--labels {uri}, row {index + 1}: {name} = {row[name]!r}, expected 0 or 1.")
        flags[name] = str(row[name]).lower() in ("1", "true")
    span = {"start_s": 0.0, "end_s": float("inf")}
    for name in span:
        try:
            span[name] = span[name] if row.get(name) is None else float(row[name])
        except ValueError:
            raise ConfigError(f"--labels {uri}, row {index + 1}: {name} = {row[name]!r}, expected seconds.") from None
    rater = str(row.get("rater") or "")
    return Judgement(str(row["video"]), span["start_s"], span["end_s"], flags["on_screen"], flags["off_screen"], rater)
