"""The match classifier's training on frozen embeddings, its calibration on held-out videos, and the figures of both.

Row i of both modalities is from one moment. A mismatched pair is the picture of row i with the sound of row i + shift,
and is dropped if both are of one video. Matched and mismatched pairs are equally many everywhere: the probability is
for a prior of one half.

Design note: towers fit the clips they were trained on better than new ones, so a classifier trained on these is
overconfident; a logistic curve fitted to held-out videos (Platt 1999) corrects that. Its slope is kept positive: with
few videos chance may order them the wrong way round, and a negative slope would hide that the classifier has failed.
The calibrated probability is measured by cross-fitting: the curve is fitted to pairs of one half of the held-out videos
and measured on pairs of the other half, and the other way round.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor

from pipeline.config import Count, Positive, config_dataclass
from pipeline.metrics.bootstrap import Interval, bootstrap_interval
from pipeline.metrics.calibration import accuracy, brier_score, expected_calibration_error
from pipeline.metrics.detection import matched_mismatched_auc
from pipeline.metrics.retrieval import recall_at
from pipeline.models.towers import Matcher, SharedSpace

GALLERY = 50
"""Clips of different videos among which retrieval searches; fewer where there are fewer videos."""
MIN_SLOPE = 0.1
"""Of the calibration's curve, per standard deviation of the logits: 0.525 one deviation above the mean."""
MOMENTUM = 0.9


@config_dataclass
class MatchingConfig:
    """How the match classifier is trained after the towers."""

    num_batches: Count = 64
    """Augmented training batches whose embeddings it sees. More is slower and closer to what the towers saw."""
    num_steps: Count = 2000
    """SGD steps, each over the pairs of one batch."""
    learning_rate: Positive = 0.02
    """SGD's first rate; it falls to zero as half a cosine."""
    weight_decay: NonNegativeFloat = 1e-3
    """Pull towards zero. More helps where there are few videos."""
    num_held_out_batches: Count = 16
    """Batches of held-out videos, not augmented, for calibration and figures."""


@dataclasses.dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """Unit embeddings of B moments, those of one batch each of another video."""

    visual: Tensor
    """[B, D]"""
    audio: Tensor
    """[B, D]"""
    video: Tensor
    """[B] the videos' numbers."""

    def pairs(self, shift: int) -> tuple[Tensor, Tensor]:
        """[2 N, D] pictures and sounds: N pairs that match, then as many with the sound of the row `shift` places on.

        N is B less the rows for which that sound is of their own video.
        """
        rows = self.rows_of_pairs(shift)
        others = (rows + shift) % len(self.video)
        return self.visual[rows].repeat(2, 1), self.audio[torch.cat([rows, others])]

    def rows_of_pairs(self, shift: int) -> Tensor:
        """[N] the rows whose pictures `pairs` takes."""
        return torch.nonzero(self.video != self.video.roll(-shift)).flatten()

    def rows(self, chosen: Tensor) -> "EmbeddedBatch":
        """The moments that `chosen` [B] is True for, or numbers."""
        return EmbeddedBatch(self.visual[chosen], self.audio[chosen], self.video[chosen])


def train_matcher(matcher: Matcher, batches: list[EmbeddedBatch], config: MatchingConfig, seed: int) -> None:
    """Train the classifier from fresh weights on pairs of the batches: cross-entropy, SGD."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in (matcher.hidden, matcher.dense):
            bound = layer.in_features**-0.5
            layer.weight.copy_(torch.empty(layer.weight.shape).uniform_(-bound, bound, generator=generator))
            layer.bias.zero_()
    matcher.requires_grad_(True)
    rate, decay = config.learning_rate, config.weight_decay
    optimiser = torch.optim.SGD(matcher.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.num_steps)
    with torch.enable_grad():
        for _ in range(config.num_steps):
            batch = batches[int(torch.randint(len(batches), (), generator=generator))]
            visual, audio = batch.pairs(int(torch.randint(1, len(batch.video), (), generator=generator)))
            labels = _labels(len(visual)).to(visual)
            loss = F.binary_cross_entropy_with_logits(matcher(visual, audio), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    matcher.requires_grad_(False)


class ScoredPairs(NamedTuple):
    """Pairs as the classifier sees them."""

    logit: np.ndarray
    """[N] log odds before calibration."""
    cosine: np.ndarray
    """[N]"""
    label: np.ndarray
    """[N] 1 where they match, 0 where not."""
    video: np.ndarray
    """[N] number of the picture's video."""
    num_videos: int
    """Different videos they were made of."""


@torch.no_grad()
def calibrate(model: SharedSpace, batches: list[EmbeddedBatch]) -> dict[str, float]:
    """Fit the probability to held-out videos, in place, and return its figures on them.

    Args:
        model: its matcher, and the scale and bias of its cosine, are changed.
        batches: of two videos or more; of fewer than four, the figures are of a curve that has seen them.
    Returns:
        `match_accuracy`, `match_auc`, `match_calibration_error`, `match_brier` of the calibrated probability;
        `cosine_auc` of the cosine alone; `num_videos` and, from MIN_GROUPS of them on, `match_auc_low` and
        `match_auc_high`, the interval of the AUC over other videos (`metrics.bootstrap`);
        `<sound or picture>_recall_at_<1, 5, 10>` of the contrastive score, where `sound` is the sound found for a
        picture, among `gallery` clips of different videos; no recall among so few that it could not fail.
    """
    parts = [(batch.visual, batch.audio, batch.video) for batch in batches]
    moments = EmbeddedBatch(*(torch.cat(rows) for rows in zip(*parts, strict=True)))
    halves = [_score_pairs(model, half) for half in _halves(moments)]
    return calibrate_on(model, halves) | retrieval(model, moments)


@torch.no_grad()
def calibrate_on(model: SharedSpace, halves: list[ScoredPairs]) -> dict[str, float]:
    """What `calibrate` does, and its figures but for recall, on the pairs of one half of the videos and of the other.

    Args:
        halves: or all pairs in one, where a half would have too few; the figures are then of a curve that has seen
            them.
    """
    curves = [fit_logistic(half.logit, half.label, half.num_videos) for half in reversed(halves)]  # one alone: its own
    probability = np.concatenate([_curve(*curve, half.logit) for curve, half in zip(curves, halves, strict=True)])
    logit, cosine, label, video = (np.concatenate([half[column] for half in halves]) for column in range(4))
    num_videos = sum(half.num_videos for half in halves)
    if model.matcher is not None:
        scale, bias = fit_logistic(logit, label, num_videos)
        model.matcher.dense.weight.mul_(scale)
        model.matcher.dense.bias.mul_(scale).add_(bias)
    scale, bias = fit_logistic(cosine, label, num_videos)
    model.match_scale.fill_(scale)
    model.match_bias.fill_(bias)
    figures = {
        "match_accuracy": accuracy(probability, label),
        "match_auc": _auc(logit, label),  # the curve keeps their order
        "match_calibration_error": expected_calibration_error(probability, label),
        "match_brier": brier_score(probability, label),
        "cosine_auc": _auc(cosine, label),
        "num_videos": float(num_videos),
    }
    interval = auc_interval(logit[label == 1], logit[label == 0], video[label == 1], video[label == 0])
    if interval.low is not None and interval.high is not None:
        figures |= {"match_auc_low": interval.low, "match_auc_high": interval.high}
    return figures


def fit_logistic(logits: np.ndarray, labels: np.ndarray, num_videos: int) -> tuple[float, float]:
    """Scale a and bias b of the rising curve sigmoid(a x + b) that is likeliest for labels [N] at logits [N].

    Labels are drawn in to (n + 1) / (n + 2) and 1 / (n + 2), as in Platt 1999, so that classes without overlap have a
    finite curve. n counts videos: pairs of the same few, however many, are evidence of no more than these. A slope
    below MIN_SLOPE becomes that, through 1/2 at the logits' mean.
    """
    from sklearn.linear_model import LogisticRegression  # takes 2.4 s: scoring does without it

    target = np.where(labels > 0, num_videos + 1, 1) / (num_videos + 2)
    centre = logits.mean()
    # a tenth of the largest logit at least: logits that hardly differ would make any slope a cliff, 0 / 0 if not at all
    spread = max(logits.std(), np.abs(logits).max() / 10) or 1.0
    values = np.tile(((logits - centre) / spread).round(5), 2)[:, None]  # fp32 differs by 1e-7 for no reason
    curve = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000)  # each item once as a 1 and once as a 0
    curve.fit(values, _labels(len(values)).numpy(), np.concatenate([target, 1 - target]))
    slope, height = curve.coef_[0, 0], curve.intercept_[0]
    if slope < MIN_SLOPE:
        slope, height = MIN_SLOPE, 0.0
    return float(slope / spread), float(height - slope * centre / spread)


def auc_interval(
    matched: np.ndarray, mismatched: np.ndarray, video: np.ndarray, mismatched_video: np.ndarray
) -> Interval:
    """Interval of the AUC over videos, for scores [N] of pairs that match and [M] of pairs that do not.

    Args:
        video, mismatched_video: [N] and [M] numbers of the pictures' videos.
    """
    names, number = np.unique(np.concatenate([video, mismatched_video]), return_inverse=True)
    of_video = np.eye(len(names))
    own, other = of_video[number[: len(video)]], of_video[number[len(video) :]]
    wins = (np.sign(matched[:, None] - mismatched[None]) + 1) / 2
    by_video = own.T @ wins @ other  # [V, V], summed once for all
    num_own, num_other = own.sum(axis=0), other.sum(axis=0)

    def auc(videos: np.ndarray) -> float:
        drawn = np.bincount(videos, minlength=len(names))
        num_pairs = float(drawn @ num_own) * float(drawn @ num_other)
        return float(drawn @ by_video @ drawn) / num_pairs if num_pairs else float("nan")

    return bootstrap_interval(auc, np.arange(len(names)))


def _halves(moments: EmbeddedBatch) -> list[EmbeddedBatch]:
    """The moments of every other video and those of the rest; all in one where a half would have a single video."""
    videos, number = moments.video.unique(return_inverse=True)
    if len(videos) < 4:
        return [moments]
    return [moments.rows(number % 2 == half) for half in (0, 1)]


def _score_pairs(model: SharedSpace, moments: EmbeddedBatch) -> ScoredPairs:
    visual, audio = moments.pairs(1)
    video = moments.video[moments.rows_of_pairs(1)].repeat(2)
    columns = (model.score_logit(visual, audio), (visual * audio).sum(dim=1), _labels(len(visual)), video)
    logit, cosine, label, number = (column.double().cpu().numpy() for column in columns)
    return ScoredPairs(logit, cosine, label, number, num_videos=len(moments.video.unique()))


def retrieval(model: SharedSpace, moments: EmbeddedBatch) -> dict[str, float]:
    """How often a picture's sound, and a sound's picture, is among the first few of a gallery: see `calibrate`."""
    size = min(GALLERY, len(moments.video.unique()))
    figures: dict[str, list[float]] = {}
    for rows in _galleries(moments.video.tolist(), size):
        gallery = moments.rows(torch.tensor(rows, device=moments.video.device))
        scores = model.logits(gallery.visual, gallery.audio).cpu().numpy()
        for k in (k for k in (1, 5, 10) if k < size):
            figures.setdefault(f"sound_recall_at_{k}", []).append(recall_at(scores, k))
            figures.setdefault(f"picture_recall_at_{k}", []).append(recall_at(scores.T, k))
    return {name: float(np.mean(values)) for name, values in figures.items()} | {"gallery": float(size)}


def _galleries(videos: list[int], size: int) -> list[list[int]]:
    """Row numbers in groups of `size` different videos, each row in the first group that has room for its video."""
    groups: list[dict[int, int]] = []
    for row, video in enumerate(videos):
        group = next((group for group in groups if len(group) < size and video not in group), None)
        if group is None:
            groups.append(group := {})
        group[video] = row
    return [list(group.values()) for group in groups if len(group) == size]


def _auc(scores: np.ndarray, label: np.ndarray) -> float:
    return matched_mismatched_auc(scores[label == 1], scores[label == 0])


def _labels(size: int) -> Tensor:
    """[size] ones, then as many zeros."""
    return torch.cat([torch.ones(size // 2), torch.zeros(size // 2)])


def _curve(scale: float, bias: float, logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -(scale * logits + bias)))
