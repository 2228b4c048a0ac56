"""The whole configuration: one config per stage, and one per learner of the registry."""

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.clip_specs import ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.splitting import SplittingConfig
from pipeline.collection.collecting import CollectingConfig
from pipeline.config import config_dataclass
from pipeline.evaluation.mixing import MixingConfig
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
