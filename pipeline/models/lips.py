"""Two encoders that put lips and speech into one space, at two scales of time: 0.2 s and a whole clip.

In: mouth crops at 25 frames per second, and 13 MFCC every 10 ms. Out, of each modality: a unit embedding for each frame
(the short scale: the five frames around it, or the 20 frames of MFCC of the same 0.2 s), and one for the clip (the long
scale: multi-scale temporal convolutions, then the mean over time).

CN113239903 names the parts and the 0.2 s, and no size: ours follow SyncNet in the stem of five frames, and Martinez et
al. 2020 in the temporal convolutions. Ours too: beyond both ends of a clip, its first and last frame are repeated. With
zeros there, both encoders would know a clip's ends, and would match them without looking at any lip.

Design note: both encoders end in a batch norm without weights (ours, `output_norm`). Contrasts do not mind if all lips
lie to one side of all speech, and without it a linear probe always distinguished them, adversary or not; figures are in
docs/benchmarks.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pipeline.audio import NUM_MFCC, level_gain, mfcc
from pipeline.config import Count, Share, config_dataclass
from pipeline.models.adversaries import Adversaries, AdversariesConfig
from pipeline.models.multi_scale_tcn import MultiScaleTCN
from pipeline.models.small_cnn import scaled
from pipeline.models.stem3d import Stem3dNet

FRAME_RATE_HZ, RATE_HZ = 25, 16_000
FRAME_SAMPLES = 640  # of a frame of the picture
REST_SAMPLES = 240  # the last frame of MFCC reaches 15 ms beyond its 10
MFCC_PER_FRAME = 4
CONTEXT = 2  # frames before and after that an embedding of the short scale sees
INPUT_DB = -20.0  # RMS of a clip's sound that the encoder expects, dBFS
MAX_LOGIT_SCALE = 100.0
# what standardises MFCC of speech at INPUT_DB: coefficient 0 is the logarithm of the energy, the others have the lifter
MFCC_MEAN = (-3.0, *[0.0] * 12)
MFCC_STD = (4.0, *[15.0] * 12)
LEAST_ENERGY = -13.0  # of that logarithm; digital silence counts as this, 60 dB below a frame at INPUT_DB
SPEECH_LAYERS = ((1, 3, 1), (1, 3, 1), (2, 4, 2), (2, 3, 1), (4, 3, 2), (4, 2, 1))
"""(multiple of the first layer's channels, kernel, stride): one output sees 20 frames, and the next those 4 on."""
SPEECH_CHANNELS = 128


@config_dataclass
class LipReadingConfig:
    """Sizes of both encoders."""

    frame_size: Annotated[int, Field(ge=16, le=96)] = 88
    """Side in pixels of what the encoder sees; crops of the mouth are brought to it."""
    width: Annotated[float, Field(gt=0, le=4)] = 1.0
    """Channel multiplier of both encoders: 0.25 trains on a laptop."""
    depth: Annotated[int, Field(ge=1, le=4)] = 2
    """Blocks of two convolutions for each of the four widths of the lip encoder; 2 is as deep as ResNet-18."""
    step_dim: Count = 512
    """D, size of an embedding of the short scale."""
    branch_dim: Count = 256
    """Channels of each of the three branches of the temporal convolutions."""
    clip_dim: Count = 512
    """E, size of an embedding of the long scale."""
    dropout: Share = 0.2
    """Share of the channels of the temporal convolutions that is set to zero in training."""
    output_norm: Literal["batch", "none"] = "batch"
    """batch: both encoders end in a batch norm without weights, so that means and deviations do not say which modality
    an embedding is of. none: only adversaries can take that out."""
    temperature: Annotated[float, Field(ge=1 / MAX_LOGIT_SCALE, le=1)] = 0.07
    """Where the learned temperatures of both contrasts start; lower separates hard negatives sooner."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Clips of one modality; T counts frames of the picture."""

    features: Tensor
    """[B, T, D] the short scale as the encoder gives it, of any length."""
    steps: Tensor
    """[B, T, D] the same, of length 1."""
    tracks: Tensor
    """[B, T, E] the long scale before it is averaged; `features` where the model has no long scale."""
    clip: Tensor
    """[B, E] the long scale, of length 1: the mean of `tracks`."""


class LipReadingModel(nn.Module):
    """An encoder for each modality, the temperatures of both contrasts, and the adversaries of the training."""

    def __init__(self, config: LipReadingConfig, adversaries: AdversariesConfig, *, has_long: bool = True) -> None:
        """Without `has_long` there are no temporal convolutions, and a clip is the mean of its short scale."""
        super().__init__()
        self.config = config
        self.lip_encoder, self.speech_encoder = LipEncoder(config), SpeechEncoder(config)
        self.lip_tcn = _tcn(config) if has_long else None
        self.speech_tcn = _tcn(config) if has_long else None
        self.log_scales = nn.Parameter(torch.full((2,), -math.log(config.temperature)))
        self.adversaries = Adversaries(adversaries, config.step_dim)

    def lips(self, frames: Tensor) -> Embedded:
        """What is seen, for frames [B, T, 3, S, S] RGB in [0, 1]."""
        return _embed(self.lip_encoder(frames), self.lip_tcn)

    def speech(self, coefficients: Tensor) -> Embedded:
        """What is heard, for MFCC [B, 4 T, 13] of sound near INPUT_DB."""
        return _embed(self.speech_encoder(coefficients), self.speech_tcn)

    @property
    def scales(self) -> Tensor:
        """[2] inverse temperatures of the short and the long contrast, in [1, 100]."""
        return self.log_scales.clamp(0.0, math.log(MAX_LOGIT_SCALE)).exp()


class LipEncoder(nn.Module):
    """[B, T, 3, S, S] -> [B, T, D]: a 3-D stem over five frames, 2-D layers on each, and a dense layer."""

    def __init__(self, config: LipReadingConfig) -> None:
        super().__init__()
        self.net = Stem3dNet(
            width=config.width,
            embedding_dim=config.step_dim,
            depth=config.depth,
            time_kernel=2 * CONTEXT + 1,
            pads_time=False,
        )
        self.norm = _output_norm(config)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, T, D]; row t is of the frames t - 2 to t + 2 alone."""
        first, last = frames[:, :1], frames[:, -1:]
        frames = torch.cat([first, first, frames, last, last], dim=1)
        _, features = self.net(frames)
        return self.norm(features).unflatten(0, (len(frames), -1))


class SpeechEncoder(nn.Module):
    """[B, 4 T, 13] -> [B, T, D]: convolutions over time, of which each output sees the 20 frames of MFCC of 0.2 s."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: LipReadingConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MFCC_MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(MFCC_STD), persistent=False)
        channels, layers = NUM_MFCC, list[nn.Module]()
        for multiple, kernel, stride in SPEECH_LAYERS:
            out_channels = scaled(multiple * SPEECH_CHANNELS, config.width)
            layer = nn.Conv1d(channels, out_channels, kernel, stride, bias=False)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            layers += [layer, nn.BatchNorm1d(out_channels), nn.ReLU(inplace=True)]
            channels = out_channels
        self.layers = nn.Sequential(*layers)
        self.dense = nn.Linear(channels, config.step_dim)
        self.norm = _output_norm(config)

    def forward(self, coefficients: Tensor) -> Tensor:
        """[B, T, D]; row t is of the frames 4 (t - 2) to 4 (t + 3) - 1 of MFCC, those of the five frames around t."""
        floored = torch.cat([coefficients[..., :1].clamp_min(LEAST_ENERGY), coefficients[..., 1:]], dim=-1)
        rows = ((floored - self.mean) / self.std).transpose(1, 2)
        rows = F.pad(rows, (MFCC_PER_FRAME * CONTEXT,) * 2, mode="replicate")
        return self.norm(self.dense(self.layers(rows).transpose(1, 2)).transpose(1, 2)).transpose(1, 2)


def speech_coefficients(waveform: Tensor, gain_db: Tensor | None = None) -> Tensor:
    """MFCC [B, 4 T, 13] of waveform [B, 640 T] or [B, 640 T + 240] at any level.

    The sound of each clip is brought to INPUT_DB: how loud a clip is says who recorded it, and nothing of its words.
    Where the last 240 samples are missing they are zeros.

    Args:
        waveform: linear amplitude at 16 kHz.
        gain_db: [B] what is added to the level after that.
    Raises:
        ValueError: another number of samples.
    """
    rest = waveform.shape[-1] % FRAME_SAMPLES
    if rest not in (0, REST_SAMPLES) or waveform.shape[-1] < FRAME_SAMPLES:
        raise ValueError(
            f"waveform {list(waveform.shape)}: expected {FRAME_SAMPLES} samples for each frame of the picture, and "
            f"{REST_SAMPLES} more or none."
        )
    whole = F.pad(waveform, (0, REST_SAMPLES - rest))
    level_db = INPUT_DB if gain_db is None else INPUT_DB + gain_db.unsqueeze(-1)
    return mfcc(whole * level_gain(whole, 0.0) * 10 ** (level_db / 20))


def _output_norm(config: LipReadingConfig) -> nn.Module:
    return nn.BatchNorm1d(config.step_dim, affine=False) if config.output_norm == "batch" else nn.Identity()


def _tcn(config: LipReadingConfig) -> MultiScaleTCN:
    return MultiScaleTCN(
        in_dim=config.step_dim, branch_dim=config.branch_dim, out_dim=config.clip_dim, dropout=config.dropout
    )


def _embed(features: Tensor, tcn: MultiScaleTCN | None) -> Embedded:
    tracks = features if tcn is None else tcn(features)
    return Embedded(
        features=features,
        steps=F.normalize(features.float(), dim=-1),
        tracks=tracks,
        clip=F.normalize(tracks.float().mean(dim=1), dim=-1),
    )
