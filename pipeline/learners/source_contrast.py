"""InfoNCE between separated sources and the frames of the mixtures that they came from, over all workers (ours)."""

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.losses.contrastive import source_info_nce
from pipeline.training.protocols import Batch

MIN_POWER = 1e-8


def contrast(
    seen: Tensor,
    heard: Tensor,
    sources: Tensor,
    assignment: Tensor,
    batch: Batch,
    scale: Tensor,
    gather: Callable[[Tensor], Tensor],
) -> Tensor:
    """[] loss in nats, equal on all workers: a source picks its frames among the batch's, and frames their sources.

    A source that belongs to no frames, of an off-screen mixture, is a negative only. Sources of one mixture weigh by
    the root of their power, 1 together.

    Args:
        seen: [B, 2, D] unit embeddings of both mixtures' frames.
        heard: [B, S, D] unit embeddings of the sources.
        sources: [B, S, T] waveforms, of which only the power counts.
        assignment: [B, 2, S] which mixture each source is from.
        batch: `video` and `on_screen`, as of `MixtureDrawer.batch`.
        scale: [] what cosines are multiplied by.
        gather: all workers' rows of one worker's.
    """
    number, num_sources = batch["video"], sources.shape[1]  # [B, 2], -1 where there is no second mixture
    side = (assignment[:, 1] > 0.5).long()  # [B, S] mixture that the source is from
    root = (sources.detach().square().sum(dim=-1) + MIN_POWER).sqrt()
    of_side = torch.stack([root * (side == 0), root * (side == 1)], dim=1).sum(dim=-1).clamp(min=MIN_POWER)
    weight = root / of_side.gather(1, side)
    is_own = batch["on_screen"].gather(1, side)
    all_seen, all_number = gather(seen.flatten(0, 1)), gather(number.flatten())
    all_heard, all_weight = gather(heard.flatten(0, 1)), gather(weight.flatten())
    owner = gather(torch.where(is_own, number.gather(1, side), -1).flatten())
    # the row's place among the videos of all workers: rows stay together, two videos and S sources each
    column = torch.arange(len(all_seen), device=owner.device).unflatten(0, (-1, 2))
    place = column.repeat_interleave(num_sources, dim=0).gather(1, gather(side.flatten())[:, None]).squeeze(1)
    with torch.autocast(all_heard.device.type, enabled=False):  # bf16 would leave 8 bits for cosines times 100
        logits = scale.float() * all_heard.float() @ all_seen.float().T
    is_same = (owner[:, None] == all_number[None, :]) & (owner[:, None] >= 0)
    is_same[torch.arange(len(place), device=place.device), place] = False
    barred = is_same | (all_number < 0)[None, :]
    return source_info_nce(logits.masked_fill(barred, -torch.inf), torch.where(owner >= 0, place, -1), all_weight)
