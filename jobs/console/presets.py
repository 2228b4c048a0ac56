"""Presets: whole configurations. `--preset` picks one, `--set stage.field=value` changes a field.

The configs of stages are here, those of a learner in its own file: `Learner.presets`.

`tiny` trains everything in minutes on a laptop, `small` in three quarters of an hour; `base` has the published sizes of
AudioScope, `contrastive` those of the contrastive system, and both want GPUs. All cut the same clips.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.console.options import check_preset
from pipeline.clip_specs import ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.splitting import SplittingConfig
from pipeline.collection.collecting import CollectingConfig
from pipeline.config import config_dataclass
from pipeline.evaluation.mixing import MixingConfig
from pipeline.hashing import as_dict
from pipeline.labels.labeling import LabelingConfig
from pipeline.learners import LEARNERS
from pipeline.selection.duplicates import DuplicatesConfig
from pipeline.selection.filtering import FilteringConfig
from pipeline.selection.materializing import MaterializingConfig

T = TypeVar("T")


def _with_learners(cls: type[T]) -> type[T]:
    """The class with one more field per learner of the registry, which holds its config."""
    for learner, entry in LEARNERS.items():
        kind = entry.learner().config_class
        cls.__annotations__[learner] = kind
        setattr(cls, learner, dataclasses.field(default_factory=kind))
    return cls


@config_dataclass
@_with_learners
class PipelineConfig:
    """One config per stage and per learner; every field that changes a result is in one of them."""

    collecting: CollectingConfig = dataclasses.field(default_factory=CollectingConfig)
    """How the collection is split into parts."""
    clips: ClipSpecs = dataclasses.field(default_factory=ClipSpecs)
    """Lengths, rates and sizes of clips."""
    sharding: ShardingConfig = dataclasses.field(default_factory=ShardingConfig)
    """What becomes a clip."""
    splitting: SplittingConfig = dataclasses.field(default_factory=SplittingConfig)
    """Shares of train, validate and test videos."""
    labeling: LabelingConfig = dataclasses.field(default_factory=LabelingConfig)
    """When people's judgements become a label."""
    duplicates: DuplicatesConfig = dataclasses.field(default_factory=DuplicatesConfig)
    """Which videos count as uploads of the same content, with `earshot duplicates`."""
    filtering: FilteringConfig = dataclasses.field(default_factory=FilteringConfig)
    """Which clips are kept."""
    materializing: MaterializingConfig = dataclasses.field(default_factory=MaterializingConfig)
    """How shuffled shards are cut, with `earshot materialize`."""
    mixing: MixingConfig = dataclasses.field(default_factory=MixingConfig)
    """The frozen evaluation sets."""

    if TYPE_CHECKING:

        def __getattr__(self, learner: str) -> Any:
            """A learner's config."""


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


def check_together(config: PipelineConfig) -> None:
    """Refuse settings that stages could not use together.

    Raises:
        ConfigError: those of a learner do not fit its clips, or another learner's.
    """
    configs = {learner: getattr(config, learner) for learner in LEARNERS}
    for learner, entry in LEARNERS.items():
        built = entry.build(configs[learner])
        built.check_settings(getattr(config.clips, built.clip_spec), configs)


def decided_by_clips() -> list[tuple[str, str]]:
    """(learner, field of its config) of every field that the training clips decide and a model's record keeps."""
    found = [
        (name, field) for name, entry in LEARNERS.items() for of in entry.learners() for field in of.decided_by_clips
    ]
    return list(dict.fromkeys(found))
