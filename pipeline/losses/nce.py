"""Noise-contrastive estimation against a memory of recent clips: thousands of negatives, whatever the batch holds.

In: queries, which are embeddings such that `query . key` is the logit s = log c(v, a); the memory's keys; and the
numbers of the noise rows. Out: a loss in nats per row. With h = s - log mean(exp s_noise) - log m, the loss is
softplus(-h_positive) + sum over the m negatives of softplus(h): the textbook's -log P(D=1) and -log(1 - P(D=1)) with
Z = N mean(exp s_noise) and p_n = 1 / N, whose N cancels (Gutmann & Hyvarinen 2010; Tian et al. 2020, CMC,
arXiv:1906.05849, eq. 11 and 12; Morgado et al. 2021, AVID, arXiv:2004.12943). Nothing is exponentiated but what
logsumexp and softplus keep in range.

Design notes. The published codes keep a row for every clip. In a corpus of millions most of these rows were computed by
towers of long ago, and the memory takes 30 GB. This memory bank holds the last clips seen.

The mean of its batch is subtracted from each key (`centred`). Towers drift together while they learn: every new sound
comes to fit every new picture better than any remembered sound does, which lowers the loss and teaches nothing.
Centring removes this drift between old and new keys. AUC of held-out pairs on 2 105 synthetic videos, 300 steps of 96
(2026-11):

    centred keys 0.82          not centred 0.50           not centred, the batch's rows as further noise 0.50
    InfoNCE 0.83               not centred, keys of a slowly moving copy of the towers 0.50
    positives taken from the memory too, as in the published codes 0.61 (it helps at small learning rates only)
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WHOLE_BANK_RATIO = 50
"""Bank rows per negative below which one product with the whole bank beats gathering rows of each example's own: on 2
cores, 64 examples and D = 512 took 0.22 s with 100 000 rows, and 0.46 s for 4 096 gathered rows each (2026-11)."""
EMPTY = -1


def centred(keys: Tensor) -> Tensor:
    """Keys [B, D] of one moment of the training, of all workers, less their mean."""
    return keys - keys.mean(dim=0)


class MemoryBank(nn.Module):
    """Centred keys of the last clips seen in both modalities, whose videos, and the running mean of exp(noise logit).

    Buffers only: its state_dict belongs into the checkpoint, because a resumed run must compare with the same memory.
    """

    visual: Tensor
    audio: Tensor
    videos: Tensor
    num_seen: Tensor
    log_mean_noise: Tensor

    def __init__(self, size: int, dim: int, *, z_momentum: float = 0.99) -> None:
        """An empty memory.

        Args:
            size: clips that it holds; one more takes the oldest one's place.
            dim: D of the keys.
            z_momentum: share of the old mean of exp(noise logit) kept at each step. A constant from the first batch, as
                in CMC, is wrong as soon as the towers have moved.
        """
        super().__init__()
        self.z_momentum = z_momentum
        self.register_buffer("visual", torch.zeros(size, dim))
        self.register_buffer("audio", torch.zeros(size, dim))
        self.register_buffer("videos", torch.full((size,), EMPTY))
        self.register_buffer("num_seen", torch.tensor(0))
        self.register_buffer("log_mean_noise", torch.full((2,), -math.inf))  # of audio noise, of visual noise

    def rows(self, places: Tensor) -> Tensor:
        """Row numbers [...] of what there is by now, for places [...] evenly drawn from [0, 1): with replacement."""
        num_filled = self.num_seen.clamp(1, len(self.videos))
        return (places * num_filled).long().clamp_max(num_filled - 1)

    def excluded(self, videos: Tensor, rows: Tensor) -> Tensor:
        """[B, K] True where a row, of rows [K] or [B, K], is empty or of the same video as the clip, of videos [B]."""
        found = self.videos[rows]
        return (found == videos.unsqueeze(1)) | (found == EMPTY)

    @torch.no_grad()
    def observe(self, modality: int, log_sum: Tensor, log_count: Tensor) -> Tensor:
        """Take a step's noise into the running mean; return its logarithm [], which is -inf while there was no noise.

        Args:
            modality: 0 for noise out of `audio`, 1 for noise out of `visual`.
            log_sum: [] log of the sum of exp(noise logit), as `log_sum_noise` gives it; -inf without noise.
            log_count: [] log of how many they were.
        """
        old, new = self.log_mean_noise[modality].clone(), (log_sum - log_count).to(self.log_mean_noise)
        moved = torch.logaddexp(old + math.log(self.z_momentum), new + math.log1p(-self.z_momentum))
        moved = torch.where(torch.isinf(old), new, moved)
        self.log_mean_noise[modality] = torch.where(torch.isinf(log_count), old, moved)
        return self.log_mean_noise[modality].clone()

    @torch.no_grad()
    def remember(self, videos: Tensor, visual: Tensor, audio: Tensor) -> None:
        """Put centred keys [B, D] of clips of videos [B] in the place of the oldest; of too many, the last ones."""
        size = len(self.videos)
        videos, visual, audio = videos[-size:], visual[-size:], audio[-size:]
        places = (self.num_seen + torch.arange(len(videos), device=self.num_seen.device)) % size
        self.videos[places] = videos
        self.visual[places] = visual.to(self.visual)
        self.audio[places] = audio.to(self.audio)
        self.num_seen += len(videos)


def noise_logits(queries: Tensor, bank: Tensor, negatives: Tensor, whole_bank: bool | None = None) -> Tensor:
    """[B, K] logits of queries [B, D] with rows of bank [N, D]: the same K rows for all, or K for each.

    Args:
        queries: [B, D] such that the product with a row is a logit.
        bank: [N, D] keys, without gradient.
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
    """[B] loss in nats of each positive against its m noise samples: softplus(-h_positive) + sum softplus(h).

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


def picking_loss(positive: Tensor, noise: Tensor, excluded: Tensor) -> Tensor:
    """[B] InfoNCE in nats of picking each positive out of its noise, as `contrastive.information_bound` takes it.

    Arguments as of `nce_loss`. What is learnt from is that one: this one would not notice a shift of all logits.
    """
    against = noise.detach().masked_fill(excluded, -math.inf).logsumexp(dim=1)
    return F.softplus(against - positive.detach())
