"""What each rule of a selection would leave: alone, and after the rules before it. Nothing is written.

Every rule is applied to the clips that were cut, and where a model scores them to those with a score: `not_cut` and
`not_scored` apply before any rule alone. A rule about the corpus, such as top_clips, has cutoffs of its own when it is
alone, because it then compares other clips.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.selection.cutoffs import Cutoffs, Each, compute
from pipeline.selection.deciding import compare, unique_seconds
from pipeline.selection.filtering import ClipRules, FilteringConfig, is_true
from pipeline.selection.reasons import Reasons
from schemas.videos import Rights

NO_RULES = FilteringConfig(refuse_off_screen=False, rights=get_args(Rights))
FIRST = ("not_cut", "not_scored")
# The fields of the rules about the corpus, in order.
OF_CORPUS = {
    "low_score": ("min_score", "keep_fraction"),
    "not_top_video": ("top_videos",),
    "over_video_cap": ("max_clips_per_video",),
    "not_top_clip": ("top_clips",),
}


class Amount(NamedTuple):
    """How much some clips are."""

    clips: int = 0
    videos: int = 0
    seconds: float = 0.0
    """Of different sound, however the clips overlap."""
    licenses: Mapping[str | None, int] = {}
    """Clips by licence."""

    def plus(self, other: "Amount") -> "Amount":
        """Both together, which are of different videos."""
        licenses = collections.Counter(self.licenses) + collections.Counter(other.licenses)
        return Amount(self.clips + other.clips, self.videos + other.videos, self.seconds + other.seconds, licenses)


class Preview(NamedTuple):
    """What is left after one rule."""

    alone: Amount
    in_order: Amount
    """After this rule and all before it."""
    nulls: Mapping[str, int] = {}
    """Clips that it is the first to refuse because a value is missing, by that reason, such as no_peav."""


Previews = dict[str, Preview]  # by the reason of the rule, in order


def preview(rules: ClipRules, each: Each) -> Previews:
    """What each rule that is set would leave of all clips.

    Args:
        rules: as for a selection; a growing one would keep the cutoffs of its first run, here they are of all clips.
        each: runs the passes over the parts.
    """
    alone = {}
    for reason, fields in OF_CORPUS.items():
        config = dataclasses.replace(NO_RULES, **{name: getattr(rules.config, name) for name in fields})
        if config != NO_RULES:
            by_itself = dataclasses.replace(rules, config=config, represented=None)
            alone[reason] = by_itself, compute(by_itself, each)
    parts = rules.workspace.parts(rules.source)
    return add_up(each("preview", PreviewPart(rules, compute(rules, each), alone), parts))


def add_up(parts: Iterable[Previews]) -> Previews:
    """Previews of parts, which have the same rules, as one."""
    total: Previews = {}
    for found in parts:
        for rule, (alone, in_order, nulls) in found.items():
            before = total.get(rule, Preview(Amount(), Amount()))
            counts = collections.Counter(before.nulls) + collections.Counter(nulls)
            total[rule] = Preview(before.alone.plus(alone), before.in_order.plus(in_order), counts)
    return total


class PreviewPart:
    """Previews the rules on one part of clips.

    Args:
        rules: of the selection.
        cutoffs: those of all rules together.
        alone: by the reason of each rule about the corpus that is set, that rule alone and its cutoffs.
    """

    def __init__(self, rules: ClipRules, cutoffs: Cutoffs, alone: Mapping[str, tuple[ClipRules, Cutoffs]]) -> None:
        self._rules, self._cutoffs, self._alone = rules, cutoffs, alone

    def __call__(self, part: str) -> Previews:
        """What each rule leaves of the part."""
        rules, cutoffs = self._rules, self._cutoffs
        clips = rules.read(part)
        reasons = Reasons(len(clips))
        refused: dict[str, np.ndarray] = {}
        nulls: dict[str, dict[str, int]] = {}
        for rule, reason, refuses in rules.refusals(clips, cutoffs.score_cutoff):
            refused[rule] = refused.get(rule, False) | is_true(refuses)
            is_first = reasons.refuse(is_true(refuses), reason)
            if reason != rule:
                nulls.setdefault(rule, {})[reason] = int(is_first.sum())
        compare(clips, reasons, cutoffs, rules.config)
        refused |= {reason: reasons.has(reason) for reason in self._alone if reason not in refused}
        kept_alone = {reason: self._kept_alone(reason, part) for reason in self._alone}
        is_there = ~np.logical_or.reduce([refused[rule] for rule in FIRST if rule in refused])
        left = np.ones(len(clips), bool)
        found: Previews = {}
        for rule, is_refused in refused.items():
            left = left & ~is_refused
            alone = kept_alone.get(rule, is_there & ~is_refused)
            if rule not in OF_CORPUS or rule in self._alone:
                found[rule] = Preview(_amount(clips, alone), _amount(clips, left), nulls.get(rule, {}))
        return found

    def _kept_alone(self, reason: str, part: str) -> np.ndarray:
        rules, cutoffs = self._alone[reason]
        clips = rules.read(part)
        reasons = rules.refuse(clips, cutoffs.score_cutoff)
        compare(clips, reasons, cutoffs, rules.config)
        return reasons.passed


def _amount(clips: pa.Table, kept: np.ndarray) -> Amount:
    mask = pa.array(kept)
    counted = clips["license"].filter(mask).value_counts().to_pylist()
    return Amount(
        clips=int(kept.sum()),
        videos=pc.count_distinct(clips["video_id"].filter(mask)).as_py(),
        seconds=float(unique_seconds(clips, kept).sum()),
        licenses={each["values"]: each["counts"] for each in counted},
    )
