"""Do this sound and these frames belong together? Two towers into one embedding space, and a calibrated match score.

The on-screen classifier (`onscreen_classifier.py`) starts from these towers. Clips are brought to one level first
(INPUT_DB): a match does not depend on how loud the uploader was.

Two scores, and why: the contrastive one orders pairs (c in US11335096B2: exp of a bilinear form; or of a cosine over a
temperature) and trains the towers; the matcher's probability, trained on frozen towers, is what users see.
"""

import functools
import math
from typing import Annotated, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pipeline.audio import HOP_S, MEL_MAX_HZ, MFCC_RATE_HZ, level_gain
from pipeline.config import Count, config_dataclass
from pipeline.models.audio_inputs import INPUT_KINDS, AudioInput
from pipeline.models.mobilenet import MAX_DEPTH, MIN_DEPTH, mobilenet
from pipeline.models.small_cnn import SMALL_CNN_LAYERS, Backbone, small_cnn
from pipeline.models.stem3d import SPECTROGRAM_LAYERS, Stem3dNet

INPUT_DB = -20.0  # RMS that the audio tower expects, dBFS: the usual level of speech and music in video
MAX_LOGIT_SCALE = 100.0
MIN_NORM = 1e-6  # an embedding shorter than this is not stretched to length 1: bounds the gradient near 0
MATCHER_HIDDEN = 128


@config_dataclass
class CoincidenceConfig:
    """Shape of both towers and of the space they share."""

    rate_hz: Annotated[int, Field(ge=int(2 * MEL_MAX_HZ))] = 16_000
    """Sample rate of every waveform; the mel bands end at 7 500 Hz, so 15 000 or more."""
    backbone: Literal["mobilenet", "small_cnn", "stem3d"] = "mobilenet"
    """Network inside both towers: MobileNet v1; four plain convolutions, which learn from a few hundred videos; or the
    patent's, whose first layer sees three frames at once."""
    audio_input: AudioInput = "log_mel"
    """What the audio tower sees: log-mel, 64 bands as ears hear them; mel, the same without the logarithm; stft, the
    logarithm of all 257 bins, four times the work; or mfcc, 13 coefficients of a band's shape, at 16 kHz alone."""
    frame_size: Annotated[int, Field(ge=16)] = 128
    """Larger frames are averaged down to this many pixels per side: 64 is four times faster and has 4 x 4 cells."""
    width: Annotated[float, Field(gt=0, le=4)] = 1.0
    """Channel multiplier of both towers: 0.25 trains on a laptop."""
    frame_pooling: Annotated[float, Field(ge=1, le=4)] = 1.0
    """Power of the mean over a frame's cells that becomes its embedding: 1 is the plain mean; at 3 (GeM) cells where a
    feature is strong count more, so that a small thing in a busy frame is not lost."""
    depth: Annotated[int, Field(ge=MIN_DEPTH, le=MAX_DEPTH)] = MAX_DEPTH
    """Separable blocks of a MobileNet tower, 8 to 13; no other backbone has them."""
    embedding_dim: Count = 128
    """Size of the shared space."""
    temperature: Annotated[float, Field(ge=1 / MAX_LOGIT_SCALE, le=1)] = 0.07
    """Where the learned temperature of the contrastive loss starts; lower separates hard negatives sooner."""
    score: Literal["cosine", "bilinear"] = "cosine"
    """What the contrastive loss compares: cosine over the temperature, or z_v' W z_a, which starts as that."""
    matcher: Literal["concat", "product", "cosine"] = "concat"
    """What the match probability sees: the patent's [z_v; z_a]; those and their product; or the cosine alone, a
    logistic curve of two numbers. On 2 126 synthetic videos none was clearly better: AUC 0.94 to 0.95 held out."""

    def __post_init__(self) -> None:
        if self.audio_input == "mfcc" and self.rate_hz != MFCC_RATE_HZ:
            raise ValueError(f"rate_hz = {self.rate_hz}: expected {MFCC_RATE_HZ} where audio_input = mfcc.")

    @property
    def towers(self) -> dict[str, int | float | str]:
        """The fields that both models must share for one to start from the towers of the other."""
        names = ["rate_hz", "backbone", "frame_size", "width", "embedding_dim"]
        names += ["depth"] if self.backbone == "mobilenet" else []
        names += ["frame_pooling"] if self.frame_pooling != 1 else []
        names += ["audio_input"] if self.audio_input != "log_mel" else []
        return {name: getattr(self, name) for name in names}


class TowerOutput(NamedTuple):
    """What a tower says about a clip; K counts frames, or steps of sound: 0.32 s with mobilenet, else 0.16 s."""

    local: Tensor
    """[B, N, C] features of N places: K x cells of the frames in order k, row, column; or time x frequency of sound."""
    embeddings: Tensor
    """[B, K, D] one embedding per frame or step; their mean, normalised, lives in the shared space."""


class VisualTower(nn.Module):
    """The backbone on each frame; that of stem3d sees the frames before and after too."""

    def __init__(self, config: CoincidenceConfig) -> None:
        super().__init__()
        self.net = (
            Stem3dNet(width=config.width, embedding_dim=config.embedding_dim, pooling_power=config.frame_pooling)
            if config.backbone == "stem3d"
            else _backbone(config, in_channels=3, mean=0.5, std=0.25, pooling_power=config.frame_pooling)
        )
        self.frame_size = config.frame_size
        self.local_dim = self.net.local_dim

    def forward(self, frames: Tensor) -> TowerOutput:
        """Features of frames [B, K, 3, H, W], RGB in [0, 1], any K >= 1."""
        images = shrink(frames.flatten(0, 1), *self._pixels(*frames.shape[-2:]))
        if isinstance(self.net, Stem3dNet):
            local, embeddings = self.net(images.unflatten(0, frames.shape[:2]))
        else:
            local, embeddings = self.net(images)
        return TowerOutput(_rows(local, num_clips=len(frames)), embeddings.unflatten(0, frames.shape[:2]))

    def cells(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of local features in a frame of that size: one per 16 pixels, of which frame_size remain."""
        rows, columns = (math.ceil(pixels / 16) for pixels in self._pixels(height, width))
        return rows, columns

    def _pixels(self, height: int, width: int) -> tuple[int, int]:
        return min(height, self.frame_size), min(width, self.frame_size)


class AudioTower(nn.Module):
    """The backbone on the log-mel, or another `audio_input`, of a waveform, time as height."""

    def __init__(self, config: CoincidenceConfig) -> None:
        super().__init__()
        self.input = INPUT_KINDS[config.audio_input]
        self.net = _backbone(config, in_channels=1, mean=self.input.mean, std=self.input.std)
        self.step_s = (32 if config.backbone == "mobilenet" else 16) * HOP_S
        """Seconds of sound from one embedding to the next."""
        self.rate_hz = config.rate_hz
        self.local_dim = self.net.local_dim

    def forward(self, waveform: Tensor) -> TowerOutput:
        """Features of waveform [B, T] at a level near INPUT_DB, any T; gradients reach the waveform."""
        local, embeddings = self.net.features(self.input.compute(waveform, self.rate_hz).unsqueeze(1))
        return TowerOutput(_rows(local, num_clips=len(waveform)), embeddings)


class SharedSpace(nn.Module):
    """Unit embeddings of pictures and sounds in one space: their temperature, and the probability that they match.

    Args:
        config: the fields about the space, not those about towers.
        visual, audio: what embeds both, as `visual_tower` and `audio_tower`.
    """

    def __init__(self, config: CoincidenceConfig, visual: nn.Module, audio: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.visual_tower, self.audio_tower = visual, audio
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))
        self.bilinear = nn.Parameter(torch.eye(config.embedding_dim)) if config.score == "bilinear" else None
        # fitted to held-out videos after the towers, so they ask for no gradient
        self.match_scale = nn.Parameter(torch.tensor(10.0), requires_grad=False)
        self.match_bias = nn.Parameter(torch.tensor(-5.0), requires_grad=False)
        self.matcher = None if config.matcher == "cosine" else Matcher(config)

    def bound_temperature(self) -> None:
        """In training, bring a temperature that the last step took out of its range back to the bound.

        Clamping the value alone, where it is used, would end its gradient for good.
        """
        if self.training:
            with torch.no_grad():
                self.log_scale.clamp_(0.0, math.log(MAX_LOGIT_SCALE))

    @property
    def logit_scale(self) -> Tensor:
        """Inverse temperature, in [1, 100]: multiply cosines by it inside the contrastive loss."""
        return self.log_scale.clamp(0.0, math.log(MAX_LOGIT_SCALE)).exp()  # a gradient at the bound, none outside

    def audio_queries(self, visual: Tensor) -> Tensor:
        """[B, D] such that the product with an audio embedding is the contrastive logit, for visual [B, D]; fp32."""
        with torch.autocast(visual.device.type, enabled=False):
            scaled = self.logit_scale * visual.float()
            return scaled if self.bilinear is None else scaled @ self.bilinear

    def visual_queries(self, audio: Tensor) -> Tensor:
        """[B, D] such that the product with a visual embedding is the contrastive logit, for audio [B, D]; fp32."""
        with torch.autocast(audio.device.type, enabled=False):
            scaled = self.logit_scale * audio.float()
            return scaled if self.bilinear is None else scaled @ self.bilinear.T

    def logits(self, visual: Tensor, audio: Tensor) -> Tensor:
        """[B, B'] contrastive logits log c of every visual [B, D] with every audio [B', D] embedding; fp32."""
        queries = self.audio_queries(visual)
        with torch.autocast(visual.device.type, enabled=False):
            return queries @ audio.float().T

    def match_logit(self, visual: Tensor, audio: Tensor) -> Tensor:
        """[...] log odds by the cosine alone, a cos + b, that visual [..., D] and audio [..., D] belong together."""
        return self.match_scale * F.cosine_similarity(visual.float(), audio.float(), dim=-1) + self.match_bias

    def score_logit(self, visual: Tensor, audio: Tensor) -> Tensor:
        """[...] log odds by the matcher, or by `match_logit` where the config has none."""
        return self.match_logit(visual, audio) if self.matcher is None else self.matcher(visual, audio)

    def score(self, visual: Tensor, audio: Tensor) -> Tensor:
        """[...] probability that visual [..., D] and audio [..., D] belong together."""
        return torch.sigmoid(self.score_logit(visual, audio))


class CoincidenceModel(SharedSpace):
    """The space of frames and sound: two towers."""

    visual_tower: VisualTower
    audio_tower: AudioTower

    def __init__(self, config: CoincidenceConfig) -> None:
        super().__init__(config, VisualTower(config), AudioTower(config))

    def forward(self, frames: Tensor, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """[B, D] visual and [B, D] audio embeddings of clips, both of length 1; bounds the temperature in training."""
        self.bound_temperature()
        return self.embed_frames(frames), self.embed_waveform(waveform)

    @property
    def sees_frames_alone(self) -> bool:
        """Whether a frame's embedding depends on that frame only."""
        return self.config.backbone != "stem3d"

    def embed_frames(self, frames: Tensor) -> Tensor:
        """[B, D] of length 1: the mean over the frames [B, K, 3, H, W], RGB in [0, 1]."""
        return shared_embedding(self.visual_tower(frames).embeddings)

    def embed_waveform(self, waveform: Tensor) -> Tensor:
        """[B, D] of length 1, for waveform [B, T] at any level."""
        return shared_embedding(self.audio_tower(waveform * level_gain(waveform, INPUT_DB)).embeddings)


class Towers(Protocol):
    """What has a visual and an audio tower of one space: the coincidence model, and the classifier made from it."""

    visual_tower: VisualTower
    audio_tower: AudioTower


class Matcher(nn.Module):
    """[z_v; z_a] -> 128 -> 1 on frozen towers: the match classifier of US11335096B2, trained after them."""

    def __init__(self, config: CoincidenceConfig) -> None:
        super().__init__()
        self.has_product = config.matcher == "product"
        self.hidden = nn.Linear((2 + self.has_product) * config.embedding_dim, MATCHER_HIDDEN)
        self.dense = nn.Linear(MATCHER_HIDDEN, 1)
        self.requires_grad_(False)  # the loop that trains the towers leaves it alone

    def forward(self, visual: Tensor, audio: Tensor) -> Tensor:
        """[...] log odds for unit embeddings visual [..., D] and audio [..., D]; fp32."""
        with torch.autocast(visual.device.type, enabled=False):
            root = visual.shape[-1] ** 0.5  # entries of a unit vector are near 1 / root; the layer expects them near 1
            seen, heard = visual.float() * root, audio.float() * root
            rows = (seen, heard, seen * heard) if self.has_product else (seen, heard)
            return self.dense(F.relu(self.hidden(torch.cat(rows, dim=-1)))).squeeze(-1)


def shared_embedding(embeddings: Tensor) -> Tensor:
    """[..., D] of length 1 in the shared space, from a tower's embeddings [..., K, D]."""
    return F.normalize(embeddings.float().mean(dim=-2), dim=-1, eps=MIN_NORM)


def similarity(towers: Towers, frames: Tensor, waveforms: Tensor) -> Tensor:
    """[B, N] cosine of the frames [B, K, 3, H, W] of clips with N sounds each, [B, N, T] at any level."""
    seen = shared_embedding(towers.visual_tower(frames).embeddings).unsqueeze(1)
    heard = (waveforms * level_gain(waveforms, INPUT_DB)).flatten(0, 1)
    return (seen * shared_embedding(towers.audio_tower(heard).embeddings).unflatten(0, waveforms.shape[:2])).sum(dim=-1)


def shrink(images: Tensor, height: int, width: int) -> Tensor:
    """Images [N, C, H, W] averaged down to [N, C, height, width].

    Where a pixel is the mean of a whole number of rows and columns, these are added up: two fifths of the time of
    torch's pooling on a CPU.
    """
    down, across = images.shape[-2] // height, images.shape[-1] // width
    if images.shape[-2:] != (down * height, across * width):
        return F.adaptive_avg_pool2d(images, (height, width))
    if down == across == 1:
        return images
    rows = functools.reduce(torch.add, (images[..., row::down, :] for row in range(down)))
    return functools.reduce(torch.add, (rows[..., column::across] for column in range(across))) / (down * across)


def _rows(local: Tensor, num_clips: int) -> Tensor:
    """[B, N, C] rows of a grid [B * K, C, h, w]."""
    return local.flatten(2).transpose(1, 2).reshape(num_clips, -1, local.shape[1])


def _backbone(
    config: CoincidenceConfig, *, in_channels: int, mean: float, std: float, pooling_power: float = 1.0
) -> Backbone:
    """The network inside a tower, that of stem3d for sound only."""
    if config.backbone == "mobilenet":
        stacks = mobilenet(in_channels, config.width, config.depth)
    else:
        layers = SPECTROGRAM_LAYERS if config.backbone == "stem3d" else SMALL_CNN_LAYERS
        stacks = small_cnn(layers, in_channels, config.width)
    return Backbone(
        *stacks,
        embedding_dim=config.embedding_dim,
        input_mean=mean,
        input_std=std,
        pooling_power=pooling_power,
    )
