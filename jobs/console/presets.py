"""Presets: whole configurations. `--preset` picks one, `--set stage.field=value` changes a field.

The configs of stages are here, those of a learner in its own file: `Learner.presets`.

`tiny` trains everything in minutes on a laptop, `small` in three quarters of an hour; `base` has the published sizes of
AudioScope, `contrastive` those of the contrastive system, and both want GPUs. All cut the same clips.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jobs.console.options import check_preset
from jobs.console.pipeline_config import PipelineConfig
from pipeline.clips.splitting import SplittingConfig
from pipeline.collection.collecting import CollectingConfig
from pipeline.evaluation.mixing import MixingConfig
from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS
from pipeline.selection.duplicates import DuplicatesConfig
from pipeline.selection.filtering import FilteringConfig

# `tiny` trains in about twelve minutes on 2 cores from a few hundred short videos, and runs on a few dozen.
TINY = {
    "collecting": CollectingConfig(videos_per_part=8),
    "splitting": SplittingConfig(validate_fraction=0.1, test_fraction=0.2),
    "filtering": FilteringConfig(keep_fraction=0.8),
    "mixing": MixingConfig(max_clips_per_video=2, moms_per_clip=2, examples_per_part=50),
}
# `base`: for a corpus of 10^5 videos or more.
BASE = {"filtering": FilteringConfig(min_score=0.8), "duplicates": DuplicatesConfig(similarity=0.9)}
GPU_PRESETS = ("base", "contrastive")  # models of the published sizes, 100 000 steps: years on a CPU
PRESETS: dict[str, dict[str, Any]] = {"tiny": TINY, "small": TINY, "base": BASE, "contrastive": BASE}


def preset(name: str) -> PipelineConfig:
    """The preset of that name: its stages' configs, and the config that each learner has in it.

    Raises:
        ConfigError: there is none.
    """
    check_preset(name)
    learners = {learner: entry.learner().presets.get(name) for learner, entry in LEARNERS.items()}
    return PipelineConfig(**PRESETS[name], **{learner: config for learner, config in learners.items() if config})


def of_newer_learners(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The config of each learner that the stored settings of a root do not know, because a later version brought it.

    It is that of the preset which has the most of the stored groups: the published sizes, as by default, would take
    hours where the root's other models take minutes.
    """
    missing = [learner for learner in LEARNERS if learner not in stored]
    if not missing:
        return {}
    known = {name: as_dict(preset(name)) for name in PRESETS}
    likely = max(known, key=lambda name: sum(known[name].get(group) == value for group, value in stored.items()))
    return {learner: known[likely][learner] for learner in missing}


def wants_gpu(config: PipelineConfig) -> bool:
    """Whether some learner's model is that of a preset that is made for GPUs, and not that of a smaller one."""

    def models(names: Iterable[str]) -> list[Any]:
        return [getattr(getattr(preset(name), learner), "model", None) for name in names]

    small = [name for name in PRESETS if name not in GPU_PRESETS]
    for learner in LEARNERS:
        mine = getattr(getattr(config, learner), "model", None)
        if mine in models(GPU_PRESETS) and mine not in models(small):
            return True
    return False
