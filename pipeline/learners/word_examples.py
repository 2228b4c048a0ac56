"""What a word example is: a window of a fixed number of frames around the middle of a word, and its word's number."""

import dataclasses
from typing import Annotated, Any

import numpy as np
from pydantic import Field, NonNegativeInt

from pipeline.clips.samples import Clip, EncodedClip
from pipeline.config import Share, config_dataclass
from pipeline.training.protocols import TrainingConfig

UNKNOWN = -1  # a word that no training clip has


@config_dataclass
class WordsConfig:
    """The task of naming words, where lipreading.task = words."""

    num_frames: Annotated[int, Field(ge=5)] = 29
    """Frames of the window around a word's middle: 29 are LRW's clips. A clip of 2 s has room for that around words
    whose middle lies within its 0.84 s in the middle; fewer frames leave room for more words."""
    shift_frames: NonNegativeInt = 1
    """Training windows lie up to so many frames earlier or later, where the clip has them."""
    smoothing: Share = 0.1
    """Share of a target's weight that all words share (label smoothing)."""
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(
            num_steps=50_000, batch_size=32, learning_rate=3e-4, warmup_steps=500, weight_decay=0.01
        )
    )
    """Length and pace, in place of those of the contrast."""


TINY_WORDS = WordsConfig(
    num_frames=25,
    training=TrainingConfig(
        num_steps=400,
        batch_size=32,
        learning_rate=2e-3,
        warmup_steps=50,
        weight_decay=0.01,
        validate_every=100,
        num_validation_batches=4,
    ),
)


def window_of(
    clip: Clip | EncodedClip, first_frame: int, config: WordsConfig, rng: np.random.Generator | None
) -> np.ndarray:
    """[T, 3, H, W] uint8 of a word's window; moved a little if there is a generator."""
    first = first_frame
    if rng is not None:
        first += int(rng.integers(-config.shift_frames, config.shift_frames + 1))
    return clip.take_frames(min(max(first, 0), clip.num_frames - config.num_frames), config.num_frames)


def number_words(words: list[str], vocabulary: tuple[str, ...]) -> np.ndarray:
    """[n] the number of each word in the vocabulary, UNKNOWN where it has none."""
    numbers: dict[Any, int] = {word: number for number, word in enumerate(vocabulary)}
    return np.array([numbers.get(word, UNKNOWN) for word in words], dtype=np.int64)
