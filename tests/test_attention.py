"""Attention pooling against the formula in numpy."""

import numpy as np
import pytest
import torch

from pipeline.models.attention import AdditiveAttention, AttentionPooling


def pooling(tanh: bool) -> AttentionPooling:
    torch.manual_seed(0)
    return AttentionPooling(query_dim=5, key_dim=7, value_dim=3, out_dim=4, tanh=tanh)


@pytest.mark.parametrize("tanh", [False, True])
def test_attention_is_the_published_formula(tanh):
    attend = pooling(tanh)
    query, keys, values = torch.randn(2, 6, 5), torch.randn(2, 9, 7), torch.randn(2, 9, 3)
    pooled, weights = attend(query, keys, values)

    def dense(layer, x):
        return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()

    squash = np.tanh if tanh else np.asarray
    for b in range(2):
        k = squash(dense(attend.key, keys[b].numpy()))
        for q in range(6):
            scores = k @ squash(dense(attend.query, query[b, q].numpy()))
            alpha = np.exp(scores) / np.exp(scores).sum()
            np.testing.assert_allclose(weights[b, q].detach(), alpha, atol=1e-5)
            np.testing.assert_allclose(pooled[b, q].detach(), alpha @ dense(attend.value, values[b].numpy()), atol=1e-5)


def test_order_of_rows_does_not_matter():
    attend, order = pooling(False), torch.tensor([3, 1, 0, 2])
    query, keys, values = torch.randn(1, 1, 5), torch.randn(1, 4, 7), torch.randn(1, 4, 3)
    torch.testing.assert_close(attend(query, keys[:, order], values[:, order])[0], attend(query, keys, values)[0])


def test_one_row_is_returned_as_its_value():
    attend = pooling(True)
    values = torch.randn(2, 1, 3)
    pooled, weights = attend(torch.randn(2, 2, 5), torch.randn(2, 1, 7), values)
    torch.testing.assert_close(pooled, attend.value(values).expand(2, 2, 4))
    assert torch.equal(weights, torch.ones(2, 2, 1))


def test_attention_stays_in_single_precision_under_autocast():
    attend = pooling(False)
    query, rows, values = torch.randn(1, 1, 5), torch.randn(1, 4, 7), torch.randn(1, 4, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled, weights = attend(query.bfloat16(), rows, values)
    assert pooled.dtype == weights.dtype == torch.float32
    torch.testing.assert_close(pooled, attend(query.bfloat16().float(), rows, values)[0])


# --- additive ---


def additive() -> AdditiveAttention:
    torch.manual_seed(0)
    return AdditiveAttention(query_dim=5, row_dim=7, hidden_dim=6, map_dim=4)


def test_additive_attention_is_the_published_formula():
    attend = additive()
    query, rows = torch.randn(2, 3, 5), torch.randn(2, 3, 9, 7)
    pooled, weights = attend(query, rows)
    w = {name: value.detach().numpy() for name, value in attend.named_parameters()}
    for b in range(2):
        for q in range(3):
            scores = []
            for row in rows[b, q].numpy():
                seen = np.maximum(w["embed_row.weight"] @ row + w["embed_row.bias"], 0)
                heard = np.maximum(w["embed_query.weight"] @ query[b, q].numpy() + w["embed_query.bias"], 0)
                units = np.tanh(w["map_row.weight"] @ seen + w["map_query.weight"] @ heard)
                scores.append(float((w["score.weight"] @ units)[0]))
            alpha = np.exp(scores) / np.exp(scores).sum()
            np.testing.assert_allclose(weights[b, q].detach(), alpha, atol=1e-6)
            np.testing.assert_allclose(pooled[b, q].detach(), alpha @ rows[b, q].numpy(), atol=1e-5)


def test_additive_attention_takes_any_number_of_rows_in_any_order():
    attend, order = additive(), torch.tensor([3, 1, 0, 2])
    query, rows = torch.randn(1, 2, 5), torch.randn(1, 2, 4, 7)
    torch.testing.assert_close(attend(query, rows[:, :, order])[0], attend(query, rows)[0])
    pooled, weights = attend(query, rows[:, :, :1])
    torch.testing.assert_close(pooled, rows[:, :, 0])
    assert torch.equal(weights, torch.ones(1, 2, 1))


def test_additive_attention_averages_in_single_precision_under_autocast():
    attend = additive()
    query, rows = torch.randn(1, 2, 5), torch.randn(1, 2, 4, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled, weights = attend(query, rows)
    assert pooled.dtype == weights.dtype == torch.float32
    torch.testing.assert_close(pooled, (weights.unsqueeze(2) @ rows).squeeze(2))
    torch.testing.assert_close(weights, attend(query, rows)[1], atol=0.02, rtol=0)
    assert attend.double()(query.double(), rows.double())[0].dtype == torch.float64
