"""The settings of what is trained as lipreading: encoders of lips and speech, and a reader of words on top of one."""

import dataclasses
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat

from pipeline.config import config_dataclass
from pipeline.learners.augmentation import AugmentationConfig
from pipeline.learners.mouth_crops import MouthAugmentationConfig
from pipeline.learners.word_examples import TINY_WORDS, WordsConfig
from pipeline.models.adversaries import AdversariesConfig
from pipeline.models.lips import CONTEXT, LipReadingConfig
from pipeline.training.protocols import TrainingConfig


@config_dataclass
class ContrastConfig:
    """Weights of both contrasts, and what they compare."""

    short_weight: NonNegativeFloat = 1.0
    """Of the short scale: 0.2 s of lips among other times of the clip and other clips. 0 takes it out."""
    long_weight: NonNegativeFloat = 1.0
    """Of the long scale: a clip's lips among clips of other videos. 0 takes the temporal convolutions out too."""
    directions: Literal["both", "visual"] = "both"
    """both: lips pick sounds and sounds pick lips. visual: only the first."""
    near_frames: Annotated[int, Field(ge=1)] = 3
    """Other times of a clip nearer than this are not compared: windows of five frames overlap by more than half."""


@config_dataclass
class LipreadingLearnerConfig:
    """Model and training of the lip-reading learner."""

    model: LipReadingConfig = dataclasses.field(default_factory=LipReadingConfig)
    """Both encoders."""
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(
            num_steps=100_000, batch_size=64, learning_rate=3e-4, warmup_steps=1000, weight_decay=0.01
        )
    )
    """Length and pace. A larger batch means more negatives of other clips, and a harder long scale."""
    num_frames: Annotated[int, Field(ge=2 * CONTEXT + 1)] = 45
    """Frames of a training window, which lies anywhere in its clip; validation sees whole clips."""
    contrast: ContrastConfig = dataclasses.field(default_factory=ContrastConfig)
    """What lips and speech are compared with."""
    adversaries: AdversariesConfig = dataclasses.field(default_factory=AdversariesConfig)
    """What the encoders should not say."""
    mouths: MouthAugmentationConfig = dataclasses.field(default_factory=MouthAugmentationConfig)
    """How training windows are varied: crop, masked time, level."""
    augmentation: AugmentationConfig = dataclasses.field(
        default_factory=lambda: AugmentationConfig(mirror_fraction=0.5, colour_gain=0.4)
    )
    """How their pictures are varied: mirrored, brighter and darker in each colour."""
    task: Literal["contrast", "words"] = "contrast"
    """contrast: both encoders, without labels. words: which word of the table `spans` is said (`learners/words.py`)."""
    first_model: str | None = "lipreading"
    """For words: the model of contrast whose lip encoder it starts from. None starts from noise."""
    encoder: Literal["frozen", "tuned"] = "frozen"
    """For words: whether that encoder stays as it is, or learns on."""
    words: WordsConfig = dataclasses.field(default_factory=WordsConfig)
    """For words: their windows, and the length and pace of that training."""
    vocabulary: tuple[str, ...] = ()
    """The words of the training clips, sorted; the training of words sets it."""

    def __post_init__(self) -> None:
        if self.training.batch_size < 2:
            raise ValueError(
                f"training.batch_size = {self.training.batch_size}: expected 2 or more, because a negative is another "
                "clip of the batch."
            )
        if not (self.contrast.short_weight or self.contrast.long_weight):
            raise ValueError("contrast.short_weight = contrast.long_weight = 0: expected one of them to be more.")
        for name in ("shift", "speed", "gap"):
            if getattr(self.augmentation, name):
                raise ValueError(
                    f"augmentation.{name} = {getattr(self.augmentation, name)}: expected 0. Lips and sound would no "
                    "longer fit; crops and masked time are settings of `mouths`."
                )
        if self.training.precision == "fp16" and self.adversaries.momentum_rule == "gradient":
            raise ValueError(
                "training.precision = fp16: expected fp32 or bf16 with adversaries.momentum_rule = gradient, because "
                "fp16 scales gradients by a factor that changes."
            )


TINY = LipreadingLearnerConfig(
    model=LipReadingConfig(frame_size=48, width=0.25, depth=1, step_dim=64, branch_dim=32, clip_dim=64),
    training=TrainingConfig(
        num_steps=1000,
        batch_size=16,
        learning_rate=2e-3,
        warmup_steps=20,
        weight_decay=0.01,
        validate_every=100,
        num_validation_batches=4,
    ),
    num_frames=30,
    words=TINY_WORDS,
)
SMALL_TRAINING = dataclasses.replace(TINY.training, num_steps=3000, validate_every=250)
