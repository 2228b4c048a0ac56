"""The two networks of US11335096B2: a 3-D stem over frames with 2-D layers above, and a conv net on log-mel.

From the patent: "Conv3d 3x7x7, 3 -> 64", a pooling, several 2-D layers, a dense layer to R^512 for frames; several
convolutions and a dense layer to R^512 for the log-mel. Its figures hold the other sizes, so these follow AVID
(arXiv:2004.12943, appendix): stem stride 2 and 3 x 3 max pooling, then two 3 x 3 convolutions for each of 64, 128, 256
and 512 channels. Where AVID ends in the maximum over the grid, these pool as the other backbones do. At one
frame per second the stem sees 3 s; time is padded with zeros, so one frame alone is enough.

Grids are those of the other backbones, one cell per 16 pixels, because the on-screen classifier looks at them.

Lip reading (`models/lips.py`) takes the same network with a stem of five frames and, at the published size, two blocks
for each width: as many convolutions as ResNet-18 has.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.small_cnn import conv, pool, scaled

STEM_CHANNELS = 64
CHANNELS = (64, 128, 256, 512)
SPECTROGRAM_LAYERS = (
    (STEM_CHANNELS, 7, 2),
    *((channels, 3, stride) for channels, first in zip(CHANNELS, (2, 2, 2, 1), strict=True) for stride in (first, 1)),
)
"""The audio network, as `models/small_cnn.py` builds it, on a log-mel with time as height: one embedding per 0.16 s."""


class Stem3dNet(nn.Module):
    """Frames in; local features on a grid and one embedding per frame out. Any number and size of frames."""

    def __init__(
        self,
        *,
        width: float,
        embedding_dim: int,
        depth: int = 1,
        time_kernel: int = 3,
        pads_time: bool = True,
        pooling_power: float = 1.0,
    ) -> None:
        """Fresh weights.

        Args:
            width: multiplies all channel counts.
            depth: blocks of two convolutions for each width; those beyond the first are residual.
            time_kernel: frames that the stem sees at once, an odd number.
            pads_time: zeros before the first and after the last frame, so that K frames give K embeddings; without
                them they give K - time_kernel + 1.
            pooling_power: of `pool`, over the last layer's grid.
        """
        super().__init__()
        self.pooling_power = pooling_power
        stem, *channels = (scaled(count, width) for count in (STEM_CHANNELS, *CHANNELS))
        padding = (time_kernel // 2 if pads_time else 0, 3, 3)
        self.stem = nn.Conv3d(3, stem, (time_kernel, 7, 7), stride=(1, 2, 2), padding=padding, bias=False)
        nn.init.kaiming_normal_(self.stem.weight, nonlinearity="relu")
        self.norm = nn.BatchNorm3d(stem)
        # the grid leaves at stride 16 and 256 channels; the last block halves it once more
        self.body = nn.Sequential(_stage(stem, channels[0], 1, depth), _stage(channels[0], channels[1], 2, depth))
        self.middle = _stage(channels[1], channels[2], 2, depth)
        self.top = _stage(channels[2], channels[3], 2, depth)
        self.local_dim = channels[2]
        self.dense = nn.Linear(channels[3], embedding_dim)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Local features [B * K, local_dim, ceil(H / 16), ceil(W / 16)] and embeddings [B * K, D] of the frames.

        Args:
            frames: [B, K, 3, H, W] RGB in [0, 1], any K >= 1; `time_kernel` or more where time is not padded.
        """
        volume = ((frames - 0.5) / 0.25).transpose(1, 2)
        stem = F.relu(self.norm(self.stem(volume)))
        pooled = F.max_pool3d(stem, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        images = pooled.transpose(1, 2).flatten(0, 1)
        local = self.middle(self.body(images.contiguous(memory_format=torch.channels_last)))
        return local, self.dense(pool(self.top(local), self.pooling_power))


class _Residual(nn.Module):
    """relu(x + block(x)), where the block's own ReLU comes before the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = _block(channels, channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        return F.relu(images + self.block(images))


def _stage(in_channels: int, out_channels: int, stride: int, depth: int) -> nn.Module:
    first = _block(in_channels, out_channels, stride)
    return first if depth == 1 else nn.Sequential(first, *(_Residual(out_channels) for _ in range(depth - 1)))


def _block(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return nn.Sequential(conv(in_channels, out_channels, stride=stride), conv(out_channels, out_channels))
