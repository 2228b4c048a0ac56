"""Groups of uploads: who belongs together, which split they share, and who stands for whom."""

import numpy as np
import pytest

from pipeline.selection.duplicate_groups import Links, Video, alone, group_facts, group_rows, merge_settled

NOTHING = np.zeros((1, 2, 1), np.float16)


def videos(names: str, num_good: dict[str, int] | None = None, splits: dict[str, str] | None = None) -> list[Video]:
    """One video per letter, each its own part."""
    return [
        Video(name, name, (splits or {}).get(name, "train"), (num_good or {}).get(name, 5), NOTHING, NOTHING)
        for name in names
    ]


def grouped(
    members: list[Video],
    links: Links,
    known: dict[str, dict] | None = None,
    decided: str = "",
    settled: dict[str, dict] | None = None,
) -> dict:
    rows = group_rows(members, links, set(decided), known or {}, settled or {})
    return {row["video_id"]: row for part in sorted(rows) for row in rows[part]}


def standing(found: dict) -> str:
    return "".join(sorted(name for name, row in found.items() if row["is_representative"]))


def test_in_a_chain_only_those_that_are_one_with_a_standing_video_give_way() -> None:
    links = {(i, i + 1): 0.5 for i in range(6)}  # a-b-c-d-e-f-g: the first and the last share nothing
    found = grouped(videos("abcdefg"), links)
    assert {row["group_id"] for row in found.values()} == {"a"}
    assert standing(found) == "aceg"
    assert standing(grouped(videos("abcdefg", {"d": 9}), links)) == "adf"  # g is one with f, f not with d


def test_the_one_with_most_good_clips_stands_and_one_with_none_stands_in_nobodys_way() -> None:
    links = {(0, 1): 1.0, (0, 2): 0.75, (1, 2): 1.0}
    found = grouped(videos("abc", {"a": 0, "b": 3, "c": 7}), links)
    assert standing(found) == "c"
    assert [found[name]["like_video_id"] for name in "abc"] == ["b", "a", "b"]
    assert standing(grouped(videos("abc", dict.fromkeys("abc", 0)), links)) == "a"


def test_who_is_in_another_split_than_the_group_never_stands() -> None:
    splits = {"a": "test", "b": "validate", "c": "test"}
    found = grouped(videos("abc", splits=splits), {(0, 1): 1.0, (1, 2): 1.0})
    assert {row["split"] for row in found.values()} == {"validate"}
    assert standing(found) == "b"


def test_what_arrives_later_gives_way_to_an_old_one_that_has_clips_to_keep_and_to_no_other() -> None:
    for num_good, expected in ((1, ""), (0, "b")):
        found = grouped(videos("ab", {"a": num_good}), {(0, 1): 1.0}, decided="a")
        assert found.keys() == {"b"}
        assert (found["b"]["group_id"], standing(found)) == ("a", expected)


def test_what_bridges_old_groups_of_two_splits_joins_the_first_and_does_not_stand() -> None:
    known = {
        name: {"group_id": name, "split": split, "is_representative": False, "bridged_groups": None}
        for name, split in (("a", "train"), ("c", "test"))
    }
    found = grouped(videos("abc", splits={"c": "test"}), {(0, 1): 0.6, (1, 2): 0.6}, known, "ac")
    assert (found["b"]["group_id"], found["b"]["split"], standing(found)) == ("a", "train", "")


def test_what_arrives_after_a_bridge_between_two_splits_is_seen_to_hang_on_both() -> None:
    members = videos("abdex", splits={"x": "test"})  # a and x were alone; b and d came together, then e
    first = grouped(members, {(0, 1): 0.6, (1, 2): 0.6, (2, 4): 0.6}, decided="ax")
    assert {(row["group_id"], *row["bridged_groups"]) for row in first.values()} == {("a", "x")}
    later = grouped(members, {(2, 3): 0.6}, first, "abdx")
    assert (later["e"]["group_id"], later["e"]["bridged_groups"], standing(later)) == ("a", ["x"], "")
    one_split = videos("abdex")
    first = grouped(one_split, {(0, 1): 0.6, (1, 2): 0.6, (2, 4): 0.6}, decided="ax")
    assert standing(first) == ""
    assert standing(grouped(one_split, {(1, 3): 0.6}, first, "abdx")) == "e"  # only uploads that stand are in its way


@pytest.mark.parametrize("is_grown", [True, False])
def test_a_group_keeps_the_split_that_another_selection_gave_it(is_grown: bool) -> None:
    members = videos("ab", {"b": 9}, {"a": "test"})
    settled = {"a": alone(members[0])}
    if is_grown:
        settled |= grouped(members, {(0, 1): 1.0}, decided="a")
    found = grouped(members, {(0, 1): 1.0}, settled=settled)
    assert {row["split"] for row in found.values()} == {"test"}
    assert standing(found) == "a"
    assert standing(grouped(members, {(0, 1): 1.0})) == "b"


def test_groups_that_another_selection_joined_too_late_stay_two_and_what_joins_them_does_not_stand() -> None:
    members, links = videos("abdx", {"d": 9}, {"x": "test"}), {(0, 1): 0.6, (1, 2): 0.6, (2, 3): 0.6}
    grown = grouped(members, links, decided="ax")
    found = grouped(members, links, settled=grown | {"a": alone(members[0]), "x": alone(members[3])})
    assert {name: (row["group_id"], row["split"]) for name, row in found.items()} == {
        **dict.fromkeys("abd", ("a", "train")),
        "x": ("x", "test"),
    }
    assert standing(found) == "ax"


def test_of_two_selections_that_differ_the_first_split_counts() -> None:
    one, other = (
        {name: {"group_id": name, "split": split, "bridged_groups": None}}
        for name, split in (("a", "test"), ("a", "train"))
    )
    assert merge_settled(one, other) == merge_settled(other, one) == other


def test_the_facts_count_an_old_video_that_was_alone() -> None:
    rows = [
        {"video_id": name, "group_id": group, "is_representative": name in "cd"}
        for name, group in ("ba", "cc", "dc", "ec")
    ]
    expected = {"num_groups": 2, "largest_group": 3, "num_collapsed": 2}
    assert group_facts(rows) == expected
