"""Multi-scale temporal convolutions: a sequence of embeddings in, one of wider context out, and its mean over time.

After Martinez et al. 2020 (arXiv:2001.08702): each layer has three branches of kernel 3, 5 and 7 side by side, and the
dilation doubles from layer to layer. Ours: one convolution for each branch and layer, where theirs has two.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNELS = (3, 5, 7)
DILATIONS = (1, 2, 4, 8)


class MultiScaleTCN(nn.Module):
    """[B, T, D] -> [B, T, E]: T steps of a modality's embeddings, each of which comes to know those around it."""

    def __init__(self, *, in_dim: int, branch_dim: int, out_dim: int, dropout: float) -> None:
        """`branch_dim` channels in each of the three branches of a layer; `dropout`: share of them set to zero."""
        super().__init__()
        width = len(KERNELS) * branch_dim
        self.entry = nn.Conv1d(in_dim, width, 1)
        self.layers = nn.ModuleList(_Layer(width, branch_dim, dilation, dropout) for dilation in DILATIONS)
        self.dense = nn.Linear(width, out_dim)

    def forward(self, steps: Tensor) -> Tensor:
        """[B, T, E] for steps [B, T, D], any T; beyond the ends there are zeros."""
        hidden = self.entry(steps.transpose(1, 2))
        for layer in self.layers:
            hidden = layer(hidden)
        return self.dense(hidden.transpose(1, 2))


class _Layer(nn.Module):
    """x + dropout(relu(batch norm(the branches side by side)))."""

    def __init__(self, width: int, branch_dim: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv1d(width, branch_dim, kernel, padding=kernel // 2 * dilation, dilation=dilation, bias=False)
            for kernel in KERNELS
        )
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        branches = torch.cat([branch(hidden) for branch in self.branches], dim=1)
        return hidden + self.dropout(F.relu(self.norm(branches)))
