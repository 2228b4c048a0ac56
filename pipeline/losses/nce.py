"""Noise-contrastive estimation against a memory of every clip: thousands of negatives, whatever the batch holds.

In: queries, which are embeddings such that `query . key` is the logit s = log c(v, a); the bank of all clips' keys; and
the numbers of the noise clips. Out: a loss in nats per row. With h = s - log mean(exp s_noise) - log m, the loss is
softplus(-h_positive) + sum over the m negatives of softplus(h): the textbook's -log P(D=1) and -log(1 - P(D=1)) with
Z = N mean(exp s_noise) and p_n = 1 / N, whose N cancels (Gutmann & Hyvarinen 2010; Tian et al. 2020, CMC,
arXiv:1906.05849, eq. 11 and 12; Morgado et al. 2021, AVID, arXiv:2004.12943). Nothing is exponentiated but what
logsumexp and softplus keep in range.

The decision to question is the noise: clips of the positive's own video, the positive included, and clips that no batch
has held yet are no negatives. The published codes start from a random memory, which towers learn to tell from pictures.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_NORM = 1e-6
WHOLE_BANK_RATIO = 50
"""Bank rows per negative below which one product with the whole bank beats gathering rows of each example's own: on 2
cores, 64 examples and D = 512 took 0.22 s with 100 000 rows, and 0.46 s for 4 096 gathered rows each (2026-11)."""


class MemoryBank(nn.Module):
    """The last embeddings of N clips in both views, unit rows, and the running mean of exp(noise logit).

    Buffers only: its state_dict belongs into the checkpoint, because a resumed run must compare with the same memory.
    """

    visual: Tensor
    audio: Tensor
    filled: Tensor
    log_mean_noise: Tensor
    video_ids: Tensor

    def __init__(self, video_ids: Tensor, dim: int, *, momentum: float = 0.5, z_momentum: float = 0.99) -> None:
        """An empty memory.

        Args:
            video_ids: [N] the video of each clip; clips of one video are never each other's negatives.
            dim: D of the embeddings.
            momentum: share of the old row kept when a clip is seen again, 0 to less than 1; CMC and AVID take 0.5.
            z_momentum: share of the old mean of exp(noise logit) kept at each step. A constant from the first batch, as
                in CMC, is wrong as soon as the towers have moved.
        """
        super().__init__()
        if video_ids.ndim != 1 or not len(video_ids):
            raise ValueError(f"video_ids {list(video_ids.shape)}: expected [N], one video for each clip.")
        if not 0 <= momentum < 1 or not 0 < z_momentum < 1:
            raise ValueError(f"momentum = {momentum}, z_momentum = {z_momentum}: expected 0 to less than 1, above 0.")
        self.momentum, self.z_momentum = momentum, z_momentum
        self.register_buffer("visual", torch.zeros(len(video_ids), dim))
        self.register_buffer("audio", torch.zeros(len(video_ids), dim))
        self.register_buffer("filled", torch.zeros(len(video_ids), dtype=torch.bool))
        self.register_buffer("log_mean_noise", torch.full((2,), -math.inf))  # of audio noise, of visual noise
        self.register_buffer("video_ids", video_ids.clone(), persistent=False)

    def excluded(self, clips: Tensor, negatives: Tensor) -> Tensor:
        """[B, K] True where a noise clip, of negatives [K] or [B, K], is no negative for the clip in clips [B]."""
        same_video = self.video_ids[negatives] == self.video_ids[clips].unsqueeze(1)
        return same_video | ~self.filled[negatives]

    @torch.no_grad()
    def observe(self, view: int, log_sum: Tensor, log_count: Tensor) -> Tensor:
        """Take a step's noise into the running mean; return its logarithm [], which is -inf while there was no noise.

        Args:
            view: 0 for noise out of `audio`, 1 for noise out of `visual`.
            log_sum: [] log of the sum of exp(noise logit), as `log_sum_noise` gives it; -inf without noise.
            log_count: [] log of how many they were.
        """
        old, new = self.log_mean_noise[view].clone(), (log_sum - log_count).to(self.log_mean_noise)
        moved = torch.logaddexp(old + math.log(self.z_momentum), new + math.log1p(-self.z_momentum))
        moved = torch.where(torch.isinf(old), new, moved)
        self.log_mean_noise[view] = torch.where(torch.isinf(log_count), old, moved)
        return self.log_mean_noise[view].clone()

    @torch.no_grad()
    def update(self, clips: Tensor, visual: Tensor, audio: Tensor) -> None:
        """Move the rows of clips [B], each there once, towards their embeddings [B, D]; a first one is taken as is."""
        keep = torch.where(self.filled[clips], self.momentum, 0.0).unsqueeze(1)
        for rows, embeddings in ((self.visual, visual), (self.audio, audio)):
            unit = F.normalize(embeddings.to(rows), dim=-1, eps=MIN_NORM)
            rows[clips] = F.normalize(keep * rows[clips] + (1 - keep) * unit, dim=-1, eps=MIN_NORM)
        self.filled[clips] = True


def noise_logits(queries: Tensor, bank: Tensor, negatives: Tensor, whole_bank: bool | None = None) -> Tensor:
    """[B, K] logits of queries [B, D] with rows of bank [N, D]: the same K rows for all, or K for each.

    Args:
        queries: [B, D] such that the product with a unit row is a logit.
        bank: [N, D] unit rows, without gradient.
        negatives: [K] row numbers shared by the batch, which costs one small product; or [B, K] each example's own.
        whole_bank: for [B, K]: multiply with all N rows and pick, or gather B x K rows. Equal values; None takes the
            faster, by WHOLE_BANK_RATIO.
    Returns:
        fp32 (float64 for float64 queries), also under autocast.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries = queries.to(torch.promote_types(queries.dtype, torch.float32))
        bank = bank.to(queries)
        if negatives.ndim == 1:
            return queries @ bank[negatives].T
        if whole_bank if whole_bank is not None else len(bank) < WHOLE_BANK_RATIO * negatives.shape[1]:
            return (queries @ bank.T).gather(1, negatives)
        return (bank[negatives] @ queries.unsqueeze(2)).squeeze(2)


def log_sum_noise(noise: Tensor, excluded: Tensor) -> tuple[Tensor, Tensor]:
    """Logs of the sum of exp(noise logit) [] and of the number [] of the negatives that are not excluded."""
    total = noise.detach().masked_fill(excluded, -math.inf).flatten().logsumexp(dim=0)
    return total, (~excluded).sum().to(total).log()


def nce_loss(positive: Tensor, noise: Tensor, excluded: Tensor, log_mean_noise: Tensor) -> Tensor:
    """Cost [B] in nats of telling each positive from its m noise samples, softplus(-h_positive) + sum softplus(h).

    Args:
        positive: [B] logits of the clips that belong together.
        noise: [B, K] logits of noise.
        excluded: [B, K] True for noise that does not count; m is what remains, per row.
        log_mean_noise: [] log of the mean of exp(noise logit), a constant: log Z - log N.
    Returns:
        [B], at least 0, fp32 (float64 for float64 logits); 0 for a row without any negative.
    """
    precision = torch.promote_types(positive.dtype, torch.float32)
    positive, noise = positive.to(precision), noise.to(precision)
    num_negatives = (~excluded).sum(dim=1)
    offset = log_mean_noise.to(precision) + num_negatives.clamp_min(1).to(precision).log()
    against = F.softplus(noise - offset.unsqueeze(1)).masked_fill(excluded, 0.0).sum(dim=1)
    return torch.where(num_negatives > 0, F.softplus(offset - positive) + against, 0.0)
