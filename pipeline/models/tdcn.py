"""TDCN++: the improved time-dilated convolution network that turns a time-frequency picture into features for masks.

As released with MixIT (google-research/sound-separation, models/train/network.py): activation before norm, norm over
time with scalar gamma and beta, dense layers with a learned scale that starts at 0.9**b in block b. Two things are
computed otherwise, with equal results: scales are multiplied into weights instead of activations, and video is passed
through its dense layer before it is repeated to the rate of the sound.
"""

import dataclasses
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pipeline.config import Count, config_dataclass
from pipeline.models.depthwise import convolve_channels

NORM_EPS = 1e-3  # Keras' default, which the released weights were trained with


@config_dataclass
class TDCNConfig:
    """Size of the network; the defaults are the published 8.8 M parameters."""

    bottleneck: Count = 256
    """Channels between blocks."""
    hidden: Count = 512
    """Channels inside a block, where the convolution over time works."""
    num_repeats: Count = 4
    """Times the row of dilations is repeated."""
    num_dilations: Count = 8
    """Blocks per repeat, dilated 1, 2, 4, ...: each more doubles how far the network sees."""
    skip_residuals: bool = False
    """Also add each repeat's input to the inputs of all later repeats (as in FUSS; the MixIT release has none)."""
    checkpoint_blocks: bool = dataclasses.field(default=False, compare=False)  # two such models are equal
    """Keep each block's input alone for the gradients and compute the rest twice: training takes a fraction of the
    memory (see docs/benchmarks.md) and a third more time, and its results are the same."""

    @property
    def reach(self) -> int:
        """STFT frames that the convolutions see on either side."""
        return self.num_repeats * (2**self.num_dilations - 1)


class TDCN(nn.Module):
    """num_repeats x num_dilations residual blocks; the norms see the whole clip, the convolutions `config.reach`."""

    def __init__(self, config: TDCNConfig, *, in_dim: int, video_dim: int | None) -> None:
        """Expect in_dim bins and, unless video_dim is None, embeddings of that size to condition every block on."""
        super().__init__()
        self.config = config
        self.first = ScaledDense(in_dim, config.bottleneck, bias=True)
        num_blocks = config.num_repeats * config.num_dilations
        self.blocks = nn.ModuleList(
            Block(config, dilation=2 ** (b % config.num_dilations), scale=0.9**b, video_dim=video_dim)
            for b in range(num_blocks)
        )
        pairs = itertools.combinations(range(config.num_repeats), 2) if config.skip_residuals else ()
        self.skips = nn.ModuleDict(
            {f"{i}-{j}": ScaledDense(config.bottleneck, config.bottleneck, bias=True) for i, j in pairs}
        )

    def forward(self, features: Tensor, video: Tensor | None = None) -> Tensor:
        """Features for masks.

        Args:
            features: [B, F, L] encoder coefficients or normalised magnitudes, any L >= 1.
            video: [B, K, video_dim] one embedding per frame, spread evenly over the clip; needed exactly if video_dim.
        Returns:
            [B, bottleneck, L].
        """
        core = self.first(features)
        repeat_inputs: list[Tensor] = []
        for b, block in enumerate(self.blocks):
            repeat, place = divmod(b, self.config.num_dilations)
            if place == 0 and self.skips:
                for i, earlier in enumerate(repeat_inputs):
                    core = core + self.skips[f"{i}-{repeat}"](earlier)
                repeat_inputs.append(core)
            if self.config.checkpoint_blocks and torch.is_grad_enabled():
                core = checkpoint(block, core, video, use_reentrant=False, preserve_rng_state=False)  # nothing is drawn
            else:
                core = block(core, video)
        return core


class Block(nn.Module):
    """Dense -> PReLU -> norm -> dilated depthwise convolution -> PReLU -> norm -> dense, plus the input."""

    def __init__(self, config: TDCNConfig, *, dilation: int, scale: float, video_dim: int | None) -> None:
        super().__init__()
        hidden = config.hidden
        self.widen = ScaledDense(config.bottleneck, hidden, bias=False)
        self.widen_video = None if video_dim is None else nn.Linear(video_dim, hidden, bias=False)
        self.act1, self.norm1 = nn.PReLU(init=0.1), TimeNorm()
        self.conv = nn.Conv1d(hidden, hidden, 3, padding=dilation, dilation=dilation, groups=hidden)
        self.act2, self.norm2 = nn.PReLU(init=0.1), TimeNorm()
        self.narrow = ScaledDense(hidden, config.bottleneck, bias=False, scale=scale)
        glorot_(self.conv)

    def forward(self, core: Tensor, video: Tensor | None) -> Tensor:
        """[B, bottleneck, L] from core [B, bottleneck, L] and video [B, K, video_dim]."""
        hidden = self.widen(core)
        if self.widen_video is not None:
            if video is None:
                raise ValueError("condition_on_video = True: separation needs the embeddings of the video's frames.")
            # a dense layer on [core, video] is the sum of one on each; K rows are cheaper to multiply than L
            hidden = hidden + nearest_frames(self.widen_video(video).transpose(1, 2), hidden.shape[-1])
        hidden = self.norm1(self.act1(hidden))
        hidden = self.norm2(self.act2(self._convolve(hidden)))
        return core + self.narrow(hidden)

    def _convolve(self, hidden: Tensor) -> Tensor:
        """[B, hidden, L] after the convolution over time of each channel."""
        if hidden.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return self.conv(hidden)
        assert self.conv.bias is not None
        return convolve_channels(hidden, self.conv.weight.squeeze(1), self.conv.bias, self.conv.dilation[0])


class ScaledDense(nn.Module):
    """Dense layer along the channels of [B, C, L], times one learned number."""

    def __init__(self, in_dim: int, out_dim: int, *, bias: bool, scale: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_dim, out_dim, 1, bias=bias)  # 3 times faster on CPU than a transposed matmul
        self.scale = nn.Parameter(torch.tensor(scale))
        glorot_(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """[B, out_dim, L] from [B, in_dim, L]."""
        bias = None if self.conv.bias is None else self.conv.bias * self.scale
        return F.conv1d(x, self.conv.weight * self.scale, bias)


class TimeNorm(nn.Module):
    """Zero mean and unit variance over time, per channel and clip, then one gamma and one beta for all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(()))
        self.beta = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, L] from [B, C, L], in the dtype of x; statistics are fp32."""
        if x.device.type == "cpu":
            channels = x.shape[1]  # a group per channel is instance norm; this kernel is 3 times faster on CPU
            return F.group_norm(x, channels, self.gamma.expand(channels), self.beta.expand(channels), NORM_EPS)
        return batched_time_norm(x, self.gamma, self.beta)


def batched_time_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """`TimeNorm` of x [B, C, L] as a batch norm of B C channels.

    CUDA's autocast runs group_norm in fp32, and so keeps a copy of its input of twice the size, 64 times at the
    published size. It leaves batch_norm in the dtype of its input, with statistics in fp32.
    """
    channels = x.shape[0] * x.shape[1]
    rows = x.reshape(1, channels, x.shape[2])
    # not F.batch_norm, which refuses a single frame in training: its norm is beta, as on a CPU
    normed = torch.batch_norm(
        rows,
        gamma.expand(channels),
        beta.expand(channels),
        None,
        None,
        True,
        0.0,
        NORM_EPS,
        torch.backends.cudnn.enabled,
    )
    return normed.view_as(x)


def nearest_frames(video: Tensor, length: int) -> Tensor:
    """[B, C, length]: at each time the frame of video [B, C, K] nearest to it, frames spread evenly over the clip."""
    twice_times = 2 * torch.arange(length, device=video.device) + 1  # middles of steps, in half steps
    return video[..., twice_times * video.shape[-1] // (2 * length)]


def glorot_(layer: nn.Conv1d | nn.ConvTranspose1d) -> None:
    """Weights as Keras starts them: Glorot uniform, bias 0."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
