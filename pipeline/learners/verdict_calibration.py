"""Fitting the verdicts' scale and shift to held-out videos, so that off-screen sound is suppressed by a chosen amount.

p_m = sigmoid(scale z_m + shift). For every scale there is a shift at which the median off-screen suppression ratio of
held-out off-screen mixtures is the target; of those points the one with the best median SI-SNR of held-out on-screen
mixtures is taken (AudioScopeV2, arXiv:2207.10141, compares models at equal suppression in the same spirit).

Design note: all figures are functions of the sources' inner products, so one separation of each mixture is enough.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.config import Count, config_dataclass
from pipeline.learners.mixtures_of_mixtures import MixtureDrawer
from pipeline.models.separator import SeparationModel

SCALES = np.geomspace(0.25, 4.0, 33)
MAX_SHIFT = 30.0
NUM_HALVINGS = 40
MIN_ENERGY = 1e-20
BATCH_SIZE = 8


@config_dataclass
class CalibrationConfig:
    """Where on the curve of suppression against reconstruction the model works."""

    osr_db: Annotated[float, Field(gt=0, lt=60)] | None = 13.0
    """Median off-screen suppression ratio to reach on held-out videos; None leaves the verdicts as trained. More
    suppresses off-screen sound better, and on-screen sound too."""
    num_examples: Count = 200
    """Held-out mixtures of each kind: on-screen and off-screen ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class JudgedMixtures:
    """n mixtures of S sources each, as far as the on-screen estimate's figures depend on them."""

    logits: np.ndarray
    """[n, S] of the verdicts."""
    gram: np.ndarray
    """[n, S, S] inner products of the sources."""
    products: np.ndarray
    """[n, S] of the sources with the first mixture."""
    energy: np.ndarray
    """[n] of the first mixture."""

    def suppression_db(self, scale: float, shift: float) -> np.ndarray:
        """[n] power of the mixture over that of the on-screen estimate."""
        mixture, estimate = self.gram.sum(axis=(1, 2)), self._energy(self._weights(scale, shift))
        return 10 * np.log10(np.maximum(mixture, MIN_ENERGY) / np.maximum(estimate, MIN_ENERGY))

    def si_snr_db(self, scale: float, shift: float) -> np.ndarray:
        """[n] SI-SNR of the on-screen estimate to the first mixture."""
        weights = self._weights(scale, shift)
        target = np.square((weights * self.products).sum(axis=1)) / np.maximum(self.energy, MIN_ENERGY)
        error = self._energy(weights) - target
        return 10 * np.log10(np.maximum(target, MIN_ENERGY) / np.maximum(error, MIN_ENERGY))

    def _weights(self, scale: float, shift: float) -> np.ndarray:
        return np.exp(-np.logaddexp(0, -(scale * self.logits + shift)))

    def _energy(self, weights: np.ndarray) -> np.ndarray:
        return np.einsum("ns,nst,nt->n", weights, self.gram, weights)


def judge(
    model: SeparationModel, drawer: MixtureDrawer, kinds: Sequence[str], rng: np.random.Generator, count: int
) -> JudgedMixtures:
    """`count` mixtures of mixtures, whose first ones are of these kinds in turn, separated and judged whole."""
    device = next(model.parameters()).device
    recipes = [drawer.recipe(rng, kinds[i % len(kinds)], alone=False) for i in range(count)]
    found = []
    for begin in range(0, count, BATCH_SIZE):
        batch = drawer.batch(recipes[begin : begin + BATCH_SIZE], slice(None), augment=False, whole=True)
        references = batch["references"].to(device)
        output = model(references.sum(dim=1), batch["frames"][:, 0].to(device))
        sources, first = output.sources.double(), references[:, 0].double()
        products = (sources * first.unsqueeze(1)).sum(dim=-1)
        rows = (output.logits, sources @ sources.mT, products, first.square().sum(dim=1))
        found.append([row.double().cpu().numpy() for row in rows])
    return JudgedMixtures(*(np.concatenate(rows) for rows in zip(*found, strict=True)))


def fit_verdicts(on: JudgedMixtures, off: JudgedMixtures, osr_db: float) -> tuple[float, float]:
    """Scale and shift with the best median SI-SNR of `on` among those whose median suppression of `off` is `osr_db`."""
    points = [(scale, _shift(off, scale, osr_db)) for scale in SCALES]
    scores = [float(np.median(on.si_snr_db(*point))) for point in points]
    return points[int(np.argmax(scores))]


def _shift(off: JudgedMixtures, scale: float, osr_db: float) -> float:
    """The shift at which the median suppression is the target; it falls as the shift grows."""
    low, high = -MAX_SHIFT, MAX_SHIFT
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        if np.median(off.suppression_db(scale, middle)) > osr_db:
            low = middle
        else:
            high = middle
    return (low + high) / 2
