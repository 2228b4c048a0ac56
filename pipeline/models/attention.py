"""Attention pooling: the rows that answer a query, averaged (Tzinis et al. 2021, arXiv:2011.01143, eq. (3) and (4))."""

import torch
from torch import Tensor, nn


class AttentionPooling(nn.Module):
    """attend(q, K, V) = a^T f_V(V) with a = softmax(f_K(K) f_q(q)^T) over rows; one head and unscaled, as published."""

    def __init__(self, *, query_dim: int, key_dim: int, value_dim: int, out_dim: int, tanh: bool) -> None:
        """Dense layers f_q, f_K, f_V to out_dim; `tanh` bounds keys and queries."""
        super().__init__()
        self.query = nn.Linear(query_dim, out_dim)
        self.key = nn.Linear(key_dim, out_dim)
        self.value = nn.Linear(value_dim, out_dim)
        self.tanh = tanh

    def forward(self, query: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """One pooled row per query, and where it came from.

        Args:
            query: [B, Q, query_dim] queries, answered independently of each other.
            keys: [B, N, key_dim] rows to compare with.
            values: [B, N, value_dim] rows to average.
        Returns:
            [B, Q, out_dim] pooled rows and [B, Q, N] weights, >= 0, sum 1 over N; both fp32, also under autocast.
        """
        with torch.autocast(query.device.type, enabled=False):
            query, keys = self.query(query.float()), self.key(keys.float())
            if self.tanh:
                query, keys = query.tanh(), keys.tanh()
            weights = torch.softmax(query @ keys.transpose(1, 2), dim=-1)
            return weights @ self.value(values.float()), weights
