"""Splits: a function of the video alone, in the shares that were asked for."""

import collections
import hashlib
from pathlib import Path

import pytest
from conftest import World

from pipeline.clips.copies import find_copies
from pipeline.clips.cut_videos import cut_parts
from pipeline.clips.splitting import Splits, SplittingConfig, count_splits, part_splits, shared_splits, split_of
from pipeline.errors import ConfigError, MissingError
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.videos import VIDEOS
from tests.helpers.cut_videos import write_videos

IDS = [f"video-{i}" for i in range(20_000)]


@pytest.mark.parametrize(("validate", "test"), [(0.02, 0.02), (0.1, 0.2), (0.0, 0.5), (0.0, 0.0)])
def test_shares_are_those_asked_for_within_four_standard_errors(validate: float, test: float) -> None:
    config = SplittingConfig(validate_fraction=validate, test_fraction=test)
    counts = collections.Counter(split_of(name, config) for name in IDS)
    for split, share in (("validate", validate), ("test", test), ("train", 1 - validate - test)):
        error = (share * (1 - share) / len(IDS)) ** 0.5
        assert counts[split] / len(IDS) == pytest.approx(share, abs=4 * error)


def test_the_split_is_where_the_sha256_of_the_id_falls() -> None:
    config = SplittingConfig(validate_fraction=0.25, test_fraction=0.25)
    for name in IDS[:200]:
        quarter = hashlib.sha256(f"split {name}".encode()).digest()[0] // 64
        assert split_of(name, config) == ("test", "validate", "train", "train")[quarter]


def test_a_larger_test_share_takes_no_video_out_of_the_test_set() -> None:
    small, large = (SplittingConfig(test_fraction=share, validate_fraction=0.1) for share in (0.1, 0.3))
    for name in IDS[:2000]:
        if split_of(name, small) == "test":
            assert split_of(name, large) == "test"


def test_a_prescribed_split_is_kept() -> None:
    for split in ("train", "validate", "test"):
        assert {split_of(name, SplittingConfig(), split) for name in IDS[:100]} == {split}


@pytest.mark.parametrize(("validate", "test"), [(-0.1, 0.1), (0.1, -0.1), (0.5, 0.5)])
def test_shares_that_leave_nothing_to_train_on_are_refused(validate: float, test: float) -> None:
    with pytest.raises(ConfigError, match=r"(validate|test)_fraction = (-0.1|0.5)"):
        SplittingConfig(validate_fraction=validate, test_fraction=test)


def test_the_videos_of_a_part_have_the_splits_that_the_collection_prescribes(world: World) -> None:
    found: dict[str, list[str]] = collections.defaultdict(list)
    for part in world.workspace.parts(VIDEOS_FOLDER):
        for video, split in part_splits(world.workspace, part, SplittingConfig(), {}).items():
            found[split].append(video)
    assert found == world.video_ids


def counted(workspace: Workspace, config: SplittingConfig) -> Splits:
    return count_splits(workspace, config, find_copies(workspace, cut_parts(workspace)))


def splits_of(workspace: Workspace, config: SplittingConfig, parts: list[str]) -> dict[str, str]:
    shared = shared_splits(workspace, config, parts)
    found: dict[str, str] = {}
    for part in parts:
        found |= part_splits(workspace, part, config, shared)
    return found


def test_copies_share_the_first_split_of_the_earliest_part_and_later_parts_change_none(tmp_path: Path) -> None:
    workspace, config = Workspace(str(tmp_path)), SplittingConfig()
    write_videos(workspace, "00000", ("a", "test", "x", "/a"), ("b", "validate", "x", "/b"), ("c", "test", "y", "/c"))
    before = splits_of(workspace, config, ["00000"])
    assert before == {"a": "validate", "b": "validate", "c": "test"}
    write_videos(workspace, "00001", ("d", "train", "x", "/d"), ("e", "train", None, "/c"), ("f", "train", "y", "/f"))
    write_videos(workspace, "00002", ("g", "train", None, "/g"), ("h", "test", None, "/h"))  # unread: no copies
    after = splits_of(workspace, config, workspace.parts(VIDEOS_FOLDER))
    assert before.items() <= after.items()
    assert [after[name] for name in "defgh"] == ["validate", "test", "test", "train", "test"]


def test_a_copy_without_a_prescribed_split_follows_the_hash_of_the_first(tmp_path: Path) -> None:
    workspace, config = Workspace(str(tmp_path)), SplittingConfig(validate_fraction=0.3, test_fraction=0.3)
    by_itself = {split_of(name, config): name for name in IDS[:100]}
    for number, name in enumerate((by_itself["test"], by_itself["train"], by_itself["validate"])):
        write_videos(workspace, f"{number:05d}", (name, None, "x", f"/{name}"))
    assert set(splits_of(workspace, config, workspace.parts(VIDEOS_FOLDER)).values()) == {"test"}


def test_splits_are_counted_with_copies_and_those_that_leave_their_prescribed_split(tmp_path: Path) -> None:
    workspace, config = Workspace(str(tmp_path)), SplittingConfig()
    write_videos(workspace, "00000", ("a", "train", "x", "/a"), ("b", "test", "y", "/b"))
    write_videos(workspace, "00001", ("c", "test", "x", "/c"), ("d", "train", "x", "/d"))
    rows = [{"video_id": "e", "uri": "/e", "part": "00002", "rights": "unknown", "num_clips": 0, "outcome": "missing"}]
    workspace.commit(VIDEOS_FOLDER, "00002", from_rows(rows, VIDEOS, "here"), VIDEOS)
    found = counted(workspace, config)
    assert str(found) == "3 train, 0 validate, 1 test"
    assert (found.copies, found.num_moved) == ([("/a", "/c", "/d")], 1)


def test_splits_are_the_same_whichever_clip_spec_a_part_was_cut_by(tmp_path: Path) -> None:
    workspace, config = Workspace(str(tmp_path)), SplittingConfig()
    write_videos(workspace, "00001", ("b", "train", "x", "/b"))
    facts = {"part": "00000", "rights": "unknown", "num_clips": 1, "outcome": "kept", "uri": "/a"}
    rows = [facts | {"video_id": "a", "split": "test", "content_hash": "x"}]
    workspace.commit("videos/events", "00000", from_rows(rows, VIDEOS, "here"), VIDEOS)
    assert cut_parts(workspace) == ["00000", "00001"]
    assert str(counted(workspace, config)) == "0 train, 0 validate, 2 test"
    facts = {"part": "00001", "rights": "unknown", "num_clips": 0, "outcome": "too_short", "uri": "/b"}
    rows = [facts | {"video_id": "b", "split": "test", "content_hash": "x"}]
    workspace.commit("videos/events", "00001", from_rows(rows, VIDEOS, "here"), VIDEOS)
    assert str(counted(workspace, config)) == "0 train, 0 validate, 2 test"  # `base` keeps it
    assert splits_of(workspace, config, cut_parts(workspace)) == {"a": "test", "b": "test"}
    with pytest.raises(MissingError):
        part_splits(workspace, "00002", config, {})
