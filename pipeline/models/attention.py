"""Attention pooling: the rows that answer a query, averaged, by a product or by a sum of query and row.

The product is that of Tzinis et al. 2021 (arXiv:2011.01143), eq. (3) and (4); the sum is the audio-guided attention of
Tian et al. 2018 (AVE, arXiv:1803.08842), section 4.2.
"""

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


class AdditiveAttention(nn.Module):
    """attend(q, V) = sum_r a_r V_r with a = softmax_r w^T tanh(W_v relu(U_v V_r) + W_q relu(U_q q)); one head.

    Design note: the released code of AVE, PSP and CPSP adds W_q relu(U_q q) along the rows, a number for each place in
    the picture, which needs as many of them as w has (49). Here it is added along the units of w, as the equation has
    it: any number of rows, in any order.
    """

    def __init__(self, *, query_dim: int, row_dim: int, hidden_dim: int, map_dim: int) -> None:
        """Dense layers U to hidden_dim with a bias, W to map_dim and w to 1 without; Xavier's uniform weights."""
        super().__init__()
        self.embed_query = nn.Linear(query_dim, hidden_dim)
        self.embed_row = nn.Linear(row_dim, hidden_dim)
        self.map_query = nn.Linear(hidden_dim, map_dim, bias=False)
        self.map_row = nn.Linear(hidden_dim, map_dim, bias=False)
        self.score = nn.Linear(map_dim, 1, bias=False)
        for layer in (self.embed_query, self.embed_row, self.map_query, self.map_row, self.score):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, query: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """One pooled row per query, and where it came from.

        Args:
            query: [B, Q, query_dim].
            rows: [B, Q, R, row_dim] the rows of each query.
        Returns:
            [B, Q, row_dim] pooled rows and [B, Q, R] weights, >= 0, sum 1 over R; both fp32 (float64 for float64 rows),
            also under autocast.
        """
        guide = self.map_query(torch.relu(self.embed_query(query)))
        # the largest tensor is changed in place, but not as a view, whose gradient would be copied three times
        hidden = self.embed_row(rows.flatten(0, 2)).relu_()
        units = self.map_row(hidden).unflatten(0, rows.shape[:3]) + guide.unsqueeze(2)
        scores = self.score(units.tanh_()).squeeze(3)
        with torch.autocast(rows.device.type, enabled=False):
            exact = torch.promote_types(rows.dtype, torch.float32)
            weights = torch.softmax(scores.to(exact), dim=2)
            return (weights.unsqueeze(2) @ rows.to(exact)).squeeze(2), weights
