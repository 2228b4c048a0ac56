"""The rules of a selection as a data card lists them: what each refuses, its settings and how many clips it refused."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.config import format_value, from_dict
from pipeline.errors import DataError
from pipeline.hashing import as_dict
from pipeline.reports.card_figures import Figure, figure_of
from pipeline.selection.filtering import FilteringConfig
from pipeline.selection.own_rules import OF_NULLS, split_rule
from pipeline.storage import files
from pipeline.storage.workspace import Workspace

# What each rule of `pipeline/selection/filtering.py` refuses, by its reason, and the fields that set it.
RULES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "license": ("videos of other licences", ("licenses",)),
    "no_train": ("videos whose owners refuse training", ("rights",)),
    "rights_unknown": ("videos of which no permission to train was read", ()),
    "rights_train": ("videos that may be used for training", ()),
    "near_duplicate": ("videos whose content another upload stands for", ()),
    "not_scored": ("clips that the coincidence model has not seen", ()),
    "labelled_off_screen": ("clips that people found to have off-screen sound only", ("refuse_off_screen",)),
    "other_label": ("clips without one of these labels", ("labels",)),
    "too_quiet": ("clips below a loudness", ("min_loudness_lufs",)),
    "silences": ("clips with too much silence", ("max_silent_fraction",)),
    "clipped": ("clips with too many samples at full scale", ("max_clipped_fraction",)),
    "frozen_picture": ("clips with too many frames equal to the one before", ("max_frozen_fraction",)),
    "low_score": ("clips whose sound and picture belong together too little", ("min_score", "keep_fraction")),
    "not_top_video": ("videos that are not among the best", ("top_videos",)),
    "over_video_cap": ("clips of videos that have enough better ones", ("max_clips_per_video",)),
    "not_top_clip": ("clips that are not among the best", ("top_clips",)),
}
FIRST_OF_SCORES = "low_score"  # before it come the rules that users write
NOT_CUT = "not_cut:"  # begins the reason of a span that gave no clip; the rest is the outcome in `clips`


class Rule(NamedTuple):
    """A rule of the selection, in the order in which they apply."""

    reason: str
    what: str
    settings: list[str]
    """`min_score = 0.8`; the fields that are set, as the record of the selection has them."""
    cutoff: Figure | None
    """What was computed from them, such as the score that the last clip of a share has."""
    clips: Figure
    """That it refused."""


def describe_rules(
    workspace: Workspace, selection: str, stages: Sequence[Mapping[str, Any]], reasons: Sequence[Mapping[str, Any]]
) -> list[Rule]:
    """Every rule that has a setting or refused a clip, with what it was set to and how many clips it refused.

    Args:
        stages: records, of which one is the selection's.
        reasons: how many clips have each, by the query of that name.
    Raises:
        DataError: a clip was refused by a rule that is not known.
    """
    stage = f"selections/{selection}"
    stored = next(record for record in stages if record["stage"] == stage)["settings"]
    config = from_dict(FilteringConfig, stored["filtering"])
    plain, default = as_dict(config), as_dict(FilteringConfig())
    refused = {row["reason"]: row["clips"] for row in reasons}
    rules = [
        Rule(reason, f"spans that gave no clip: {reason.removeprefix(NOT_CUT)}", [], None, refused[reason])
        for reason in refused
        if reason.startswith(NOT_CUT)
    ]
    own = {rule.reason: rule for rule in _own_rules(config.rules, refused)}
    known = {*RULES, *own, "kept"}
    if unknown := [name for name in refused if name not in known and not name.startswith(NOT_CUT)]:
        raise DataError(f"{workspace.place(stage)}: {refused[unknown[0]].value} clips are refused as {unknown[0]}, a "
                        "rule that this version does not know: it cannot be described.")  # fmt: skip
    cutoffs = _cutoffs(workspace, stage)
    for reason, (what, fields) in RULES.items():
        settings = [f"{name} = {format_value(plain[name])}" for name in fields if plain[name] != default[name]]
        if reason == "no_train":
            settings = [f"rights = {format_value(config.rights)}"]
        if reason == "labelled_off_screen" and config.refuse_off_screen:
            settings = ["refuse_off_screen = true"]
        if reason == "near_duplicate" and (similarity := stored["duplicates"]["similarity"]) is not None:
            settings = [f"duplicates.similarity = {similarity}"]
        count = refused.get(reason, Figure(0, "reasons.clips"))
        if reason == FIRST_OF_SCORES:
            rules += own.values()
        if settings or count.value:
            rules.append(Rule(reason, what, settings, cutoffs.get(reason), count))
    return rules


def _own_rules(texts: Sequence[str], refused: Mapping[str, Figure]) -> list[Rule]:
    """The rules that the selection's maker wrote, and what was refused because they are null."""
    none, found = Figure(0, "reasons.clips"), []
    for text in texts:
        reason = split_rule(text)[1]
        found.append(Rule(reason, "clips for which this is false", [text], None, refused.get(reason, none)))
    nulls = [reason for reason in refused if texts and reason.startswith(OF_NULLS) and reason not in RULES]
    return found + [Rule(reason, "clips for which a rule is null", [], None, refused[reason]) for reason in nulls]


def _cutoffs(workspace: Workspace, stage: str) -> dict[str, Figure]:
    """What clips were compared with, by the reason of those below it, as the selection wrote it down."""
    uri = workspace.record_uri(stage, "cutoffs")
    stored = json.loads(files.read_bytes(uri)) if files.exists(uri) else {}
    found = {"low_score": stored.get("score_cutoff") or None}
    for reason, name in (("not_top_video", "video_cutoff"), ("not_top_clip", "clip_cutoff")):
        found[reason] = stored[name][0] if stored.get(name) else None
    return {reason: figure_of(value, f"{stage}.cutoffs") for reason, value in found.items() if value is not None}
