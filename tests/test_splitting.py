"""Splits: a function of the video alone, in the shares that were asked for."""

import collections
import hashlib
from pathlib import Path

import pytest
from conftest import World

from pipeline.clips.splitting import SplittingConfig, duplicate_groups, part_splits, split_of
from pipeline.errors import ConfigError
from pipeline.storage.workspace import VIDEOS_FOLDER, Workspace
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows

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
        for video, split in part_splits(world.workspace, part, SplittingConfig()).items():
            found[split].append(video)
    assert found == world.video_ids


def test_groups_are_what_links_of_all_selections_join(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    assert duplicate_groups(workspace) == {}
    for folder, part, pairs in (
        ("s", "00000", {"b": "b", "f": "b"}),
        ("s", "00001", {"k": "h"}),  # h was alone when its part was decided: it has no row
        ("t", "00000", {"d": "a", "f": "a"}),  # to t, f is a's
    ):
        facts = {
            "split": "train",
            "can_represent": False,
            "linked_video_ids": [],
            "like_video_id": "x",
            "shared_fraction": 1.0,
        }
        rows = [facts | {"video_id": video, "group_id": group} for video, group in pairs.items()]
        workspace.commit(f"duplicates/{folder}", part, from_rows(rows, DUPLICATES, part), DUPLICATES)
    assert duplicate_groups(workspace) == dict.fromkeys("abdf", "a") | dict.fromkeys("hk", "h")
