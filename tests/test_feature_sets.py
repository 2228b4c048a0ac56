"""Features in splits, with the category of each second; and batches of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import World

from pipeline.clips.splitting import SplittingConfig
from pipeline.features.feature_samples import decode
from pipeline.features.feature_sets import load_features
from pipeline.learners.events import EventsLearner, EventsLearnerConfig
from pipeline.models.psp import PSPConfig
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet, step_rng
from pipeline.training.clipsets import describe
from tests.helpers.features import SIZES, write_features, write_spans, write_world

SPLITS = ("train", "validate", "test")


def load(workspace: Workspace, *splits: str, labelled_only: bool = False) -> list[ClipSet]:
    parts = workspace.parts("features/events/f")
    return load_features(workspace, "f", splits, SplittingConfig(), parts, "events", labelled_only)


def test_features_of_own_clips_are_in_the_split_of_their_video(workspace: Workspace, world: World) -> None:
    write_world(workspace)
    for split, clips in zip(SPLITS, load(workspace, *SPLITS), strict=True):
        assert sorted(clips.rows["video_id"].to_pylist()) == sorted(world.video_ids[split])


@pytest.fixture
def published(tmp_path: Path) -> Workspace:
    """Features in splits of their own, in a root without videos."""
    workspace = Workspace(str(tmp_path))
    splits = {"a": "train", "b": "train", "c": "train", "d": "train", "e": "train", "f": "test", "g": "validate"}
    clips = [{"clip_id": f"{video}_0", "video_id": video, "split": split} for video, split in splits.items()]
    write_features(workspace, "00000", clips[:3])
    write_features(workspace, "00001", [*clips[3:], {"clip_id": "h_0", "video_id": "h", "split": "train"}])
    write_spans(
        workspace,
        "00000",
        [
            ("a", 0.0, 2.0, "horn"),
            ("a", 2.5, 3.5, "bell"),  # half of the third second, and half of the fourth
            ("b", 1.0, 2.0, "horn"),
            ("b", 3.0, 4.0, "bell"),  # as many seconds of both
            ("c", 0.0, 0.0, "flute"),  # judged, and without an event
            ("d", 0.0, 0.0, ""),
            ("e", 7.0, 9.0, "bell"),  # after the clip, in which no bell is
            ("f", 0.0, 4.0, "bell"),
        ],
    )
    return workspace


def test_each_second_has_its_category_and_each_clip_a_tag(published: Workspace) -> None:
    train, validate, test = load(published, *SPLITS)
    found = {row["video_id"]: (row["categories"], row["tag"], row["is_labelled"]) for row in train.rows.to_pylist()}
    nothing = [None] * 4
    assert found == {
        "a": (["horn", "horn", "bell", "bell"], "horn", True),
        "b": ([None, "horn", None, "bell"], "horn", True),
        "c": (nothing, "flute", True),
        "d": (nothing, None, True),
        "e": (nothing, None, True),
        "h": (nothing, None, False),
    }
    assert test.rows["categories"].to_pylist() == [["bell"] * 4]
    assert validate.rows["is_labelled"].to_pylist() == [False]
    assert all(train.rows[name].to_pylist() == [size] * 6 for name, size in SIZES.items())


def test_a_learner_of_labels_draws_judged_videos_alone(published: Workspace) -> None:
    train, validate = load(published, "train", "validate", labelled_only=True)
    assert train.rows["video_id"].to_pylist() == ["a", "b", "c", "d", "e"]
    assert len(validate) == 0


def test_other_spans_are_other_clips_to_a_checkpoint(published: Workspace) -> None:
    (before,) = load(published, "train")
    write_spans(published, "00001", [("h", 0.0, 1.0, "horn")])
    (after,) = load(published, "train")
    assert describe(before)["num_clips"] == describe(after)["num_clips"] == 6
    assert describe(before)["fingerprint"] != describe(after)["fingerprint"]


def test_a_clip_whose_features_are_missing_is_in_no_set(published: Workspace) -> None:
    lost = {"clip_id": "i_0", "video_id": "i", "split": "train", "tar_offset": None, "tar_bytes": None}
    write_features(published, "00002", [lost])
    assert "i" not in load(published, "train")[0].rows["video_id"].to_pylist()


def test_a_batch_is_a_function_of_its_step_on_any_number_of_workers_and_of_no_cache(published: Workspace) -> None:
    (clips,) = load(published, "train")
    config = EventsLearnerConfig(**SIZES, categories=("bell", "horn"), model=PSPConfig())

    def batch(step: int, rows: slice = slice(None), cache_bytes: int = 0) -> dict[str, torch.Tensor]:
        drawn = ClipSet(published, "features/events/f", clips.rows, decode, cache_bytes)
        return EventsLearner(config).batch(drawn, step_rng(3, 0, step), 4, rows, augment=True)

    whole, again, other = batch(5), batch(5, cache_bytes=2**20), batch(6)
    assert whole["visual"].shape == (4, 4, 3, 5)
    assert whole["audio"].shape == (4, 4, 2)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
    assert not torch.equal(whole["visual"], other["visual"])
    for rank in (0, 1):
        assert all(torch.equal(value, whole[name][rank::2]) for name, value in batch(5, slice(rank, None, 2)).items())


def test_a_drawn_clip_has_its_own_features(published: Workspace) -> None:
    (clips,) = load(published, "test")
    clip = clips.read(0)
    assert (clip.key, clip.facts["video_id"]) == ("f_0", "f")
    rng = np.random.default_rng([2, *b"f_0"])  # the third of its part
    np.testing.assert_array_equal(clip.visual, rng.standard_normal((4, 3, 5)).astype(np.float16))
    np.testing.assert_array_equal(clip.audio, rng.standard_normal((4, 2)).astype(np.float16))
