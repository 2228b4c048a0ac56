"""Representatives: of the uploads of one content a selection keeps the best, and a decision is final."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pytest

from pipeline.clips.splitting import SplittingConfig
from pipeline.selection.filtering import ClipRules, FilteringConfig
from pipeline.selection.representatives import choose_represented, load_or_choose
from pipeline.storage.workspace import Workspace
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows

R = TypeVar("R")


def rows(links: dict[str, str]) -> list[dict]:
    """A row per letter, and the letters that it is linked to."""
    facts = {"group_id": "a", "split": "train", "can_represent": True, "like_video_id": "a", "shared_fraction": 1.0}
    return [facts | {"video_id": name, "linked_video_ids": list(others)} for name, others in links.items()]


def test_in_a_chain_only_videos_linked_to_a_kept_one_are_represented() -> None:
    chain = rows({"a": "b", "b": "ac", "c": "bd", "d": "ce", "e": "df", "f": "eg", "g": "f"})
    assert choose_represented(chain, dict.fromkeys("abcdefg", 5), set()) == set("bdf")
    # d first; then a, f: g is linked to f, and not to d
    assert choose_represented(chain, dict.fromkeys("abcefg", 5) | {"d": 9}, set()) == set("bceg")


def test_the_upload_with_most_passing_clips_is_kept_and_one_without_any_represents_no_better_one() -> None:
    linked = rows({"a": "bc", "b": "ac", "c": "ab"})
    assert choose_represented(linked, {"b": 3, "c": 7}, set()) == set("ab")
    assert choose_represented(linked, {}, set()) == set("bc")


def test_a_new_video_is_represented_by_an_old_one_that_is_kept_and_has_passing_clips() -> None:
    new = rows({"b": "a"})
    assert choose_represented(new, {"a": 1, "b": 5}, set()) == {"b"}
    assert choose_represented(new, {"a": 0, "b": 5}, set()) == set()
    assert choose_represented(new, {"a": 1, "b": 5}, {"a"}) == set()


def test_a_link_counts_for_both_videos_though_the_row_of_one_is_older_than_the_other() -> None:
    assert choose_represented(rows({"a": "", "b": "a"}), {"a": 1, "b": 5}, set()) == {"a"}


def test_what_is_chosen_once_stays_when_parts_arrive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    rules = ClipRules(workspace, "s", "m", FilteringConfig(), SplittingConfig())
    num_good = {"a": 2, "b": 1, "c": 9}
    monkeypatch.setattr(ClipRules, "count_passing", lambda rules, part: num_good if part == "00000" else {})

    def each(step: str, work: Callable[[str], R], parts: list[str]) -> Iterable[R]:
        assert step == "count"
        return map(work, parts)

    workspace.commit("duplicates/s", "00000", from_rows(rows({"a": "b", "b": "a"}), DUPLICATES, "0"), DUPLICATES)
    assert load_or_choose(rules, each) == {"b"}
    workspace.commit("duplicates/s", "00001", from_rows(rows({"c": "ab"}), DUPLICATES, "1"), DUPLICATES)
    num_good["b"] = 100
    assert load_or_choose(rules, each) == {"b", "c"}
    assert load_or_choose(rules, lambda step, work, parts: pytest.fail("a second pass over the parts")) == {"b", "c"}
