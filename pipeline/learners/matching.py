"""The match classifier's training on frozen embeddings, its calibration on held-out videos, and what both reach.

Pairs come by batch, row i of each view from one moment and every row of another video, so a pair that does not match is
a row's picture with the sound of the row some places on. Matched and mismatched pairs are equally many everywhere: the
probability is for a prior of one half.

The decision to question is calibration. Towers fit the clips they were trained on better than new ones, so a classifier
trained on these is too sure of itself; a logistic curve through held-out videos (Platt 1999) corrects that. Its two
numbers are then measured by cross-fitting: one half of the held-out videos judges the curve of the other half.
"""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from pipeline.metrics.calibration import accuracy, brier_score, expected_calibration_error
from pipeline.metrics.detection import matched_mismatched_auc
from pipeline.metrics.retrieval import recall_at
from pipeline.models.coincidence import CoincidenceModel, Matcher

GALLERY = 50
"""Clips of different videos among which retrieval searches; fewer where there are fewer videos."""
MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MatchingConfig:
    """How the match classifier is trained after the towers."""

    num_batches: int = 64
    """Augmented training batches whose embeddings it sees. More is slower and closer to what the towers saw."""
    num_steps: int = 2000
    """SGD steps, each over the pairs of one batch."""
    learning_rate: float = 0.02
    """SGD's first rate; it falls to zero as half a cosine."""
    weight_decay: float = 1e-3
    """Pull towards zero. More helps where there are few videos."""
    num_held_out_batches: int = 16
    """Batches of held-out videos, not augmented, for calibration and figures."""

    def __post_init__(self) -> None:
        for name in ("num_batches", "num_steps", "num_held_out_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"matching.{name} = {getattr(self, name)}: expected 1 or more.")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise ValueError(
                f"matching.learning_rate = {self.learning_rate}, weight_decay = {self.weight_decay}: expected more "
                "than 0, and 0 or more."
            )


@dataclasses.dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """Unit embeddings of B moments of different videos."""

    visual: Tensor
    """[B, D]"""
    audio: Tensor
    """[B, D]"""
    video: Tensor
    """[B] the videos' numbers."""

    def pairs(self, shift: int) -> tuple[Tensor, Tensor]:
        """[2 B, D] pictures and sounds: B pairs that match, then B with the sound of the row `shift` places on."""
        return self.visual.repeat(2, 1), torch.cat([self.audio, self.audio.roll(-shift, dims=0)])


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
            size = len(batch.video)
            visual, audio = batch.pairs(int(torch.randint(1, size, (), generator=generator)))
            labels = _labels(size).to(visual)
            loss = F.binary_cross_entropy_with_logits(matcher(visual, audio), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    matcher.requires_grad_(False)


@torch.no_grad()
def calibrate(model: CoincidenceModel, batches: list[EmbeddedBatch]) -> dict[str, float]:
    """Fit the probability to held-out videos, in place, and return what it reaches on them.

    Returns:
        `match_accuracy`, `match_auc`, `match_calibration_error`, `match_brier` of the calibrated probability;
        `cosine_auc` of the cosine alone; `<sound or picture>_recall_at_<1, 5, 10>` of the contrastive score, where
        `sound` is the sound found for a picture, among `gallery` clips of different videos.
    """
    logits, cosines, folds = [], [], []
    for index, batch in enumerate(batches):
        visual, audio = batch.pairs(1 + index % (len(batch.video) - 1))
        logits.append(model.score_logit(visual, audio))
        cosines.append((visual * audio).sum(dim=1))
        folds.append((batch.video % 2).repeat(2))
    logit, cosine, fold = (torch.cat(rows).double().cpu().numpy() for rows in (logits, cosines, folds))
    label = torch.cat([_labels(len(batch.video)) for batch in batches]).numpy()
    probability = np.zeros_like(logit)
    for half in (0, 1):
        others = fold != half if (fold != half).any() else fold == half  # all videos may be in one half
        scale, bias = fit_logistic(logit[others], label[others])
        probability[fold == half] = _sigmoid(scale * logit[fold == half] + bias)
    _apply(model, fit_logistic(logit, label), fit_logistic(cosine, label))
    figures = {
        "match_accuracy": accuracy(probability, label),
        "match_auc": matched_mismatched_auc(logit[label == 1], logit[label == 0]),
        "match_calibration_error": expected_calibration_error(probability, label),
        "match_brier": brier_score(probability, label),
        "cosine_auc": matched_mismatched_auc(cosine[label == 1], cosine[label == 0]),
    }
    return figures | _retrieval(model, batches)


def fit_logistic(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Scale a and bias b of the curve sigmoid(a x + b) that is likeliest for labels [N] at logits [N].

    Labels are drawn in to (n + 1) / (n + 2) and 1 / (n + 2), as in Platt 1999, so that classes without overlap have a
    finite curve.
    """
    num_ones = labels.sum()
    num_zeros = len(labels) - num_ones
    target = np.where(labels > 0, (num_ones + 1) / (num_ones + 2), 1 / (num_zeros + 2))
    centre, spread = logits.mean(), logits.std() + 1e-12
    values = np.tile((logits - centre) / spread, 2)[:, None]
    curve = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000)  # each item once as a 1 and once as a 0
    curve.fit(values, _labels(len(logits)).numpy(), np.concatenate([target, 1 - target]))
    scale = curve.coef_[0, 0] / spread
    return float(scale), float(curve.intercept_[0] - scale * centre)


def _apply(model: CoincidenceModel, logit_curve: tuple[float, float], cosine_curve: tuple[float, float]) -> None:
    """Fold the curves into the matcher's last layer, and into the cosine's own scale and bias."""
    if model.matcher is not None:
        model.matcher.dense.weight.mul_(logit_curve[0])
        model.matcher.dense.bias.mul_(logit_curve[0]).add_(logit_curve[1])
    model.match_scale.fill_(cosine_curve[0])
    model.match_bias.fill_(cosine_curve[1])


def _retrieval(model: CoincidenceModel, batches: list[EmbeddedBatch]) -> dict[str, float]:
    size = min(GALLERY, *(len(batch.video) for batch in batches))
    figures: dict[str, list[float]] = {}
    for batch in batches:
        for start in range(0, len(batch.video) - size + 1, size):
            rows = slice(start, start + size)
            scores = model.logits(batch.visual[rows], batch.audio[rows]).cpu().numpy()
            for k in (1, 5, 10):
                figures.setdefault(f"sound_recall_at_{k}", []).append(recall_at(scores, k))
                figures.setdefault(f"picture_recall_at_{k}", []).append(recall_at(scores.T, k))
    return {name: float(np.mean(values)) for name, values in figures.items()} | {"gallery": float(size)}


def _labels(size: int) -> Tensor:
    return torch.cat([torch.ones(size), torch.zeros(size)])


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -value))
