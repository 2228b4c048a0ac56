"""Presets: whole configurations, written as functions. `--preset` picks one, `--set stage.field=value` changes a field.

`tiny` trains everything in minutes on a laptop, `small` in half an hour; `base` has the published sizes of AudioScope,
`contrastive` those of the contrastive system, and both want GPUs. All cut the same clips.
"""

import dataclasses

from pipeline.clip_specs import ClipSpecs
from pipeline.clips.sharding import ShardingConfig
from pipeline.clips.splitting import SplittingConfig
from pipeline.collection.collecting import CollectingConfig
from pipeline.config import config_dataclass
from pipeline.errors import ConfigError, did_you_mean
from pipeline.evaluation.mixing import MixingConfig
from pipeline.labels.labeling import LabelingConfig
from pipeline.learners.coincidence import CoincidenceLearnerConfig
from pipeline.learners.matching import MatchingConfig
from pipeline.learners.separation import SeparationLearnerConfig
from pipeline.models.separator import SeparationConfig
from pipeline.models.tdcn import TDCNConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.selection.filtering import FilteringConfig
from pipeline.selection.materializing import MaterializingConfig
from pipeline.training.protocols import TrainingConfig


@config_dataclass
class PipelineConfig:
    """One config per stage; every field that changes a result is in one of them."""

    collecting: CollectingConfig = dataclasses.field(default_factory=CollectingConfig)
    """How the collection is split into parts."""
    clips: ClipSpecs = dataclasses.field(default_factory=ClipSpecs)
    """Lengths, rates and sizes of clips."""
    sharding: ShardingConfig = dataclasses.field(default_factory=ShardingConfig)
    """What becomes a clip."""
    splitting: SplittingConfig = dataclasses.field(default_factory=SplittingConfig)
    """Shares of train, validate and test videos."""
    coincidence: CoincidenceLearnerConfig = dataclasses.field(default_factory=CoincidenceLearnerConfig)
    """Model and training of the coincidence learner."""
    labeling: LabelingConfig = dataclasses.field(default_factory=LabelingConfig)
    """When people's judgements become a label."""
    filtering: FilteringConfig = dataclasses.field(default_factory=FilteringConfig)
    """Which clips are kept."""
    materializing: MaterializingConfig = dataclasses.field(default_factory=MaterializingConfig)
    """How shuffled shards are cut, with `earshot filter --materialize`."""
    mixing: MixingConfig = dataclasses.field(default_factory=MixingConfig)
    """The frozen evaluation sets."""
    separation: SeparationLearnerConfig = dataclasses.field(default_factory=SeparationLearnerConfig)
    """Model and training of the separation learner."""


def base() -> PipelineConfig:
    """Published sizes (AudioScope, section 4): for a corpus of 10^5 videos or more, and GPUs."""
    return PipelineConfig(filtering=FilteringConfig(min_score=0.8, duplicate_similarity=0.9))


def contrastive() -> PipelineConfig:
    """As base, with the coincidence model of US11335096B2: 3-D stem, 512 dimensions, bilinear score, NCE."""
    config, towers = base(), CoincidenceConfig(backbone="stem3d", embedding_dim=512, score="bilinear")
    return dataclasses.replace(
        config,
        coincidence=dataclasses.replace(config.coincidence, model=towers, objective="nce"),
        separation=dataclasses.replace(
            config.separation, model=dataclasses.replace(config.separation.model, towers=towers)
        ),
    )


def tiny() -> PipelineConfig:
    """Trains in about five minutes on 2 cores from a few hundred short videos; runs on a few dozen."""
    towers = CoincidenceConfig(backbone="small_cnn", frame_size=64, width=0.25, embedding_dim=64)
    separator = SeparationConfig(
        basis="stft",
        hop_ms=16.0,
        tdcn=TDCNConfig(bottleneck=128, hidden=256, num_repeats=2, num_dilations=6),
        towers=towers,
        cosine_feature=True,
        max_boost_db=20.0,
        freeze_towers=True,
        detach_sources_for_classifier=True,
    )
    return PipelineConfig(
        collecting=CollectingConfig(videos_per_part=8),
        splitting=SplittingConfig(validate_fraction=0.1, test_fraction=0.2),
        coincidence=CoincidenceLearnerConfig(
            model=towers,
            crop=0.4,
            matching=MatchingConfig(num_batches=24, num_steps=1000, num_held_out_batches=8),
            training=TrainingConfig(
                num_steps=700,
                batch_size=64,
                learning_rate=2e-3,
                warmup_steps=20,
                weight_decay=0.01,
                validate_every=100,
                num_validation_batches=4,
            ),
        ),
        filtering=FilteringConfig(keep_fraction=0.8),
        mixing=MixingConfig(max_clips_per_video=2, moms_per_clip=2, examples_per_part=50),
        separation=SeparationLearnerConfig(
            model=separator,
            cross_entropy="exact",
            weigh_by_power=True,
            crop_frames=2,
            training=TrainingConfig(
                num_steps=400,
                batch_size=12,
                learning_rate=2e-3,
                warmup_steps=20,
                validate_every=100,
                num_validation_batches=4,
            ),
        ),
    )


def small() -> PipelineConfig:
    """As tiny, but the coincidence model trains a quarter of an hour on 2 cores: for some thousands of videos."""
    config = tiny()
    training = dataclasses.replace(config.coincidence.training, num_steps=2000, batch_size=96, validate_every=250)
    coincidence = dataclasses.replace(config.coincidence, training=training, matching=MatchingConfig())
    return dataclasses.replace(config, coincidence=coincidence)


def check_together(config: PipelineConfig) -> None:
    """Refuse settings that stages could not use together.

    Raises:
        ConfigError: towers of different shapes, or a sample rate that they do not expect.
    """
    ours, theirs = config.coincidence.model, config.separation.model.towers
    if config.separation.first_model == "coincidence" and ours.towers != theirs.towers:
        raise ConfigError(
            f"coincidence.model = {ours.towers}, separation.model.towers = {theirs.towers}: expected the same, because "
            "separation starts from the coincidence model's towers. Set both, or name another separation.first_model."
        )
    if ours.rate_hz != config.clips.base.sample_rate_hz:
        raise ConfigError(
            f"clips.base.sample_rate_hz = {config.clips.base.sample_rate_hz}, coincidence.model.rate_hz = "
            f"{ours.rate_hz}: expected the same. Set both, and separation.model.towers.rate_hz."
        )


PRESETS = {"tiny": tiny, "small": small, "base": base, "contrastive": contrastive}


def preset(name: str) -> PipelineConfig:
    """The preset of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PRESETS:
        near = did_you_mean(name, PRESETS)
        raise ConfigError(f"--preset {name}: expected one of {', '.join(PRESETS)}.{near}")
    return PRESETS[name]()
