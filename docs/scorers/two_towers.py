"""A scorer: a small model of two towers, from a file of weights -> how alike a clip's sound and picture are.

    earshot score --root my_workspace --scorer two_towers:TwoTowers --with weights=two_towers.pt --name towers

Beside the similarity it gives the vectors themselves, for `earshot duplicates --vectors` and other tools.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import earshot

RATE_HZ = 16_000
BANDS = 64  # of equal width up to half the rate
SIDE = 8  # pixels of the picture that are looked at
DIM = 32


class Towers(nn.Module):
    """One layer from the levels of a sound's bands, and one from the colours of its pictures, to unit vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.sound, self.picture = nn.Linear(BANDS, DIM), nn.Linear(3 * SIDE * SIDE, DIM)

    def forward(self, waveforms: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """[B, DIM] of the sounds, and [B, DIM] of the pictures.

        Args:
            waveforms: [B, T] in [-1, 1).
            frames: [B, K, 3, H, W] from 0 to 255.
        """
        power = torch.fft.rfft(waveforms).abs().square()
        levels = torch.log10(F.adaptive_avg_pool1d(power, BANDS) + 1e-6)
        colours = F.adaptive_avg_pool2d(frames.mean(1) / 255, SIDE).flatten(1)
        return F.normalize(self.sound(levels), dim=1), F.normalize(self.picture(colours), dim=1)


class TwoTowers:
    """What `earshot score --scorer` makes once per worker, and calls with batches of clips."""

    columns = {"similarity": "DOUBLE", "sound": f"FLOAT[{DIM}]", "picture": f"FLOAT[{DIM}]"}  # noqa: RUF012
    batch_size = 64

    def __init__(self, device: str, weights: str) -> None:
        self.device = device
        self.model = Towers().eval().to(device)
        # a file of weights may come from anywhere: weights_only reads tensors, and runs nothing
        self.model.load_state_dict(torch.load(weights, map_location=device, weights_only=True))

    @torch.inference_mode()
    def __call__(self, clips: list[earshot.Clip]) -> list[dict[str, Any]]:
        """A dict with the declared columns for each clip."""
        for clip in clips:
            if clip.facts["sample_rate_hz"] != RATE_HZ:
                raise ValueError(f"a sound at {clip.facts['sample_rate_hz']} Hz, expected {RATE_HZ}")
        waveforms = torch.from_numpy(np.stack([clip.waveform for clip in clips])).to(self.device)
        frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).to(self.device)
        sounds, pictures = self.model(waveforms, frames.float())
        return [
            {"similarity": float(sound @ picture), "sound": sound, "picture": picture}
            for sound, picture in zip(sounds, pictures, strict=True)
        ]
