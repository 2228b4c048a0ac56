"""Masks of an example's frames are the world's, and figures of attention run from chance to one."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.clips.samples import Clip
from pipeline.errors import DataError
from pipeline.evaluation.onscreen_rows import SeparatedExample, example_row
from pipeline.evaluation.sounding_masks import sounding_masks
from pipeline.metrics.localization import cell_coverage
from pipeline.storage import files
from pipeline.synthetic.planning import WorldConfig, plan_scene
from pipeline.synthetic.rendering import draw
from pipeline.synthetic.scenes import Scene
from pipeline.synthetic.truth import load_truth, write_truth

CONFIG = WorldConfig(num_videos=20, seed=5, duration_s=3.5, on_only_fraction=1.0, mixed_fraction=0.0)


def scene_with_gaps() -> int:
    """The first scene of which one thing sounds, and not in every second."""
    for index in range(CONFIG.num_videos):
        scene = plan_scene(CONFIG, index)
        if len(scene.sources) == 1 and scene.sources[0].spans != ((0.0, 3.5),):
            return index
    raise AssertionError


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scene]:
    """The truth of one video, as rendering writes it."""
    folder = tmp_path_factory.mktemp("world")
    scene = plan_scene(CONFIG, scene_with_gaps())
    _, truth = draw(scene)
    write_truth(folder, truth, [])
    return folder, scene


def example(folder: Path, scene: Scene, times_s: list[float], eval_set: str = "on_single") -> Clip:
    facts = {"eval_set": eval_set, "first_clip_id": f"{scene.name}_000000", "frame_times_s": times_s}
    facts["sources"] = [{"uri": str(folder / "videos" / scene.video)}]
    return Clip("a", {"first.flac": np.ones(4, np.float32)}, np.zeros((len(times_s), 3, 8, 8), np.uint8), facts)


def test_a_frame_has_the_mask_of_its_second_and_the_last_one_that_of_the_last_full_second(
    world: tuple[Path, Scene],
) -> None:
    truth = load_truth(*world[:1], world[1].name)
    masks = sounding_masks(example(*world, [0.0, 1.1, 2.0, 3.4]))
    assert masks is not None
    assert len(truth.masks[0]) == 3
    np.testing.assert_array_equal(masks, truth.masks[0][[0, 1, 2, 2]])
    assert masks.any()
    assert not masks.any(axis=(1, 2)).all()  # it is silent in one of the seconds


def test_of_a_video_that_is_no_worlds_nothing_is_known(world: tuple[Path, Scene], tmp_path: Path) -> None:
    assert sounding_masks(example(tmp_path, world[1], [0.0])) is None
    on_s3 = example(*world, [0.0])
    on_s3.facts["sources"][0]["uri"] = "s3://bucket/videos/world_00001.mp4"
    assert sounding_masks(on_s3) is None


def test_truth_of_another_program_is_named(world: tuple[Path, Scene], tmp_path: Path) -> None:
    folder = tmp_path / "truth" / world[1].name
    masks = world[0] / "truth" / world[1].name / "masks.npz"
    for scene, found in ((b'{"boxes": "none"}', masks.read_bytes()), (b"{}", masks.read_bytes()), (b"{}", b"PK")):
        files.commit_bytes(str(folder / "scene.json"), scene)
        files.commit_bytes(str(folder / "masks.npz"), found)
        with pytest.raises(DataError, match=world[1].name):
            sounding_masks(example(tmp_path, world[1], [0.0]))


def row_of(clip: Clip, attention: np.ndarray) -> dict:
    products = np.eye(2 + 2) * [1, 0, 1, 0]
    found = SeparatedExample(products, np.zeros(2), np.ones(2), np.zeros(2), attention)
    return example_row(clip, found, sounding_masks(clip))


def test_attention_on_the_thing_has_one_and_even_attention_its_share_of_the_picture(world: tuple[Path, Scene]) -> None:
    clip = example(*world, [0.0, 1.0, 2.0])
    masks = sounding_masks(clip)
    assert masks is not None
    share = masks[masks.any(axis=(1, 2))].mean()
    oracle = row_of(clip, masks / masks.sum())
    assert oracle["attention_mass"] == pytest.approx(1)
    assert oracle["attention_hit_rate"] == 1
    assert oracle["attention_chance"] == pytest.approx(share)
    assert row_of(clip, np.full((3, 8, 8), 1 / 192))["attention_mass"] == pytest.approx(share)
    best_cells = cell_coverage(masks, 8, 8)  # the most that cells can do is more than chance and less than all
    assert share < row_of(clip, best_cells / best_cells.sum())["attention_mass"] < 1
    off = example(*world, [0.0, 1.0, 2.0], eval_set="off_single")  # what sounds in it is not what is in view
    assert "attention_mass" not in row_of(off, masks / masks.sum())
