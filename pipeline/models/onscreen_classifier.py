"""Which separated sources belong to what is on screen (Tzinis et al. 2021, arXiv:2011.01143, eq. (1) to (5)).

Each source is judged by itself, so the answer follows the sources when they are reordered. A silent source has the
log-mel of silence, ln(0.001) everywhere: its logit depends on the video alone and says nothing; the estimate, which
multiplies by the source, does not care.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.models.attention import AttentionPooling
from pipeline.models.towers import (
    AudioTower,
    CoincidenceConfig,
    CoincidenceModel,
    TowerOutput,
    VisualTower,
    shared_embedding,
)


class OnScreenOutput(NamedTuple):
    """Verdicts on S sources."""

    logits: Tensor
    """[B, S] log odds that the source is on screen."""
    attention: Tensor
    """[B, S, N] where each source looked: weights over K x cells in order k, row, column, sum 1."""


class OnScreenClassifier(nn.Module):
    """logit_m = dense([V_g, Z_m, R_m]): the video, the source, and the places in the video that answer to it."""

    def __init__(self, towers: CoincidenceConfig, *, tanh: bool, cosine_feature: bool) -> None:
        """`cosine_feature` adds the cosine of source and video in the towers' shared space (ours, not published)."""
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

    def forward(self, sources: Tensor, video: TowerOutput) -> OnScreenOutput:
        """Judge sources [B, S, T], at the level the audio tower expects, against the visual tower's output."""
        batch, num_sources = sources.shape[:2]
        sound = self.audio_tower(sources.flatten(0, 1)).embeddings
        video_embedding = _self_attend(self.pool_video, video.embeddings).unsqueeze(1).expand(-1, num_sources, -1)
        source_embedding = _self_attend(self.pool_audio, sound).unflatten(0, (batch, num_sources))
        place_embedding, attention = self.look(source_embedding, video.local, video.local)
        features = [video_embedding, source_embedding, place_embedding]
        if self.cosine_feature:
            seen = shared_embedding(video.embeddings).unsqueeze(1)
            heard = shared_embedding(sound).unflatten(0, (batch, num_sources))
            features.append((seen * heard).sum(dim=-1, keepdim=True))
        return OnScreenOutput(self.dense(torch.cat(features, dim=-1)).squeeze(-1), attention)

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
        if self.cosine_feature:
            with torch.no_grad():
                self.dense.weight.zero_()
                self.dense.weight[0, -1] = model.match_scale
                self.dense.bias.copy_(model.match_bias)


def _self_attend(pool: AttentionPooling, rows: Tensor) -> Tensor:
    """[B, D] rows [B, N, D] pooled by their own mean as the query: eq. (1) and (2)."""
    pooled, _ = pool(rows.mean(dim=1, keepdim=True), rows, rows)
    return pooled.squeeze(1)
