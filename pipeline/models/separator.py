"""On-screen sound separation: a mixture and its frames in, sources and the odds that each is on screen out.

TDCN++ masks the mixture into S sources that add up to it exactly; a classifier judges each source against the frames
(AudioScope, Tzinis et al. 2021, arXiv:2011.01143). Inside, mixtures have an RMS of 1, and the sources go to the audio
tower at the level it was trained at; outside, sources have the level of the mixture. So scaling the input scales the
sources and leaves the verdicts alone.
"""

from dataclasses import field
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.audio import db_to_gain, level_gain, num_samples
from pipeline.config import Count, config_dataclass
from pipeline.models.bases import Consistency, LearnedBasis, StftBasis, mixture_consistency
from pipeline.models.onscreen_classifier import MIN_POWER, Heard, OnScreenClassifier
from pipeline.models.tdcn import TDCN, TDCNConfig, glorot_
from pipeline.models.towers import INPUT_DB, CoincidenceConfig, CoincidenceModel

FRAME_MS = {"learned": (2.5, 1.25), "stft": (32.0, 8.0)}  # published window and hop of each basis


@config_dataclass
class SeparationConfig:
    """What the separation model is made of; the defaults are the published sizes."""

    num_sources: Annotated[int, Field(ge=2)] = 4
    """Sources to separate into; more allow busier scenes and split single sounds more often."""
    basis: Literal["learned", "stft"] = "learned"
    """Where masks are applied: coefficients of learned filters, or an STFT with far fewer, longer frames."""
    num_basis: Count = 256
    """Learned filters; not used by the STFT."""
    window_ms: float | None = None
    """Length of a frame; None is 2.5 for the learned basis and 32 for the STFT."""
    hop_ms: float | None = None
    """Time between frames, at most half a window; None is 1.25 or 8. Twice the hop is half the arithmetic."""
    tdcn: TDCNConfig = field(default_factory=TDCNConfig)
    """The network that computes the masks."""
    consistency: Consistency = "uniform"
    """Who receives what the sources lack of the mixture: all alike, in proportion to power, or as the network says."""
    condition_on_video: bool = False
    """Let the separator see the frames' embeddings, and not only the classifier."""
    towers: CoincidenceConfig = field(default_factory=CoincidenceConfig)
    """Eyes and ears of the classifier: those of the coincidence model to start from."""
    tanh: bool = False
    """Bound keys and queries of attention by tanh."""
    cosine_feature: bool = False
    """Show the classifier the coincidence of source and frames too (ours): it is useful from the first step."""
    max_boost_db: float = 0.0
    """Raise quiet sources by at most this before they are judged (ours): the audio tower learnt from one level."""
    freeze_towers: bool = False
    """Keep the towers as the coincidence model left them (ours): a few hundred videos would not improve them."""
    freeze_separator: bool = False
    """Keep the separator as phase audio left it (ours): phase joint then trains the verdicts alone, twice as fast."""
    detach_sources_for_classifier: bool = False
    """Train the separator by its separation loss only."""

    def __post_init__(self) -> None:
        window, hop = self.frame_samples
        if not 1 <= hop <= window // 2:
            raise ValueError(
                f"hop_ms is {hop} samples, window_ms {window}: expected a hop of 1 sample to half a window."
            )

    @property
    def separator(self) -> dict[str, Any]:
        """The fields that two models must share for the separator of one to start from the other's."""
        names = ("num_sources", "basis", "num_basis", "frame_samples", "tdcn", "consistency", "condition_on_video")
        return {name: getattr(self, name) for name in names}

    @property
    def frame_samples(self) -> tuple[int, int]:
        """Window and hop in samples."""
        window_ms, hop_ms = FRAME_MS[self.basis]
        window_ms = window_ms if self.window_ms is None else self.window_ms
        hop_ms = hop_ms if self.hop_ms is None else self.hop_ms
        return num_samples(window_ms / 1000, self.towers.rate_hz), num_samples(hop_ms / 1000, self.towers.rate_hz)


class SeparationOutput(NamedTuple):
    """What the model makes of a clip."""

    sources: Tensor
    """[B, S, T] on the mixture's scale; their sum is the mixture."""
    logits: Tensor
    """[B, S] log odds that the source is on screen."""
    attention: Tensor
    """[B, S, K, rows, columns] where in the frames each source was looked for: weights of sum 1 per source."""


class SeparationModel(nn.Module):
    """Separator and on-screen classifier."""

    def __init__(self, config: SeparationConfig) -> None:
        super().__init__()
        self.config = config
        window, hop = config.frame_samples
        self.basis = (
            LearnedBasis(config.num_basis, window, hop) if config.basis == "learned" else StftBasis(window, hop)
        )
        video_dim = config.towers.embedding_dim if config.condition_on_video else None
        self.tdcn = TDCN(config.tdcn, in_dim=self.basis.num_bins, video_dim=video_dim)
        self.mask = nn.Conv1d(config.tdcn.bottleneck, config.num_sources * self.basis.num_bins, 1)
        glorot_(self.mask)
        self.share = None
        if config.consistency == "predicted":
            self.share = nn.Linear(config.tdcn.bottleneck, config.num_sources, bias=False)
        self.classifier = OnScreenClassifier(config.towers, tanh=config.tanh, cosine_feature=config.cosine_feature)
        if config.freeze_towers:
            self.classifier.freeze_towers()

    def forward(self, mixture: Tensor, frames: Tensor) -> SeparationOutput:
        """Separate a clip and judge its sources.

        Args:
            mixture: [B, T] linear amplitude at any level, any T.
            frames: [B, K, 3, H, W] RGB in [0, 1], any K >= 1, spread evenly over the clip.
        Returns:
            sources, logits and attention: see SeparationOutput.
        """
        video = self.classifier.visual_tower(frames)
        sources = self.separate(mixture, video.embeddings)
        logits, attention = self.classifier.judge(self.hear(sources), video)
        cells = self.classifier.visual_tower.cells(*frames.shape[-2:])
        return SeparationOutput(sources, logits, attention.unflatten(-1, (frames.shape[1], *cells)))

    def separate(self, mixture: Tensor, video: Tensor | None = None) -> Tensor:
        """[B, S, T] sources that add up to the mixture [B, T]; `video` [B, K, D] is for condition_on_video."""
        gain = level_gain(mixture, 0.0)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.separator_is_frozen):
            return self._separate(mixture * gain, video) / gain.unsqueeze(1)

    def hear(self, sources: Tensor) -> Heard:
        """Sources [B, S, T], that add up to the mixture, as the classifier hears them."""
        sources = sources.detach() if self.config.detach_sources_for_classifier else sources
        sources = sources * level_gain(sources.sum(dim=1), 0.0).unsqueeze(1)
        power = sources.detach().square().sum(dim=-1) + MIN_POWER
        level = db_to_gain(INPUT_DB) * self._boost(sources)
        return self.classifier.hear(sources * level, power / power.sum(dim=-1, keepdim=True))

    def _boost(self, sources: Tensor) -> Tensor:
        """[B, S, 1] gain that brings quiet sources to the level of the mixture, at most `max_boost_db`; no gradient."""
        gain = level_gain(sources.detach(), 0.0)
        return gain.clamp(min=1.0, max=max(1.0, db_to_gain(self.config.max_boost_db)))

    def load_towers(self, model: CoincidenceModel) -> None:
        """Start the classifier's towers from a trained coincidence model of the same shape.

        Raises:
            ValueError: the model's towers are of another shape.
        """
        ours, theirs = self.config.towers.towers, model.config.towers
        if ours != theirs:
            raise ValueError(f"towers = {ours}: the coincidence model has {theirs}. Make them equal.")
        self.classifier.load_towers(model)

    @property
    def separator_is_frozen(self) -> bool:
        """Whether none of the separator's weights asks for a gradient."""
        return not self.mask.weight.requires_grad

    def freeze_separator(self) -> None:
        """Exclude all but the classifier from training."""
        for name, parameter in self.named_parameters():
            if not name.startswith("classifier."):
                parameter.requires_grad_(False)

    def load_separator(self, model: "SeparationModel") -> None:
        """Start the separator from that of another model with an equal `config.separator`."""
        own = {name: value for name, value in model.state_dict().items() if not name.startswith("classifier.")}
        self.load_state_dict(own, strict=False)

    def _separate(self, mixture: Tensor, video: Tensor | None) -> Tensor:
        """[B, S, T] sources of a mixture [B, T] of RMS 1, given the embeddings [B, K, D] of its frames."""
        # bf16's 8 bits would be heard in what the masks multiply. On a GPU, torch's default lets cuDNN round factors of
        # the learned filters' products to TF32's 11 bits, 66 dB below the sound; matrix products stay fp32.
        with torch.autocast(mixture.device.type, enabled=False):
            coefficients, features = self.basis.encode(mixture)
        core = self.tdcn(features, video)
        masks = torch.sigmoid(self.mask(core)).unflatten(1, (self.config.num_sources, -1))
        with torch.autocast(mixture.device.type, enabled=False):
            sources = self.basis.decode(masks.float() * coefficients.unsqueeze(1), mixture.shape[-1])
            share = None if self.share is None else torch.softmax(self.share(core.float().mean(dim=-1)), dim=-1)
            return mixture_consistency(mixture, sources, self.config.consistency, share)


def on_screen_estimate(output: SeparationOutput) -> Tensor:
    """[B, T] what is heard of the things on screen: sum_m sigmoid(logit_m) s_m, arXiv:2011.01143, eq. (11)."""
    return (torch.sigmoid(output.logits).unsqueeze(-1) * output.sources).sum(dim=1)
