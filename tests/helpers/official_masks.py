"""AVSBench's figures of a batch of masks, one frame and one threshold at a time: written from their description."""

import torch
from torch import Tensor


def official_iou(logits: Tensor, truth: Tensor) -> float:
    """Of a batch of frames [N, H, W]: sum over frames of intersection / (union + 1e-7), over N."""
    predicted = (torch.sigmoid(logits) > 0.5).float()
    total = 0.0
    for mask, true in zip(predicted, truth.float(), strict=True):
        if true.sum() == 0:
            intersection, union = (1 - mask).sum(), torch.tensor(float(mask.numel()))
        else:
            intersection, union = (mask * true).sum(), torch.maximum(mask, true).sum()
        total += float(intersection / (union + 1e-7))
    return total / len(truth)


def official_f(logits: Tensor, truth: Tensor) -> float:
    """Of a batch: the F curves of frames in which something sounds, averaged, and their largest value; else 0."""
    thresholds, curve, count = torch.linspace(0, 1 - 1e-10, 255), torch.zeros(255), 0
    for score, true in zip(torch.sigmoid(logits), truth.float(), strict=True):
        if true.mean() == 0:
            continue
        precision, recall = torch.zeros(255), torch.zeros(255)
        for number, threshold in enumerate(thresholds):
            mask = (score >= threshold).float()
            hits = (mask * true).sum()
            precision[number] = hits / (mask.sum() + 1e-20)
            recall[number] = hits / (true.sum() + 1e-20)
        f = 1.3 * precision * recall / (0.3 * precision + recall)
        f[torch.isnan(f)] = 0
        curve, count = curve + f, count + 1
    return float((curve / max(count, 1)).max())
