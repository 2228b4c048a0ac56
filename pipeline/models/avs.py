"""Which pixels of each frame make the sound that is heard: the AVS baseline.

In: K frames and the sound of a clip. Out: logits of K masks. A pyramid sees each frame, dilated convolutions bring its
four maps to one width, TPAVI lets each of them take in the sound of all K frames, and a decoder makes the mask. Zhou et
al. 2022 (AVS, ECCV, arXiv:2207.05042); any K and any size, where the released code has five frames of 224 x 224.
"""

import dataclasses
from typing import Annotated, Literal, NamedTuple

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pipeline.audio import level_gain
from pipeline.config import Count, config_dataclass
from pipeline.models.mask_decoder import DilatedSum, MaskDecoder
from pipeline.models.pyramid import STRIDES, PyramidName, pyramid
from pipeline.models.segment_features import overlaps
from pipeline.models.towers import INPUT_DB, AudioTower, CoincidenceConfig
from pipeline.models.tpavi import TPAVI
from pipeline.models.vggish import VGGish


@config_dataclass
class AVSConfig:
    """Parts and sizes of the network; the defaults are the published ones with ResNet-50."""

    backbone: PyramidName = "resnet50"
    """Network that sees each frame: plain learns from a few hundred videos, the others are made to start from public
    weights."""
    frame_size: Annotated[int, Field(ge=STRIDES[-1], multiple_of=STRIDES[-1])] = 224
    """Frames are resized to this many pixels a side, whatever their aspect; the mask comes back at their own size."""
    channels: Annotated[int, Field(ge=8, multiple_of=8)] = 256
    """Width of the four maps and of the decoder."""
    inter_channels: Count = 128
    """Width in which TPAVI compares map and sound."""
    fusion: Literal["tpavi", "none"] = "tpavi"
    """none: the sound is not heard; for comparison."""
    exchange: Literal["clip", "frame"] = "clip"
    """clip: a place takes in the sound of all frames alike, as published. frame: that of its own frame alone (ours), by
    which a network can tell when a thing sounds and when it does not."""
    audio: Literal["vggish", "tower"] = "vggish"
    """vggish: frozen, of use only with public weights. tower: the audio tower of a coincidence model, trained on."""
    towers: CoincidenceConfig = dataclasses.field(default_factory=CoincidenceConfig)
    """The towers of that coincidence model, where audio = tower."""


class AVSOutput(NamedTuple):
    """Logits of masks, and what the mapping losses compare."""

    logits: Tensor
    """[B, K, H, W] at the frames' size; a pixel sounds where its logit is above 0."""
    maps: list[Tensor]
    """Z_i [B, K, C, h, w] after TPAVI at strides 4, 8, 16, 32; none without fusion."""
    sounds: list[Tensor]
    """a_i [B, K, C], the sound of each frame at the width of Z_i; none without fusion."""
    unfused: list[Tensor]
    """V_i [B, K, C, h, w], the maps before TPAVI; none without fusion."""


class TowerSound(nn.Module):
    """The audio tower's embeddings, averaged over the time of each of K frames."""

    def __init__(self, towers: CoincidenceConfig) -> None:
        super().__init__()
        self.audio_tower = AudioTower(towers)
        self.dim = towers.embedding_dim

    def forward(self, waveform: Tensor, num_frames: int) -> Tensor:
        """[B, K, A] of waveform [B, S] at any level, cut into K equal spans of time; K = `num_frames`."""
        tower = self.audio_tower
        heard = tower(waveform * level_gain(waveform, INPUT_DB)).embeddings
        span_s = waveform.shape[1] / tower.rate_hz / num_frames
        return overlaps(heard.shape[1], tower.step_s / span_s, num_frames).to(heard) @ heard


class AVSModel(nn.Module):
    """Frames and sound of clips -> logits of masks."""

    def __init__(self, config: AVSConfig) -> None:
        super().__init__()
        self.config = config
        self.pyramid = pyramid(config.backbone)
        self.narrow = nn.ModuleList(DilatedSum(channels, config.channels) for channels in self.pyramid.channels)
        self.sound: TowerSound | VGGish | None = None
        self.fusions = nn.ModuleList()
        if config.fusion == "tpavi":
            self.sound = TowerSound(config.towers) if config.audio == "tower" else VGGish()
            sizes = (config.channels, config.inter_channels, self.sound.dim)
            self.fusions.extend(TPAVI(*sizes) for _ in STRIDES)
        self.decoder = MaskDecoder(config.channels)

    def forward(self, frames: Tensor, waveform: Tensor) -> AVSOutput:
        """Logits of masks of frames [B, K, 3, H, W], RGB in [0, 1], with waveform [B, S], the clip's sound; any K."""
        clips, images = frames.shape[:2], frames.flatten(0, 1)
        size = (self.config.frame_size,) * 2
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        maps = [narrow(level) for narrow, level in zip(self.narrow, self.pyramid(images), strict=True)]
        sounds, unfused = [], []
        if self.sound is not None:
            heard = self.sound(waveform, frames.shape[1])
            if self.config.exchange == "frame":
                heard = heard.flatten(0, 1).unsqueeze(1)  # each frame a clip of its own
            unfused = [level.unflatten(0, clips) for level in maps]
            for level, fusion in enumerate(self.fusions):
                mixed, sound = fusion(maps[level].unflatten(0, heard.shape[:2]), heard)
                maps[level] = mixed.flatten(0, 1)
                sounds.append(sound.view(*clips, -1))
        logits = self.decoder(maps)
        if logits.shape[-2:] != frames.shape[-2:]:
            logits = F.interpolate(logits.unsqueeze(1), frames.shape[-2:], mode="bilinear").squeeze(1)
        fused = [level.unflatten(0, clips) for level in maps] if sounds else []
        return AVSOutput(logits.unflatten(0, clips), fused, sounds, unfused)
