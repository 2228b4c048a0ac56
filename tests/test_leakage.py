"""The audit: passes where every video and group is in one split, and names both places where one is in two."""

import json
from pathlib import Path

import pytest

from pipeline.clips.withdrawing import WITHDRAWN
from pipeline.errors import DataError
from pipeline.selection.leakage import audit, check_copies
from pipeline.storage import files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from schemas.materialized import MATERIALIZED
from schemas.mixtures import MIXTURES
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS


def select(place: Workspace, name: str, part: str, *clips: tuple[str, str, str, str | None]) -> None:
    """A part of a selection: (video, split, reason, label) of each clip."""
    rows = [
        {"clip_id": f"{video}_{i:08d}", "video_id": video, "part": part, "kept": reason == "kept"}
        | {"reason": reason, "split": split, "label": label}
        for i, (video, split, reason, label) in enumerate(clips)
    ]
    place.commit(f"selections/{name}", part, from_rows(rows, SELECTIONS, part), SELECTIONS)


def group(place: Workspace, name: str, part: str, group_id: str, *videos: str) -> None:
    facts = {"group_id": group_id, "split": "train", "like_video_id": group_id, "shared_fraction": 1.0}
    rows = [facts | {"video_id": video, "can_represent": False, "linked_video_ids": []} for video in videos]
    place.commit(f"duplicates/{name}", part, from_rows(rows, DUPLICATES, part), DUPLICATES)


def mix(place: Workspace, name: str, first: str, sound: str, second: str | None, split: str) -> None:
    row = {"example_id": "on_mom_00000", "eval_set": "on_mom", "kind": "NOn", "split": split}
    row |= {"first_clip_id": first, "sound_clip_id": sound, "second_clip_id": second}
    row |= {"label_source": "coincidence", "part": "on_mom-00000"}
    place.commit(f"mixtures/{name}", "on_mom-00000", from_rows([row], MIXTURES, "here"), MIXTURES)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    found = Workspace(str(tmp_path))
    select(found, "s", "00000", ("a", "train", "kept", None), ("a", "train", "low_score", None))
    select(found, "s", "00001", ("b", "test", "kept", None), ("c_1", "test", "low_score", "on_screen"))
    return found


def test_a_workspace_where_every_video_is_in_one_split_passes_with_its_counts(place: Workspace) -> None:
    group(place, "s", "00001", "b", "c_1")
    mix(place, "m", "b_00000000", "b_00000000", "c_1_00000000", "test")
    found = audit(place)
    assert (found.num_videos, found.num_groups, found.num_uses) == (3, 1, 6)
    assert str(found) == "audit of the whole workspace: 3 videos, 1 groups of duplicates, 6 uses: none in two splits"


def test_an_empty_workspace_passes(tmp_path: Path) -> None:
    assert audit(Workspace(str(tmp_path))).num_videos == 0


def fails(place: Workspace, *says: str) -> None:
    with pytest.raises(DataError) as caught:
        audit(place)
    for words in says:
        assert words in str(caught.value)


def test_a_video_in_two_splits_of_a_selection_is_named_with_both_places(place: Workspace) -> None:
    select(place, "s", "00002", ("a", "test", "kept", None))
    fails(place, "video a: train in selections/s/00000, test in selections/s/00002")


def test_a_video_in_two_splits_of_two_selections_is_named(place: Workspace) -> None:
    select(place, "t", "00001", ("b", "train", "kept", None))
    fails(place, "video b: test in selections/s/00001, train in selections/t/00001")


def test_a_labelled_clip_counts_though_it_is_not_kept(place: Workspace) -> None:
    select(place, "t", "00001", ("c_1", "validate", "kept", None))
    fails(place, "video c_1: test in selections/s/00001, validate in selections/t/00001")


@pytest.mark.parametrize(
    ("reason", "label"), [("low_score", None), ("near_duplicate", "on_screen"), ("license", "mixed")]
)
def test_a_clip_that_no_stage_may_draw_does_not_count(reason: str, label: str | None, place: Workspace) -> None:
    select(place, "t", "00001", ("b", "train", reason, label))
    assert audit(place).num_videos == 3


def test_a_group_in_two_splits_is_named(place: Workspace) -> None:
    group(place, "s", "00001", "a", "b")
    fails(place, "videos a and b, uploads of the same content: train in selections/s/00000, test in selections/s/00001")


def test_a_group_that_another_selection_found_holds_too(place: Workspace) -> None:
    group(place, "t", "00001", "a", "b")
    fails(place, "videos a and b, uploads of the same content: train in selections/s/00000, test in selections/s/00001")


def test_groups_of_two_selections_that_share_a_video_are_one(place: Workspace) -> None:
    group(place, "t", "00001", "a", "x")
    group(place, "u", "00001", "b", "x")
    fails(place, "videos a and b, uploads of the same content")


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_mixture_of_a_clip_of_another_split_is_named(column: int, place: Workspace) -> None:
    clips = ["b_00000000"] * 3
    clips[column] = "a_00001000"
    mix(place, "m", *clips, "test")
    fails(place, "video a: train in selections/s/00000, test in mixtures/m/on_mom-00000")


def test_a_mixture_of_a_duplicate_of_a_training_video_is_named(place: Workspace) -> None:
    group(place, "s", "00001", "a", "z")
    mix(place, "m", "z_00000000", "b_00000000", None, "test")
    fails(place, "videos a and z, uploads of the same content: train in selections/s/00000, test in mixtures/m/on_mom")


def copy(place: Workspace, *clips: tuple[str, str, str]) -> None:
    """A shard of selection s: clip_id, video_id and split of each clip."""
    facts = {"part": "train-00000", "source_part": "00001", "tar_offset": 0, "tar_bytes": 1}
    rows = [facts | {"clip_id": clip, "video_id": video, "split": split} for clip, video, split in clips]
    place.commit("materialized/s", "train-00000", from_rows(rows, MATERIALIZED, "here"), MATERIALIZED)


def withdraw(place: Workspace, *videos: str) -> None:
    files.commit_bytes(place.record_uri("selections/s", WITHDRAWN), json.dumps(videos).encode())


A, B = ("a_00000000", "a", "train"), ("b_00000000", "b", "test")


def test_shards_may_hold_less_than_their_selection_but_nothing_else(place: Workspace) -> None:
    for clips in ((A, B), (B, A), (A,), ()):
        copy(place, *clips)
        audit(place)


@pytest.mark.parametrize(
    ("clips", "says"),
    [
        ((("b_00000000", "b", "train"),), "1 of 1 clips are none that selections/s keeps, or in another split"),
        ((A, B, A), "1 of 2 clips are repeated"),
        ((A, ("a_00000001", "a", "train")), "1 of 2 clips are none that selections/s keeps"),  # refused: low_score
        ((A, B, ("z_00000000", "z", "train")), "1 of 3 clips are none that selections/s keeps"),
        ((("a_00000000", "z", "train"),), "1 of 1 clips are none that selections/s keeps"),
    ],
)
def test_a_shard_that_holds_what_its_selection_does_not_keep_is_named(
    clips: tuple[tuple[str, str, str], ...], says: str, place: Workspace
) -> None:
    copy(place, *clips)
    fails(place, says, "materialized/s")


@pytest.mark.parametrize("reason", ["rights_changed", "no_train", "license", "bad_licence", "no_author"])
def test_clips_of_withdrawn_videos_in_shards_are_counted_whatever_refuses_them_and_those_of_another_split_are_named(
    reason: str, place: Workspace
) -> None:
    copy(place, A, B)
    select(place, "s", "00000", ("a", "train", reason, None))
    fails(place, "1 of 2 clips are none that selections/s keeps")  # whose video was kept is not known to be withdrawn
    withdraw(place, "a", "b")  # b is kept again
    assert check_copies(place, "s") == 1
    assert str(audit(place)).endswith("none in two splits; 1 clips in materialized/s are refused now")
    copy(place, ("a_00000000", "a", "test"), B)
    fails(place, "1 of 2 clips are none that selections/s keeps, or in another split")


def test_a_split_that_no_stage_knows_is_named(place: Workspace) -> None:
    select(place, "t", "00001", ("z", "trian", "kept", None))
    fails(place, "selections/t/00001, video z: split `trian`, expected train, validate, test")


def test_a_model_of_whole_splits_must_have_the_shares_of_the_selections(place: Workspace) -> None:
    half, none = ({"validate_fraction": 0.1, "test_fraction": fraction} for fraction in (0.5, 0.0))
    place.begin("selections/s", {"splitting": half}, {})
    place.begin("models/coincidence", {"selection": None, "splitting": half}, {})
    place.begin("models/separation", {"selection": "s", "splitting": none}, {})  # trains on the selection's splits
    audit(place)
    place.begin("models/other", {"selection": None, "splitting": none}, {})
    fails(place, "models/other: made with", "test_fraction=0.0", "test_fraction=0.5")


def cut(place: Workspace, part: str, *videos: tuple[str, str, str, str]) -> None:
    """A part of videos: (video_id, prescribed split, content, address)."""
    facts = {"part": part, "rights": "unknown", "num_clips": 1, "outcome": "kept"}
    names = ("video_id", "split", "content_hash", "uri")
    rows = [facts | dict(zip(names, video, strict=True)) for video in videos]
    place.commit(VIDEOS_FOLDER, part, from_rows(rows, VIDEOS, part), VIDEOS)


@pytest.mark.parametrize(("content", "address"), [("x", "/b"), ("y", "/a")])
def test_videos_of_the_same_bytes_or_address_in_two_splits_are_named(
    content: str, address: str, place: Workspace
) -> None:
    cut(place, "00000", ("a", "train", "x", "/a"), ("b", "test", "z", "/z"))
    audit(place)
    cut(place, "00001", ("b", "test", content, address))
    fails(place, "videos a and b, uploads of the same content: train in selections/s/00000, test in selections/s/00001")


def test_a_model_that_began_before_an_earlier_part_was_cut_is_named_if_a_copy_there_moves_its_video(
    place: Workspace,
) -> None:
    place.begin("models/m", {"selection": None, "splitting": {"validate_fraction": 0.1, "test_fraction": 0.1}}, {})
    files.commit_bytes(place.record_uri("models/m", "parts"), b'["00001"]')
    cut(place, "00001", ("d", "train", "x", "/d"))
    cut(place, "00000", ("c", "test", "other", "/c"))
    audit(place)
    cut(place, "00000", ("c", "test", "x", "/c"))
    fails(place, "models/m: began with video d as train", "makes it test")
