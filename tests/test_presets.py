"""Presets: what fits together, and what is said when it does not."""

import dataclasses

import pytest

from jobs.console.options import SPECS
from jobs.console.overrides import list_settings, override
from jobs.console.pipeline_config import PipelineConfig, check_together
from jobs.console.presets import PRESETS, preset
from pipeline.clip_specs import ClipSpecs
from pipeline.errors import ConfigError
from pipeline.learners import LEARNERS


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_together(name: str) -> None:
    check_together(preset(name))


@pytest.mark.parametrize("name", PRESETS)
def test_every_setting_is_listed_with_its_meaning_and_as_set_takes_it(name: str) -> None:
    config = preset(name)
    for path, text, doc in list_settings(config):
        assert len(doc.split()) > 2, path
        assert override(config, [f"{path}={text}"]) == config


def test_a_misspelt_preset_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"^--preset smal: expected one of tiny, .*\. Did you mean small\?$"):
        preset("smal")


def test_a_setting_without_its_stage_gets_every_field_that_it_could_mean() -> None:
    paths = [path for path, *_ in list_settings(preset("tiny")) if path.endswith(".num_steps")]
    assert {"coincidence.training.num_steps", "separation.audio_training.num_steps"} <= set(paths)
    *others, last = paths
    says = f"{', '.join(others)} or {last}?"
    with pytest.raises(ConfigError) as caught:
        override(preset("tiny"), ["num_steps=5"])
    assert str(caught.value) == f"--set num_steps=5: no field `num_steps`. Did you mean {says}"


def test_small_is_tiny_trained_longer() -> None:
    tiny, small = preset("tiny"), preset("small")
    assert dataclasses.replace(small, **{learner: getattr(tiny, learner) for learner in LEARNERS}) == tiny
    for learner in LEARNERS:
        ours, shorter = getattr(small, learner), getattr(tiny, learner)
        assert ours.model == shorter.model
        assert ours.training.num_steps > shorter.training.num_steps
    assert small.separation.audio_training.num_steps > tiny.separation.audio_training.num_steps


@pytest.mark.parametrize("setting", ["coincidence.model.matcher=cosine", "coincidence.model.score=bilinear"])
def test_what_separation_does_not_start_from_may_differ(setting: str) -> None:
    check_together(override(preset("tiny"), [setting]))


def test_other_towers_are_refused_unless_separation_starts_from_another_model() -> None:
    config: PipelineConfig = override(preset("tiny"), ["coincidence.model.backbone=stem3d"])
    with pytest.raises(ConfigError, match="separation starts from the coincidence model's towers"):
        check_together(config)
    check_together(override(config, ["separation.first_model=towers"]))


def test_a_separator_that_sees_frames_is_refused_where_a_phase_without_frames_trains_it() -> None:
    config: PipelineConfig = override(preset("tiny"), ["separation.model.condition_on_video=true"])
    with pytest.raises(ConfigError, match="phase audio has no frames to show the separator"):
        check_together(config)
    check_together(override(config, ["separation.first_separator=none"]))


def test_the_clip_specs_that_the_command_line_knows_are_those_of_the_config() -> None:
    assert tuple(ClipSpecs.__pydantic_fields__) == SPECS
