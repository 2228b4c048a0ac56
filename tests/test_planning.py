"""Planning: what all videos would take, exactly if all are sampled, and else with a range that narrows."""

import shutil
from pathlib import Path

import pytest
from conftest import WORLD_VIEW, World

from pipeline import storage
from pipeline.artifacts import CLIPS_FOLDER
from pipeline.collecting import CollectingConfig, list_videos
from pipeline.planning import Estimate, estimate
from pipeline.sharding import ShardingConfig


def of(collection: str, num_sampled: int) -> Estimate:
    return estimate(
        list_videos(collection), num_sampled, WORLD_VIEW, ShardingConfig(), CollectingConfig(videos_per_part=5)
    )


@pytest.mark.parametrize("is_folder", [True, False])
def test_an_estimate_from_all_videos_is_what_cutting_them_made(is_folder: bool, world: World) -> None:
    found = of(str(world.folder / "videos") if is_folder else world.collection, 12)
    assert (found.num_videos, found.num_sampled, found.num_usable, found.num_parts) == (12, 12, 12, 3)
    assert found.clips == (48.0, 0.0)
    assert found.hours[0] == pytest.approx(12 * 5.0 / 3600, rel=0.02)
    written = sum(
        len(storage.read_bytes(world.workspace.uri(CLIPS_FOLDER, f"{part}.tar")))
        for part in world.workspace.parts(CLIPS_FOLDER)
    )
    assert found.gigabytes[0] == pytest.approx(written / 1e9, rel=0.1)
    assert 0 < found.cpu_hours[0] < 12 * 5 / 3600  # faster than it plays
    assert "12 videos in 3 parts; 12 of 12 sampled are usable" in found.lines()[0]


def test_an_estimate_from_some_videos_scales_up_to_all_of_them(world: World) -> None:
    found = of(world.collection, 5)
    assert (found.num_videos, found.num_sampled) == (12, 5)
    assert found.clips == (48.0, 0.0)  # they all give four
    total, error = found.gigabytes
    exact, _ = of(world.collection, 12).gigabytes
    assert 0 < error < total
    assert abs(total - exact) < 4 * error


def test_what_cannot_be_used_counts_among_the_sampled_only(world: World, tmp_path: Path) -> None:
    for number, path in enumerate(sorted((world.folder / "videos").iterdir())[:2]):
        shutil.copy(path, tmp_path / f"{number}{path.suffix}")
    (tmp_path / "notes.txt").write_text("not a video")
    found = of(str(tmp_path), 10)
    assert (found.num_sampled, found.num_usable, found.clips) == (3, 2, (8.0, 0.0))
