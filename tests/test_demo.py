"""The worlds of `earshot demo`: what a model has to beat there follows from their plans alone."""

import numpy as np
import pytest

from jobs.demo import DEMO_WORLDS
from pipeline.labels.event_spans import segment_labels
from pipeline.metrics.segments import BACKGROUND, segment_accuracy, whole_clips
from pipeline.synthetic.kinds import KINDS
from pipeline.synthetic.planning import WorldConfig, plan_scene
from pipeline.synthetic.scenes import Scene
from pipeline.synthetic.truth import event_spans
from schemas.spans import SpanRow


def seconds(scene: Scene) -> list[int]:
    """The category of each of the video's seconds, as a number."""
    numbers = {None: BACKGROUND} | {kind: number for number, kind in enumerate(KINDS)}
    rows: list[SpanRow] = [
        {"video_id": "", "start_s": start_s, "end_s": end_s, "category": kind, "source": ""}
        for start_s, end_s, kind in event_spans(scene)
    ]
    return [numbers[category] for category in segment_labels(rows, 0.0, round(scene.duration_s))]


def test_the_world_of_events_has_the_anchors_that_its_figures_stand_beside() -> None:
    config = WorldConfig(**DEMO_WORLDS["events"])
    scenes = [plan_scene(config, index) for index in range(config.num_videos)]
    truth = np.array([seconds(scene) for scene in scenes])
    assert truth.shape == (600, 10)
    assert segment_accuracy(truth, np.full_like(truth, BACKGROUND)).of() == pytest.approx(0.415, abs=5e-4)
    assert segment_accuracy(truth, whole_clips(truth)).of() == pytest.approx(0.585, abs=5e-4)
    assert {sum(source.on_screen for source in scene.sources) for scene in scenes} == {1}
    assert {len(scene.still) for scene in scenes} == {0}
    two = np.mean([len(scene.sources) == 2 for scene in scenes])
    assert two == pytest.approx(0.2, abs=0.04)  # 2.4 standard deviations


def test_the_world_of_segmentation_has_frames_that_only_sound_can_tell_apart() -> None:
    config = WorldConfig(**DEMO_WORLDS["segmentation"])
    shares = np.zeros((3, 3))  # by things in view and those of them that sound
    for scene in (plan_scene(config, index) for index in range(400)):
        in_view = len(scene.still) + len(scene.sources)
        for time_s in np.arange(5) + 0.5:
            sounding = [any(first <= time_s < last for first, last in source.spans) for source in scene.sources]
            shares[in_view, sum(sounding)] += 1 / (5 * 400)
    deviation = (0.35 * 0.65 / 400) ** 0.5  # seconds of a video are alike
    assert shares[2, 1] == pytest.approx(0.35, abs=2.5 * deviation)
    assert shares[2, 2] == pytest.approx(0.35, abs=2.5 * deviation)
    assert shares[1, 1] == pytest.approx(0.16, abs=2.5 * deviation)
    assert shares[:, 0].sum() == pytest.approx(0.14, abs=2.5 * deviation)


def test_the_world_of_lip_reading_has_faces_and_words_and_some_that_are_silent_or_take_turns() -> None:
    config = WorldConfig(**DEMO_WORLDS["lipreading"])
    scenes = [plan_scene(config, index) for index in range(300)]
    assert (config.num_videos, config.duration_s, {scene.frame_rate_hz for scene in scenes}) == (800, 5.0, {25})
    faces = [[source.thing for source in scene.sources if source.on_screen] + list(scene.still) for scene in scenes]
    assert {len(each) for each in faces} == {1, 2}
    words = [{spoken.word for source in scene.sources for spoken in source.words} for scene in scenes]
    assert all(words)
    assert len(set().union(*words)) == 20
    two = np.mean([len(each) == 2 for each in faces])
    assert two == pytest.approx(config.two_faces_fraction, abs=0.06)  # 2.5 standard deviations or more


def test_the_world_of_separation_is_the_one_that_its_published_figures_are_of() -> None:
    config = WorldConfig(**DEMO_WORLDS["separation"])
    fractions = (config.on_only_fraction, config.mixed_fraction, config.second_source_fraction)
    assert (config.num_videos, config.duration_s, *fractions) == (900, 5.0, 0.74, 0.14, 0.15)
