"""What each kind of learner reads, and what its training clips decide of its config."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.events import EventsLearner, EventsLearnerConfig
from pipeline.learners.sources import complete_config, count_held_out, load_sets, read_stages
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from tests.helpers.clips import load_split
from tests.helpers.features import SIZES, write_features, write_spans, write_world
from tests.helpers.masks import write_masked_world

SETTINGS = {"splitting": as_dict(SplittingConfig()), "selection": None, "features": "f"}
PARTS = ["00000", "00001"]


def learner(**options: Any) -> EventsLearner:
    return EventsLearner(EventsLearnerConfig(**options))


@pytest.mark.parametrize(
    ("reads", "spec", "expected"),
    [
        ("clips", "sounds", ["clips/sounds"]),
        ("selection", "base", ["clips/base", "selections/s"]),
        ("features", "events", ["spans", "features/events/f"]),
        ("masks", "segmentation", ["masks", "clips/segmentation"]),
    ],
)
def test_parts_are_those_of_the_last_stage_that_is_read(reads: str, spec: str, expected: list[str]) -> None:
    assert read_stages(SimpleNamespace(name="x", reads=reads, clip_spec=spec), "s", "f") == expected


def test_clips_are_loaded_as_before(workspace: Workspace) -> None:
    plain = CoincidenceLearner(CoincidenceLearnerConfig())
    found = load_sets(workspace, plain, SETTINGS, ("train", "test"), workspace.parts(CLIPS_FOLDER))
    for split, clips in zip(("train", "test"), found, strict=True):
        assert clips.rows == load_split(workspace, split, SplittingConfig()).rows
    assert complete_config(workspace, plain, SETTINGS, []) == plain.config


def test_clips_with_masks_are_loaded_and_their_held_out_videos_counted(workspace: Workspace) -> None:
    write_masked_world(workspace)
    masked: Any = SimpleNamespace(name="x", reads="masks", clip_spec="segmentation")
    parts = workspace.parts(CLIPS_FOLDER)
    found = load_sets(workspace, masked, SETTINGS, ("train", "validate"), parts)
    assert [len(clips) for clips in found] == [5, 3]
    assert found[0].read(0).mask_valid.any()
    assert count_held_out(workspace, masked, SETTINGS, parts, enough=2) == 2
    assert count_held_out(workspace, masked, SETTINGS, parts, enough=9) == 3


def test_sizes_and_categories_are_those_of_the_training_clips(workspace: Workspace) -> None:
    write_world(workspace)
    completed = complete_config(workspace, learner(), SETTINGS, PARTS)
    assert {name: getattr(completed, name) for name in SIZES} == SIZES
    assert completed.categories == ("bell", "horn")
    assert as_dict(completed) | SIZES | {"categories": []} == as_dict(learner().config) | SIZES
    assert complete_config(workspace, EventsLearner(completed), SETTINGS, PARTS) == completed
    assert count_held_out(workspace, learner(), SETTINGS, PARTS, enough=2) == 2
    assert count_held_out(workspace, learner(), SETTINGS, PARTS, enough=9) == 3


def test_videos_that_nobody_judged_are_drawn_without_supervision_alone(workspace: Workspace) -> None:
    write_world(workspace)
    write_spans(workspace, "00001", [])
    parts = {}
    for supervision in ("full", "weak", "self"):
        (clips,) = load_sets(workspace, learner(supervision=supervision), SETTINGS, ("test",), PARTS)
        parts[supervision] = set(clips.rows["part"].to_pylist())
    assert "00001" in parts["self"]
    assert "00001" not in parts["full"] | parts["weak"]


def test_features_of_several_sizes_no_judged_video_and_no_event_are_refused(workspace: Workspace) -> None:
    write_world(workspace)
    row = load_sets(workspace, learner(), SETTINGS, ("train",), PARTS)[0].rows.to_pylist()[0]
    video, part = row["video_id"], row["part"]
    wide = [{"clip_id": f"{video}_{dim}", "video_id": video, "visual_dim": dim} for dim in (5, 7)]
    write_features(workspace, part, wide)
    with pytest.raises(ConfigError, match=r"features with visual_dim = \[5, 7\]; expected all of one size"):
        complete_config(workspace, learner(), SETTINGS, [part])
    write_features(workspace, part, wide[:1])
    write_spans(workspace, part, [(video, 0.0, 0.0, "bell")])
    with pytest.raises(ConfigError, match="no second of a training clip has an event"):
        complete_config(workspace, learner(), SETTINGS, [part])
    files.delete(workspace.part_uri("spans", part))
    with pytest.raises(
        ConfigError, match=r"tables/spans: no span is of a training video .*features/events/f"
    ) as caught:
        complete_config(workspace, learner(), SETTINGS, [part])
    assert (caught.value.topic, caught.value.facts["stage"]) == ("missing", "spans")
