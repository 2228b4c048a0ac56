"""The settings of what is trained as coincidence: towers on clips, projections of vectors, a classifier on pairs."""

import dataclasses
import re
from typing import Annotated, Literal

from pydantic import Field

from pipeline.config import Share, config_dataclass
from pipeline.learners.augmentation import STRONG, AugmentationConfig
from pipeline.learners.matching import MatchingConfig
from pipeline.models.projections import ProjectionConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.training.protocols import TrainingConfig

COLUMN = r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*"  # of an imported table
MAX_MEMORY = 2**20  # rows; 2 GB of 512 numbers for each modality


@config_dataclass
class MemoryBankConfig:
    """Negatives out of a memory of recent training clips; used with objective nce."""

    size: Annotated[int, Field(ge=1, le=MAX_MEMORY)] = 16_384
    """Clips remembered. More cover more of the collection, but the oldest come from towers of more steps ago."""
    num_negatives: Annotated[int, Field(ge=1, le=MAX_MEMORY)] = 4096
    """Noise clips per step; the patent names 2 000 to 10 000. More is a tighter bound, log K nats at most."""
    draw: Literal["shared", "per_example"] = "shared"
    """One set of noise clips for the whole batch, 20 times cheaper and more; or each example's own."""
    directions: Literal["both", "visual"] = "both"
    """both: pictures pick sounds and sounds pick pictures. visual: only the first, as the patent has it."""
    z_momentum: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Share of the old estimate of the partition function that stays at each step."""


@config_dataclass
class CoincidenceLearnerConfig:
    """Model and training of the coincidence learner."""

    model: CoincidenceConfig = dataclasses.field(default_factory=CoincidenceConfig)
    """Both towers. The separation model's towers start from them, so it must have the same."""
    weights: str | None = None
    """A file with the weights of both towers to start from, by name as in a coincidence model's model.pt. None: towers
    start from noise."""
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(num_steps=100_000, batch_size=256, weight_decay=0.01)
    )
    """Length and pace. A larger batch means more negatives, and a harder task."""
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of a clip seen in training, its frames and the sound of their time: less is faster and varies more."""
    augmentation: AugmentationConfig = dataclasses.field(default_factory=AugmentationConfig)
    """How training clips are varied. More overfits later and learns more slowly."""
    separated_fraction: Share = 0.0
    """Share of training sounds that are changed into what a separator might make of them (ours): towers that are to
    judge separated sources need it."""
    objective: Literal["info_nce", "nce"] = "info_nce"
    """What the towers learn by: the rest of the batch, or a memory of clips seen before where batches are small."""
    memory_bank: MemoryBankConfig = dataclasses.field(default_factory=MemoryBankConfig)
    """The memory bank of objective nce."""
    matching: MatchingConfig = dataclasses.field(default_factory=MatchingConfig)
    """The match classifier after the towers."""
    inputs: tuple[str, ...] = ()
    """Imported vectors to learn on in place of clips: table.column of the picture's and of the sound's. Two small
    projections of them replace the towers, and learn in minutes from a few hundred videos."""
    input_dims: tuple[int, ...] = ()
    """Numbers of each of these vectors; training finds them."""
    projection: ProjectionConfig = dataclasses.field(default_factory=ProjectionConfig)
    """The projections of imported vectors."""
    projection_training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(
            num_steps=400,
            batch_size=64,
            learning_rate=2e-3,
            warmup_steps=20,
            weight_decay=0.01,
            validate_every=20,
            num_validation_batches=4,
        )
    )
    """Length and pace where imported vectors are learnt on."""
    pairs: str | None = None
    """A table of pairs that people judged, which the match classifier of first_model learns on; its towers or
    projections stay as they are. Columns picture and sound, each a clip_id, or an address (a relative one beside the
    table) with picture_start_s and sound_start_s; match, 0 or 1, rows without are left out."""
    first_model: str = "coincidence"
    """The model whose classifier learns on pairs."""
    pair_training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(
            num_steps=300,
            batch_size=64,
            learning_rate=1e-3,
            warmup_steps=10,
            weight_decay=0.01,
            validate_every=20,
            num_validation_batches=4,
        )
    )
    """Length and pace where the classifier learns on judged pairs."""

    def __post_init__(self) -> None:
        for name in ("training", "projection_training"):
            if (size := getattr(self, name).batch_size) < 2:
                raise ValueError(
                    f"{name}.batch_size = {size}: expected 2 or more, because a negative is another example of the "
                    "batch."
                )
        if self.weights is not None and self.inputs:
            raise ValueError(f"weights = {self.weights}: expected none with inputs, which have no towers.")
        if len(self.inputs) not in (0, 2) or not all(re.fullmatch(COLUMN, name) for name in self.inputs):
            raise ValueError(
                f"inputs = {','.join(self.inputs)}: expected table.column of the picture's vectors, a comma, and "
                "table.column of the sound's, such as clip.image,clap.audio."
            )


TINY = CoincidenceLearnerConfig(
    model=CoincidenceConfig(backbone="small_cnn", frame_size=64, width=0.25, embedding_dim=64, frame_pooling=3.0),
    crop=0.4,
    augmentation=STRONG,
    separated_fraction=0.5,
    matching=MatchingConfig(num_batches=24, num_steps=1000, num_held_out_batches=8),
    training=TrainingConfig(
        num_steps=700,
        batch_size=64,
        learning_rate=2e-3,
        warmup_steps=20,
        weight_decay=0.01,
        validate_every=100,
        num_validation_batches=2,
    ),
)
SMALL_TRAINING = dataclasses.replace(
    TINY.training, num_steps=2000, batch_size=96, validate_every=250, num_validation_batches=4
)
# US11335096B2
CONTRASTIVE = CoincidenceConfig(backbone="stem3d", embedding_dim=512, score="bilinear")
