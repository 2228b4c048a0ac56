"""Which separated sources belong to what is on screen (Tzinis et al. 2021, arXiv:2011.01143, eq. (1) to (5)).

Each source is judged by itself, so the answer follows the sources when they are reordered. A silent source has the
log-mel of silence, ln(0.001) everywhere: its logit depends on the video alone and says nothing; the estimate, which
multiplies by the source, does not care.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.models.attention import AttentionPooling
from pipeline.models.towers import (
    MAX_LOGIT_SCALE,
    AudioTower,
    CoincidenceConfig,
    CoincidenceModel,
    TowerOutput,
    VisualTower,
    shared_embedding,
)

MIN_POWER = 1e-8
UNCALIBRATED = (1.0, 0.0, 0.0)  # scale, shift, relative


class OnScreenOutput(NamedTuple):
    """Verdicts on S sources."""

    logits: Tensor
    """[B, S] log odds that the source is on screen."""
    attention: Tensor
    """[B, S, N] where each source looked: weights over K x cells in order k, row, column, sum 1."""


class Heard(NamedTuple):
    """S sources as the audio tower hears them; they can be judged against any number of videos."""

    rows: Tensor
    """[B, S, K, D] one embedding per step of sound."""
    share: Tensor
    """[B, S] of the mixture's power, sum 1."""

    @property
    def shared(self) -> Tensor:
        """[B, S, D] of length 1 in the space that the towers share."""
        return shared_embedding(self.rows)


class OnScreenClassifier(nn.Module):
    """logit_m = dense([V_g, Z_m, R_m]): the video, the source, and the places in the video that it attends to.

    `cosine_feature` adds the coincidence model's match logit, a cos(video, source) + b (ours). After training the
    logits z_m are fitted to held-out videos (`calibrate`): scale (z_m + relative (z_m - mean of z)) + shift, where the
    mean is over the clip's sources, weighted by power. A published classifier sees one source at a time; ours then also
    knows which of them fits best.
    """

    def __init__(self, towers: CoincidenceConfig, *, tanh: bool, cosine_feature: bool) -> None:
        super().__init__()
        self.frozen = False
        self.visual_tower = VisualTower(towers)
        self.audio_tower = AudioTower(towers)
        dim, local_dim = towers.embedding_dim, self.visual_tower.local_dim
        self.pool_video = AttentionPooling(query_dim=dim, key_dim=dim, value_dim=dim, out_dim=dim, tanh=tanh)
        self.pool_audio = AttentionPooling(query_dim=dim, key_dim=dim, value_dim=dim, out_dim=dim, tanh=tanh)
        self.look = AttentionPooling(query_dim=dim, key_dim=local_dim, value_dim=local_dim, out_dim=dim, tanh=tanh)
        self.cosine_feature = cosine_feature
        self.dense = nn.Linear(3 * dim + cosine_feature, 1)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(towers.temperature)))
        self.match_scale, self.match_bias = nn.Buffer(torch.tensor(10.0)), nn.Buffer(torch.tensor(-5.0))
        self.calibration = nn.Buffer(torch.tensor(UNCALIBRATED))

    def forward(self, sources: Tensor, video: TowerOutput) -> OnScreenOutput:
        """Judge sources [B, S, T], at the level the audio tower expects, against the visual tower's output."""
        return self.judge(self.hear(sources), video)

    def hear(self, sources: Tensor, share: Tensor | None = None) -> Heard:
        """Sources [B, S, T] through the audio tower; `share` [B, S] of power, by default their own."""
        if share is None:
            power = sources.detach().float().square().sum(dim=-1) + MIN_POWER
            share = power / power.sum(dim=-1, keepdim=True)
        return Heard(self.audio_tower(sources.flatten(0, 1)).embeddings.unflatten(0, sources.shape[:2]), share)

    def judge(self, heard: Heard, video: TowerOutput) -> OnScreenOutput:
        """Verdicts on sources against the visual tower's output for the same B clips; fp32, also under autocast."""
        num_sources = heard.rows.shape[1]
        video_embedding = _self_attend(self.pool_video, video.embeddings).unsqueeze(1).expand(-1, num_sources, -1)
        source_embedding = _self_attend(self.pool_audio, heard.rows.flatten(0, 1)).unflatten(0, heard.rows.shape[:2])
        place_embedding, attention = self.look(source_embedding, video.local, video.local)
        features = [video_embedding, source_embedding, place_embedding]
        if self.cosine_feature:
            cosine = (shared_embedding(video.embeddings).unsqueeze(1) * heard.shared).sum(dim=-1)
            features.append((self.match_scale * cosine + self.match_bias).unsqueeze(-1))
        with torch.autocast(heard.rows.device.type, enabled=False):
            logits = self.dense(torch.cat(features, dim=-1).float()).squeeze(-1)
            mean = (heard.share * logits).sum(dim=-1, keepdim=True)
            scale, shift, relative = self.calibration
            return OnScreenOutput(scale * (logits + relative * (logits - mean)) + shift, attention)

    @property
    def contrast_scale(self) -> Tensor:
        """Inverse temperature of the cosine between sources and frames in the contrastive loss, at most 100.

        In training this also brings a temperature that left its range back to the bound, as `CoincidenceModel` does.
        """
        if self.training:
            with torch.no_grad():
                self.log_scale.clamp_(0.0, math.log(MAX_LOGIT_SCALE))
        return self.log_scale.clamp(0.0, math.log(MAX_LOGIT_SCALE)).exp()

    def calibrate(self, scale: float, shift: float, relative: float) -> None:
        """Set how the trained logits become verdicts; UNCALIBRATED leaves them as they are."""
        self.calibration.copy_(torch.tensor([scale, shift, relative]))

    def freeze_towers(self) -> None:
        """Exclude the towers from training: their weights and their batch norm's statistics stay what they are."""
        self.frozen = True
        for tower in (self.visual_tower, self.audio_tower):
            tower.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "OnScreenClassifier":
        """Set training mode; frozen towers stay in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.visual_tower.eval()
            self.audio_tower.eval()
        return self

    def load_towers(self, model: CoincidenceModel) -> None:
        """Start from a trained coincidence model; with cosine_feature, the first verdicts are its match logits."""
        self.visual_tower.load_state_dict(model.visual_tower.state_dict())
        self.audio_tower.load_state_dict(model.audio_tower.state_dict())
        self.log_scale.data.copy_(model.log_scale)
        self.match_scale.copy_(model.match_scale)
        self.match_bias.copy_(model.match_bias)
        if self.cosine_feature:
            with torch.no_grad():
                self.dense.weight.zero_()
                self.dense.weight[0, -1] = 1.0
                self.dense.bias.zero_()


def _self_attend(pool: AttentionPooling, rows: Tensor) -> Tensor:
    """[B, D] rows [B, N, D] pooled by their own mean as the query: eq. (1) and (2)."""
    pooled, _ = pool(rows.mean(dim=1, keepdim=True), rows, rows)
    return pooled.squeeze(1)
