"""Previews of rules: what each leaves, alone and in order, is what a selection with these rules keeps."""

import collections
import dataclasses

import pytest

from jobs.console.dry_run import format_licenses
from pipeline.clips.splitting import SplittingConfig
from pipeline.selection.filtering import ClipRules, FilteringConfig
from pipeline.selection.previewing import Amount, Previews, preview
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS
from tests.helpers.ruled import fill, reasons_of
from tests.helpers.selections import backwards

# Each rule by its reason, with the fields that set it.
RULES: dict[str, dict] = {
    "license": {"licenses": ("CC0", "CC-BY")},
    "labelled_off_screen": {"refuse_off_screen": True},
    "silences": {"max_silent_fraction": 0.8},
    "low_similarity": {"rules": ("peav.similarity >= 0.25 as low_similarity",)},
    "music": {"rules": ("tags.kind <> 'music' as music",)},
    "low_score": {"min_score": 0.05, "keep_fraction": 0.8},
    "not_top_video": {"top_videos": 6},
    "over_video_cap": {"max_clips_per_video": 2},
    "not_top_clip": {"top_clips": 5},
}


@pytest.fixture
def full(workspace: Workspace) -> Workspace:
    """What `fill` makes of the world."""
    return fill(workspace)


def config_of(reasons: list[str]) -> FilteringConfig:
    fields: dict = {"refuse_off_screen": False}
    for reason in reasons:
        joined = {"rules": fields.get("rules", ()) + RULES[reason].get("rules", ())}
        fields |= RULES[reason] | (joined if joined["rules"] else {})
    return FilteringConfig(**fields)


def kept(workspace: Workspace, config: FilteringConfig, name: str) -> Amount:
    """What a selection keeps."""
    reasons_of(workspace, config, name)
    rows = [row for row in workspace.read_all(f"selections/{name}", SELECTIONS).to_pylist() if row["kept"]]
    licenses = {row["video_id"]: row["license"] for row in workspace.read_all("videos/base", VIDEOS).to_pylist()}
    return Amount(
        clips=len(rows),
        videos=len({row["video_id"] for row in rows}),
        seconds=pytest.approx(sum(row["unique_s"] for row in rows)),
        licenses=collections.Counter(licenses[row["video_id"]] for row in rows),
    )


def look(workspace: Workspace, config: FilteringConfig) -> Previews:
    return preview(ClipRules(workspace, "new", "m", config, SplittingConfig()), backwards)


def test_each_rule_leaves_what_a_selection_with_it_keeps(full: Workspace) -> None:
    before = {entry.uri: files.read_bytes(entry.uri) for entry in files.list_files(full.root)}
    found = look(full, config_of(list(RULES)))
    assert {entry.uri: files.read_bytes(entry.uri) for entry in files.list_files(full.root)} == before
    assert list(found) == ["not_cut", "license", "no_train", "not_scored", *list(RULES)[1:]]
    assert found["not_cut"].in_order.clips == 46  # of 48
    for reason in ("license", "low_similarity", "low_score", "not_top_video", "over_video_cap"):
        assert found[reason].alone == kept(full, config_of([reason]), f"alone-{reason}"), reason
    for reason in ("labelled_off_screen", "music", "not_top_clip"):
        before_it = list(RULES)[: list(RULES).index(reason) + 1]
        assert found[reason].in_order == kept(full, config_of(before_it), f"order-{reason}"), reason


def test_clips_without_a_value_are_counted_by_the_reason_that_a_selection_gives_them(full: Workspace) -> None:
    config = config_of(["low_similarity", "music"])
    found, reasons = look(full, config), collections.Counter(reasons_of(full, config, "nulls").values())
    counted = collections.Counter(found["low_similarity"].nulls) + collections.Counter(found["music"].nulls)
    assert counted == {reason: reasons[reason] for reason in ("no_peav", "no_tags")}
    assert min(counted.values()) > 0
    assert found["not_cut"].nulls == {}


def test_rules_that_are_not_set_are_not_shown(full: Workspace) -> None:
    found = look(full, FilteringConfig(refuse_off_screen=False))
    assert list(found) == ["not_cut", "no_train", "not_scored"]
    rules = ClipRules(full, "new", None, FilteringConfig(rules=("motion >= 0 as still",)), SplittingConfig())
    found = preview(rules, backwards)
    assert list(found) == ["not_cut", "no_train", "labelled_off_screen", "still"]
    assert dataclasses.replace(rules).own == rules.own


def test_a_workspace_whose_parts_are_empty_has_empty_previews(full: Workspace) -> None:
    found = look(full, FilteringConfig(rules=("motion > 2 as still",), top_clips=3, licenses=("CC0",)))
    assert found["still"].in_order == found["not_top_clip"].in_order == Amount(0, 0, 0.0, {})


def test_licences_are_counted_and_one_that_is_a_sentence_is_cut_short() -> None:
    long = "excerpt of a third-party upload, rights with uploader (research use only)"
    found = format_licenses({"CC0": 9, long: 5, None: 2, "GPL": 1, "BSD": 1})
    assert found == "9 CC0, 5 excerpt of a third-party up..., 2 none, 2 more"
