"""Materialized shards: every kept clip once, those of one video far apart, the same bytes each time they are made."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.clips.tars import read_sequence
from pipeline.errors import DataError
from pipeline.hashing import hash_text
from pipeline.selection.materializing import MaterializePart, MaterializingConfig, ShardPlan, _deal, plan_shards
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.materialized import MATERIALIZED
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS

CONFIG = MaterializingConfig(clips_per_shard=6)


@pytest.fixture
def kept(workspace: Workspace) -> dict[str, str]:
    """A selection `s` that keeps three of each video's four clips; each kept clip's split."""
    found = {}
    for part in workspace.parts(CLIPS_FOLDER):
        splits = {row["video_id"]: row["split"] for row in workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()}
        rows = []
        for clip in workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist():
            row = {name: clip[name] for name in ("clip_id", "video_id", "part")}
            is_kept = clip["start_s"] < 3
            row |= {"kept": is_kept, "reason": "kept" if is_kept else "low_score"}
            rows.append(row | {"split": splits[clip["video_id"]], "score": 0.5})
            if is_kept:
                found[clip["clip_id"]] = splits[clip["video_id"]]
        workspace.commit("selections/s", part, from_rows(rows, SELECTIONS, part), SELECTIONS)
    return found


def materialize(workspace: Workspace, seed: int = 0) -> ShardPlan:
    plan = plan_shards(workspace, "s", CONFIG, seed)
    work = MaterializePart(workspace, "s", plan, seed)
    finished = workspace.parts("materialized/s")
    for shard in reversed([shard for shard in plan.shards if shard not in finished]):
        work(shard)
    return plan


def content(workspace: Workspace) -> dict[str, bytes]:
    folders = (workspace.uri("materialized/s"), workspace.table("materialized/s"))
    entries = [entry for folder in folders for entry in files.list_files(folder)]
    return {files.relative(entry.uri, workspace.root): files.read_bytes(entry.uri) for entry in entries}


def test_every_kept_clip_is_in_one_shard_of_its_split_with_its_bytes(
    workspace: Workspace, kept: dict[str, str]
) -> None:
    materialize(workspace)
    rows = workspace.read_all("materialized/s", MATERIALIZED)
    assert sorted(rows["clip_id"].to_pylist()) == sorted(kept)
    clips = ClipSet(workspace, "materialized/s", rows)
    source = ClipSet(workspace, CLIPS_FOLDER, workspace.read_all(CLIPS_FOLDER, CLIPS))
    number = {clip: i for i, clip in enumerate(source.rows["clip_id"].to_pylist())}
    for i, row in enumerate(rows.to_pylist()):
        assert row["split"] == row["part"].rpartition("-")[0] == kept[row["clip_id"]]
        assert row["clip_id"].startswith(row["video_id"] + "_")
        assert clips.raw(i) == source.raw(number[row["clip_id"]])
    for part in workspace.parts("materialized/s"):
        keys = workspace.read("materialized/s", part, MATERIALIZED)["clip_id"].to_pylist()
        assert len(keys) <= 6
        assert [key for key, _ in read_sequence(Path(workspace.tar_uri("materialized/s", part)), keys)] == keys


def test_a_shard_that_a_killed_worker_did_not_finish_has_the_same_bytes(
    workspace: Workspace, kept: dict[str, str]
) -> None:
    materialize(workspace)
    before = content(workspace)
    assert len(before) == 2 * (3 + 2 + 2)  # 15, 9 and 12 clips of the splits, 6 in a shard
    folder = Path(workspace.uri("materialized/s"))
    Path(workspace.part_uri("materialized/s", "train-00001")).unlink()  # the tar alone is no finished part
    Path(workspace.part_uri("materialized/s", "test-00000")).unlink()
    (folder / "test-00000.tar").write_bytes(b"half")
    materialize(workspace)
    assert content(workspace) == before


def test_another_seed_gives_another_order(workspace: Workspace, kept: dict[str, str]) -> None:
    first, second = (plan_shards(workspace, "s", CONFIG, seed) for seed in (0, 1))
    places = [list(zip(plan.source, plan.offset, strict=True)) for plan in (first, second)]
    assert places[0] != places[1]
    assert sorted(places[0]) == sorted(places[1])


def deal(num_videos: int, num_clips: int) -> tuple[np.ndarray, np.ndarray]:
    """The videos of clips, and the clips' places."""
    videos = np.repeat(np.arange(num_videos), num_clips)
    return videos, _deal(videos, np.array([hash_text(f"clip {i}") for i in range(len(videos))], np.uint64))


@pytest.mark.parametrize(("num_videos", "num_clips"), [(300, 36), (300, 4), (300, 2), (1, 10)])
def test_two_clips_of_a_video_are_half_a_stretch_apart_or_more_also_around_the_end(
    num_videos: int, num_clips: int
) -> None:
    _, places = deal(num_videos, num_clips)
    assert places.min() >= 0
    assert places.max() < 1
    ordered = np.sort(places.reshape(num_videos, num_clips), axis=1)
    gaps = np.diff(ordered, axis=1, append=ordered[:, :1] + 1)
    assert gaps.min() >= 0.5 / num_clips - 1e-12
    # the difference of two even draws from a quarter to three quarters of a stretch, and one stretch between
    assert gaps.mean() == pytest.approx(1 / num_clips)
    if num_videos > 1:
        assert gaps.std() == pytest.approx((2 / 48) ** 0.5 / num_clips, rel=0.1)


@pytest.mark.parametrize("num_clips", [1, 2, 36])
def test_places_are_even_over_the_whole_order(num_clips: int) -> None:
    _, places = deal(7200 // num_clips, num_clips)
    counts = np.histogram(places, 20, (0, 1))[0]
    assert ((counts - 360) ** 2 / 360).sum() < 45  # chi-squared of 19 degrees of freedom: one in a thousand is above


def test_in_the_shuffled_order_overlapping_clips_are_never_near_where_a_blind_shuffle_puts_them_side_by_side() -> None:
    videos, places = deal(400, 36)
    blind = np.random.default_rng(0).permutation(len(videos))
    nearest = []
    for order in (np.argsort(places), blind):
        rank = np.argsort(order).reshape(400, 36)
        nearest.append(int(np.diff(np.sort(rank, axis=1), axis=1).min()))
    # half a stretch are 200 places of 14 400; how many clips lie there varies by their square root
    assert nearest[0] >= 200 - 4 * 200**0.5
    assert nearest[1] == 1


def test_the_order_is_not_that_of_the_videos() -> None:
    videos, places = deal(400, 4)
    order = videos[np.argsort(places)]
    quarters = order.reshape(4, -1)
    same = [(quarters[0] == quarter).mean() for quarter in quarters[1:]]
    assert max(same) < 0.02
    assert np.corrcoef(np.arange(len(order)), order)[0, 1] == pytest.approx(0, abs=4 / len(order) ** 0.5)


def test_a_tar_that_is_not_the_one_its_rows_describe_is_refused(workspace: Workspace, kept: dict[str, str]) -> None:
    plan = plan_shards(workspace, "s", CONFIG, 0)
    shard = next(iter(plan.shards))
    first = plan.shards[shard].start
    plan.hashes[first] += np.uint64(1)
    with pytest.raises(DataError, match="which is not the clip its rows describe"):
        MaterializePart(workspace, "s", plan, 0)(shard)
    assert workspace.parts("materialized/s") == []
    assert not files.exists(workspace.tar_uri("materialized/s", shard))


def test_a_selection_of_clips_that_are_gone_is_refused(workspace: Workspace, kept: dict[str, str]) -> None:
    rows = workspace.read(CLIPS_FOLDER, "00001", CLIPS).to_pylist()
    workspace.commit(CLIPS_FOLDER, "00001", from_rows(rows[1:], CLIPS, "here"), CLIPS)
    with pytest.raises(DataError, match=r"selection=s/00001.* keeps clips that clips/base/00001 does not hold"):
        plan_shards(workspace, "s", CONFIG, 0)


def test_shards_in_a_bucket_have_the_bytes_of_those_on_a_disk(
    workspace: Workspace, kept: dict[str, str], s3_bucket: str
) -> None:
    materialize(workspace)
    remote = Workspace(f"{s3_bucket}/materializing")
    for entry in files.list_files(workspace.root):
        if "materialized" not in entry.uri:
            uri = remote.uri(files.relative(entry.uri, workspace.root))
            files.commit_bytes(uri, files.read_bytes(entry.uri))
    materialize(remote)
    assert content(remote) == content(workspace)
