"""Fitting the verdicts to held-out videos, so that off-screen sound is suppressed by a chosen amount.

p_m = sigmoid(scale (z_m + relative (z_m - mean z)) + shift), the mean over a mixture's sources weighted by power. For
every scale and `relative` there is a shift at which the median off-screen suppression ratio of held-out off-screen
mixtures is the target. Of those points the one with the best median SI-SNR improvement of held-out on-screen mixtures
is taken, among those that leave on-screen sound that sounds alone nearly as loud as it was. AudioScopeV2
(arXiv:2207.10141) compares models at equal suppression in the same spirit; `relative` is ours.

Design note: all figures are functions of the sources' inner products, so one separation of each mixture is enough.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field

from pipeline.config import Count, config_dataclass
from pipeline.learners.augmentation import unpack_frames
from pipeline.learners.mixtures_of_mixtures import MixtureDrawer
from pipeline.metrics import signal_products
from pipeline.models.separator import SeparationModel

SCALES = np.geomspace(0.125, 8.0, 25)
RELATIVES = (0.0, 0.25, 0.5)  # with 1 the order of sources of different mixtures suffers: AUC 0.890 -> 0.884
MAX_SHIFT = 30.0
NUM_HALVINGS = 40
MIN_POWER = 1e-12
BATCH_SIZE = 8


@config_dataclass
class CalibrationConfig:
    """Where on the curve of suppression against reconstruction the model works."""

    osr_db: Annotated[float, Field(gt=0, lt=60)] | None = 13.0
    """Median off-screen suppression ratio to reach on held-out videos; None leaves the verdicts as trained. More
    suppresses off-screen sound better, and on-screen sound too."""
    max_loss_db: Annotated[float, Field(ge=0)] = 3.0
    """Most by which on-screen sound that sounds alone may become quieter, median, where that can be had."""
    num_examples: Count = 200
    """Held-out mixtures of each kind: on-screen, off-screen, and single on-screen ones."""


class Point(NamedTuple):
    """How logits become verdicts."""

    scale: float
    shift: float
    relative: float


@dataclasses.dataclass(frozen=True, slots=True)
class ScoredMixtures:
    """n mixtures, separated into S sources and scored: what the figures of every on-screen estimate follow from."""

    logits: np.ndarray
    """[n, S] of the verdicts, as trained."""
    products: np.ndarray
    """[n, 1 + S, 1 + S] means over time of the products of the first mixture and the sources with each other."""

    def suppression_db(self, point: Point) -> np.ndarray:
        """[n] power of the mixture over that of the on-screen estimate; NaN for silence."""
        return signal_products.suppression_db(self.products, self._mixture(), self._estimate(point))

    def level_db(self, point: Point) -> np.ndarray:
        """[n] power of the on-screen estimate over that of the first mixture; NaN for silence."""
        return signal_products.level_db(self.products, self._first(), self._estimate(point))

    def improvement_db(self, point: Point) -> np.ndarray:
        """[n] SI-SNR of the on-screen estimate to the first mixture, less that of the mixture; NaN for silence."""
        found, before = (
            signal_products.si_snr_db(self.products, self._first(), signal)
            for signal in (self._estimate(point), self._mixture())
        )
        return found - before

    def _first(self) -> np.ndarray:
        return np.eye(self.products.shape[-1])[:1].repeat(len(self.logits), axis=0)

    def _mixture(self) -> np.ndarray:
        return 1 - self._first()  # the sources add up to it

    def _estimate(self, point: Point) -> np.ndarray:
        power = np.diagonal(self.products, axis1=1, axis2=2)[:, 1:] + MIN_POWER
        mean = (power * self.logits).sum(axis=1, keepdims=True) / power.sum(axis=1, keepdims=True)
        verdicts = point.scale * (self.logits + point.relative * (self.logits - mean)) + point.shift
        weights = np.exp(-np.logaddexp(0, -verdicts))
        return np.concatenate([np.zeros((len(weights), 1)), weights], axis=1)


def score_mixtures(
    model: SeparationModel,
    drawer: MixtureDrawer,
    kinds: Sequence[str],
    alone: bool,
    rng: np.random.Generator,
    count: int,
) -> ScoredMixtures:
    """`count` mixtures, the first ones of these kinds in turn, alone or with a second, separated and judged whole."""
    device = next(model.parameters()).device
    recipes = [drawer.recipe(rng, kinds[i % len(kinds)], alone) for i in range(count)]
    found = []
    for begin in range(0, count, BATCH_SIZE):
        batch = drawer.batch(recipes[begin : begin + BATCH_SIZE], slice(None), augment=False, whole=True)
        batch = unpack_frames({name: value.to(device) for name, value in batch.items()})
        references = batch["references"]
        output = model(references.sum(dim=1), batch["frames"][:, 0])
        signals = torch.cat([references[:, :1], output.sources], dim=1).double()
        rows = (output.logits.double(), signals @ signals.mT / signals.shape[-1])
        found.append([row.cpu().numpy() for row in rows])
    return ScoredMixtures(*(np.concatenate(rows) for rows in zip(*found, strict=True)))


def fit_verdicts(on: ScoredMixtures, off: ScoredMixtures, alone: ScoredMixtures, config: CalibrationConfig) -> Point:
    """The point with the best median improvement of `on` among those that the module's docstring names.

    Raises:
        ValueError: the config asks for no suppression.
    """
    if config.osr_db is None:
        raise ValueError("osr_db is None, expected a suppression in dB.")
    points = [_at_target(off, scale, relative, config.osr_db) for scale in SCALES for relative in RELATIVES]
    gains = np.array([np.nanmedian(on.improvement_db(point)) for point in points])
    losses = np.array([-np.nanmedian(alone.level_db(point)) for point in points])
    is_allowed = losses <= max(config.max_loss_db, losses.min())
    return points[int(np.argmax(np.where(is_allowed, gains, -np.inf)))]


def _at_target(off: ScoredMixtures, scale: float, relative: float, osr_db: float) -> Point:
    """The shift at which the median suppression is the target; it falls as the shift grows."""
    low, high = -MAX_SHIFT, MAX_SHIFT
    for _ in range(NUM_HALVINGS):
        middle = Point(scale, (low + high) / 2, relative)
        if np.nanmedian(off.suppression_db(middle)) > osr_db:
            low = middle.shift
        else:
            high = middle.shift
    return Point(scale, (low + high) / 2, relative)
