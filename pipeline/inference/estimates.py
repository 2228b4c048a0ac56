"""Windows -> what the model makes of each: sources, the probability of each to be on screen, and where it looked."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pipeline.clip_specs import ClipSpec
from pipeline.inference.windows import Window


@dataclass(frozen=True, slots=True)
class Estimate:
    """The model's output for one window."""

    window: Window
    sources: np.ndarray
    """[S, n] float32, on the scale of the window's sound; their sum is that sound."""
    probabilities: np.ndarray
    """[S] that each source is on screen."""
    attention: np.ndarray
    """[S, K, rows, columns] weights of sum 1 per source, or [S, 0] of a model that gives none."""

    def reordered(self, order: np.ndarray) -> "Estimate":
        """The same with its sources in another order: [S] old places."""
        return Estimate(self.window, self.sources[order], self.probabilities[order], self.attention[order])


def estimates(model: nn.Module, parts: Iterable[Window], spec: ClipSpec, batch_size: int) -> Iterator[Estimate]:
    """The estimate of each window, in order.

    Args:
        model: (mixture [B, T], frames [B, K, 3, H, W]) -> SeparationOutput, in evaluation mode, on its device.
        parts: a video's windows.
        spec: the clip spec that they were cut by.
        batch_size: windows per call of the model.
    """
    parts = iter(parts)
    while batch := list(itertools.islice(parts, batch_size)):
        yield from _estimate(model, batch, spec)


@torch.inference_mode()
def _estimate(model: nn.Module, batch: list[Window], spec: ClipSpec) -> list[Estimate]:
    """Estimates of a batch; a short window is padded with silence for the model."""
    device = next(model.parameters()).device
    mixture = np.zeros((len(batch), spec.num_samples), np.float32)
    for row, window in zip(mixture, batch, strict=True):
        row[: len(window.sound)] = window.sound
    pixels = torch.from_numpy(np.stack([window.frames for window in batch])).to(device)
    output = model(torch.from_numpy(mixture).to(device), pixels.permute(0, 1, 4, 2, 3).float() / 255)
    sources = output.sources.float().cpu().numpy()
    probabilities = torch.sigmoid(output.logits.float()).cpu().numpy()
    attention = output.attention.float().cpu().numpy()
    return [
        Estimate(window, sources[i, :, : len(window.sound)], probabilities[i], attention[i])
        for i, window in enumerate(batch)
    ]
