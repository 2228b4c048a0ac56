"""Groups of uploads: which videos belong together, which split they share, and which of them a selection keeps."""

import numpy as np
import pytest

from pipeline.selection.duplicate_groups import Links, Video, alone, group_facts, group_rows, merge_settled
from pipeline.selection.representatives import choose_represented

NOTHING = np.zeros((1, 2, 1), np.float16)


def videos(names: str, splits: dict[str, str] | None = None) -> list[Video]:
    """One video per letter, each its own part."""
    return [Video(name, name, (splits or {}).get(name, "train"), NOTHING, NOTHING) for name in names]


def grouped(
    members: list[Video],
    links: Links,
    known: dict[str, dict] | None = None,
    decided: str = "",
    settled: dict[str, dict] | None = None,
    copies: list[tuple[int, int]] | None = None,
) -> dict:
    rows = group_rows(members, links, copies or [], set(decided), known or {}, settled or {})
    return {row["video_id"]: row for part in sorted(rows) for row in rows[part]}


def kept(found: dict, num_good: dict[str, int] | None = None, represented: str = "") -> str:
    """The videos with rows that a selection keeps: `num_good` of their clips pass the rules, or else 5.

    `represented` are old videos that another upload represents."""
    counts = dict.fromkeys("abcdegx", 5) | (num_good or {})
    return "".join(sorted(found.keys() - choose_represented(list(found.values()), counts, set(represented))))


def test_a_row_names_all_linked_videos_and_the_one_it_shares_most_with() -> None:
    found = grouped(videos("abc"), {(0, 1): 1.0, (0, 2): 0.75, (1, 2): 1.0})
    assert [found[name]["like_video_id"] for name in "abc"] == ["b", "a", "b"]
    assert [found[name]["linked_video_ids"] for name in "abc"] == [["b", "c"], ["a", "c"], ["a", "b"]]


def test_a_video_of_another_split_than_its_group_is_never_kept() -> None:
    splits = {"a": "test", "b": "validate", "c": "test"}
    found = grouped(videos("abc", splits), {(0, 1): 1.0, (1, 2): 1.0})
    assert {row["split"] for row in found.values()} == {"validate"}
    assert kept(found) == "b"


def test_what_bridges_old_groups_of_two_splits_joins_the_first_and_is_not_kept() -> None:
    known = {
        name: {"group_id": name, "split": split, "bridged_groups": None}
        for name, split in (("a", "train"), ("c", "test"))
    }
    found = grouped(videos("abc", {"c": "test"}), {(0, 1): 0.6, (1, 2): 0.6}, known, "ac")
    assert (found["b"]["group_id"], found["b"]["split"], kept(found, None, "ac")) == ("a", "train", "")


def test_what_arrives_after_a_bridge_between_two_splits_is_seen_to_hang_on_both() -> None:
    members = videos("abdex", {"x": "test"})  # a and x were alone; b and d came together, then e
    first = grouped(members, {(0, 1): 0.6, (1, 2): 0.6, (2, 4): 0.6}, decided="ax")
    assert {(row["group_id"], *row["bridged_groups"]) for row in first.values()} == {("a", "x")}
    later = grouped(members, {(2, 3): 0.6}, first, "abdx")
    assert (later["e"]["group_id"], later["e"]["bridged_groups"], kept(later, None, "bde")) == ("a", ["x"], "")
    one_split = videos("abdex")
    first = grouped(one_split, {(0, 1): 0.6, (1, 2): 0.6, (2, 4): 0.6}, decided="ax")
    assert kept(first) == ""
    later = grouped(one_split, {(1, 3): 0.6}, first, "abdx")
    assert kept(later, None, "bde") == "e"  # b, to which e is linked, is not kept itself


@pytest.mark.parametrize("is_grown", [True, False])
def test_a_group_keeps_the_split_that_another_selection_gave_it(is_grown: bool) -> None:
    members = videos("ab", {"a": "test"})
    settled = {"a": alone(members[0])}
    if is_grown:
        settled |= grouped(members, {(0, 1): 1.0}, decided="a")
    found = grouped(members, {(0, 1): 1.0}, settled=settled)
    assert {row["split"] for row in found.values()} == {"test"}
    assert kept(found, {"b": 9}) == "a"
    assert kept(grouped(members, {(0, 1): 1.0}), {"b": 9}) == "b"


def test_groups_that_another_selection_joined_too_late_stay_two_and_what_joins_them_is_not_kept() -> None:
    members, links = videos("abdx", {"x": "test"}), {(0, 1): 0.6, (1, 2): 0.6, (2, 3): 0.6}
    grown = grouped(members, links, decided="ax")
    found = grouped(members, links, settled=grown | {"a": alone(members[0]), "x": alone(members[3])})
    assert {name: (row["group_id"], row["split"]) for name, row in found.items()} == {
        **dict.fromkeys("abd", ("a", "train")),
        "x": ("x", "test"),
    }
    assert kept(found, {"d": 9}) == "ax"


def test_of_two_selections_that_differ_the_first_split_counts() -> None:
    one, other = (
        {name: {"group_id": name, "split": split, "bridged_groups": None}}
        for name, split in (("a", "test"), ("a", "train"))
    )
    assert merge_settled(one, other) == merge_settled(other, one) == other


def test_the_facts_count_an_old_video_that_was_alone() -> None:
    rows = [{"video_id": name, "group_id": group} for name, group in ("ba", "cc", "dc", "ec")]
    assert group_facts(rows) == (2, 3)


def test_copies_share_a_group_and_its_split_and_do_not_represent_each_other() -> None:
    found = grouped(videos("abc", {"c": "test", "a": "test"}), {(1, 2): 1.0}, copies=[(0, 2)])
    assert {name: (row["group_id"], row["split"]) for name, row in found.items()} == dict.fromkeys(
        "abc", ("a", "train")
    )
    assert (found["a"]["linked_video_ids"], found["a"]["like_video_id"]) == ([], "c")
    found = grouped(videos("ab"), {}, copies=[(0, 1)])
    assert kept(found) == "ab"


def test_a_copy_that_arrives_later_joins_the_group_that_is_decided() -> None:
    first = grouped(videos("ab"), {(0, 1): 1.0})
    later = grouped(videos("abc", {"c": "test"}), {}, first, "ab", copies=[(0, 2)])
    assert (later["c"]["group_id"], later["c"]["split"]) == ("a", "train")
