"""Clips of mouths without mouths: pictures and sound hold the same drawn numbers, and a learner that reads them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.clips.samples import Clip

NUM_FRAMES, DIM, FRAME_SAMPLES = 50, 16, 640


def spoken_clip(video: str, number: int = 0, heard: int | None = None, **extra: Any) -> Clip:
    """A clip of a video: its frame t shows DIM numbers, and its sound holds them during that frame.

    Args:
        video: its name; with the number it names the clip, and draws what is said.
        heard: number of the clip whose words are heard instead; None: its own.
        extra: the collection's other columns; `track` is the face's number.
    """
    track = extra.pop("track", 0)
    shown = _words(video, number)
    frames = np.zeros((NUM_FRAMES, 3, 4, DIM), np.uint8)
    frames[:, 0, 0] = shown
    waveform = np.zeros((NUM_FRAMES, FRAME_SAMPLES), np.float32)
    waveform[:, :DIM] = (shown if heard is None else _words(video, heard)) / 256
    facts = {"video_id": video, "track": track, "extra": extra or None}
    return Clip(f"{video}_{2000 * number}_speech_f{track}", {"flac": waveform.reshape(-1)}, frames, facts)


def _words(video: str, number: int) -> np.ndarray:
    rng = np.random.default_rng([*video.encode(), number])
    return rng.integers(0, 256, (NUM_FRAMES, DIM), dtype=np.uint8)


class ReadingLearner:
    """Reads the numbers of lips and speech exactly; with noise, that much of each is drawn instead."""

    def __init__(self, noise: float = 0.0) -> None:
        self.noise = noise

    def embed(self, model: nn.Module, frames: Tensor, waveform: Tensor) -> tuple[Any, Any]:
        return self._embedded(frames[:, :, 0, 0].float(), seed=1), self.embed_speech(model, waveform)

    def embed_speech(self, model: nn.Module, waveform: Tensor) -> Any:
        return self._embedded(256 * waveform.unflatten(-1, (-1, FRAME_SAMPLES))[..., :DIM], seed=2)

    def _embedded(self, numbers: Tensor, seed: int) -> Any:
        drawn = torch.randn(numbers.shape, generator=torch.Generator().manual_seed(seed))
        steps = F.normalize((1 - self.noise) * (numbers - 127.5) / 74 + self.noise * drawn, dim=-1)
        return SimpleNamespace(steps=steps, clip=F.normalize(steps.flatten(1), dim=-1)[:, : NUM_FRAMES * DIM // 2])
