"""A window of mouths -> which word is said: the lip encoder of a lip-reading model, and multi-scale convolutions on it.

After Martinez et al. 2020 (arXiv:2001.08702), whose temporal network reads isolated words: the encoder's embedding of
each frame, `MultiScaleTCN`, the mean over time, a dense layer.
"""

import torch
from torch import Tensor, nn

from pipeline.models.lips import LipEncoder, LipReadingConfig
from pipeline.models.multi_scale_tcn import MultiScaleTCN


class WordReader(nn.Module):
    """frames [B, T, 3, S, S] in [0, 1] -> logits [B, K] of K words."""

    def __init__(self, config: LipReadingConfig, *, num_words: int, is_frozen: bool) -> None:
        """`is_frozen`: the encoder stays as it is, its batch norms too; only what comes after it learns."""
        super().__init__()
        self.is_frozen = is_frozen
        self.lip_encoder = LipEncoder(config).requires_grad_(not is_frozen)
        self.tcn = MultiScaleTCN(
            in_dim=config.step_dim, branch_dim=config.branch_dim, out_dim=config.clip_dim, dropout=config.dropout
        )
        self.dropout = nn.Dropout(config.dropout)
        self.dense = nn.Linear(config.clip_dim, num_words)

    def train(self, mode: bool = True) -> "WordReader":
        """As of any module; a frozen encoder never trains."""
        super().train(mode)
        if self.is_frozen:
            self.lip_encoder.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """Logits [B, K]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            steps = self.lip_encoder(frames)
        return self.dense(self.dropout(self.tcn(steps).mean(dim=1)))
