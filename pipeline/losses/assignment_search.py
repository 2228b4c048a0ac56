"""Which mixture each source belongs to, from inner products alone: all assignments compared, or a local search.

In: the Gram matrix [B, N + S, N + S] of N mixtures, which come first, and S sources. Out: the mixture of each source.
With G the products of the sources, c those of a mixture with the sources and a its row of the assignment,

    e_m = |x_m - (A s)_m|^2 = |x_m|^2 - 2 a c + a G a,

so an assignment costs N S^2 operations, whatever the length of the waveforms. Moving source s out of a mixture (d = -1)
or into it (d = 1) changes e_m by -2 d (c - G a)_s + G_ss, and two moves at once by 2 d_s d_t G_st more.

Design note: the number of assignments N^S is 65 536 for 16 sources of two mixtures. Beyond it the search starts from
the least-squares assignment (efficient MixIT: Wisdom et al. 2021, arXiv:2106.00847), in which every source goes to the
mixture with its largest coefficient in argmin_A |x - A s|^2, and from all sources in one mixture, for each of them. It
moves single sources, and two where no single one helps. Least squares alone knows neither tau nor the logarithm. Of 100
examples of 16 sources at 0 to -40 dB, it found the best assignment of sources with independent errors in 50, and of
sources that leak into each other at -10 dB in none; with moves in 100 and 8; with the further starts in 100 and 29
(2026-11). The solver loads the diagonal in proportion to the sources' power and never assumes full rank, since silent
and equal sources are usual.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.snr import SILENT_POWER, TIE_DB, loss_db

MAX_ASSIGNMENTS = 65_536
"""Two mixtures of 16 sources, three of 10, four of 8; each further source multiplies time and memory by N."""
ASSIGNMENT_CHUNK = 4096
"""Assignments compared at a time: bounds their products to 8 MB for 16 sources."""
RIDGE = 1e-8
"""Loading of the diagonal over the mean power of the sources: 40 dB below a source at -40 dB, far above rounding."""
EQUAL_COEFFICIENTS = 1e-9
"""Coefficients this close, relative to the largest of the example, count as equal."""


def enumerate_assignments(gram: Tensor, num_mixtures: int, num_samples: int) -> Tensor:
    """[B, S] mixture of each source in the best of all N^S assignments; ties within TIE_DB go to the lowest number.

    Args:
        gram: [B, N + S, N + S] inner products of mixtures and sources, float64.
        num_mixtures: N.
        num_samples: T of the waveforms.
    """
    num_sources = gram.shape[1] - num_mixtures
    places = num_mixtures ** torch.arange(num_sources, device=gram.device)
    sources = gram[:, num_mixtures:, num_mixtures:].flatten(1)
    losses = []
    for numbers in torch.arange(num_mixtures**num_sources, device=gram.device).split(ASSIGNMENT_CHUNK):
        rows = F.one_hot(numbers[:, None] // places % num_mixtures, num_mixtures).double()  # [chunk, S, N]
        total = gram.new_zeros(len(gram), len(numbers))
        for mixture, a in enumerate(rows.unbind(dim=2)):
            energy = gram[:, mixture, mixture, None]
            pairs = (a[:, :, None] * a[:, None, :]).flatten(1)
            error = energy - 2 * gram[:, mixture, num_mixtures:] @ a.T + sources @ pairs.T
            total += loss_db(error.clamp(min=0), energy, num_samples)
        losses.append(total)
    return _first_lowest(torch.cat(losses, dim=1))[:, None] // places % num_mixtures


def search_assignment(gram: Tensor, num_mixtures: int, num_samples: int) -> Tensor:
    """[B, S] mixture of each source in the best assignment that moves of one or two sources reach from N + 1 starts.

    The starts: least squares, then all sources in one mixture, the first to the last. A later start needs a loss lower
    by more than TIE_DB. No move of up to two sources lowers the result's loss by more than that. The result of an
    example depends on nothing but its own products. Arguments as of `enumerate_assignments`.
    """
    search = _Search(gram, num_mixtures, num_samples)
    mixture, loss = search.descend(search.least_squares())
    silent = search.power <= SILENT_POWER * num_samples
    for first in range(num_mixtures):
        found, lower = search.descend(torch.where(silent, 0, first))
        is_better = lower < loss - TIE_DB
        mixture, loss = torch.where(is_better[:, None], found, mixture), torch.where(is_better, lower, loss)
    return mixture


class _Search:
    """Losses of assignments, given as the mixture [B, S] of each source, and of moves away from one."""

    def __init__(self, gram: Tensor, num_mixtures: int, num_samples: int) -> None:
        self.num_mixtures, self.num_samples = num_mixtures, num_samples
        self.energies = gram[:, :num_mixtures, :num_mixtures].diagonal(dim1=1, dim2=2)  # [B, N]
        self.products = gram[:, num_mixtures:, :num_mixtures]  # c: [B, S, N]
        self.sources = gram[:, num_mixtures:, num_mixtures:]  # G: [B, S, S]
        self.power = self.sources.diagonal(dim1=1, dim2=2)  # [B, S]

    def least_squares(self) -> Tensor:
        """The mixture in which each source has its largest coefficient, the first where they are equal."""
        loading = RIDGE * self.power.mean(dim=1)
        loading = torch.where(loading > 0, loading, 1.0)  # every source is silent
        loaded = self.sources + loading[:, None, None] * torch.eye(self.sources.shape[1]).to(self.sources)
        factor, _ = torch.linalg.cholesky_ex(loaded)  # never raises: NaN goes on to the loss, which reports it
        coefficients = torch.cholesky_solve(self.products, factor)  # [B, S, N]
        margin = EQUAL_COEFFICIENTS * coefficients.abs().amax(dim=(1, 2), keepdim=True)
        return (coefficients >= coefficients.amax(dim=2, keepdim=True) - margin).int().argmax(dim=2)

    def errors(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Energies [B, N] of the residuals x - A s, and the products [B, S, N] of the sources with them."""
        assigned = F.one_hot(mixture, self.num_mixtures).double()
        with_residual = self.products - self.sources @ assigned
        return self.energies - (assigned * (self.products + with_residual)).sum(dim=1), with_residual

    def loss(self, mixture: Tensor) -> Tensor:
        """[B] in dB."""
        return self._sum_db(self.errors(mixture)[0], self.energies)

    def descend(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """The assignment [B, S] and its loss [B] after moves, the best one first, as long as they lower the loss."""
        loss = self.loss(mixture)
        while True:  # ends: every round lowers the loss of an assignment, and there are finitely many
            for propose in (self.best_move, self.best_two_moves):
                proposal = propose(mixture)
                lower = self.loss(proposal)
                is_better = lower < loss - TIE_DB
                mixture, loss = torch.where(is_better[:, None], proposal, mixture), torch.where(is_better, lower, loss)
                if is_better.any():
                    break
            else:
                return mixture, loss

    def best_move(self, mixture: Tensor) -> Tensor:
        """The assignment with one source in another mixture that has the lowest loss."""
        _, changes, errors = self._moves(mixture)
        losses = self._sum_db(errors[:, None] + changes, self.energies[:, None])
        return self._moved(mixture, _first_lowest(losses))

    def best_two_moves(self, mixture: Tensor) -> Tensor:
        """The assignment with two sources moved that has the lowest loss."""
        directions, changes, errors = self._moves(mixture)
        shared = self.sources.repeat_interleave(self.num_mixtures, dim=1).repeat_interleave(self.num_mixtures, dim=2)
        crossed = 2 * shared[..., None] * directions[:, :, None] * directions[:, None]  # [B, S N, S N, N]
        both = errors[:, None, None] + changes[:, :, None] + changes[:, None] + crossed
        losses = self._sum_db(both, self.energies[:, None, None])
        source = torch.arange(losses.shape[1], device=losses.device) // self.num_mixtures
        losses = losses.masked_fill(source[:, None] >= source, torch.inf)  # each pair once, and no source twice
        best = _first_lowest(losses.flatten(1))
        return self._moved(self._moved(mixture, best // losses.shape[2]), best % losses.shape[2])

    def _moves(self, mixture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Directions d and changes of energy, [B, S N, N] each, of moving source s to mixture n, and `errors`.

        Move number s N + n; that to the mixture where the source is already changes nothing.
        """
        errors, with_residual = self.errors(mixture)
        here = F.one_hot(mixture, self.num_mixtures).double()
        directions = torch.eye(self.num_mixtures).to(here) - here[:, :, None]  # [B, S, N, N]: to less from
        changes = directions.square() * self.power[..., None, None] - 2 * directions * with_residual[:, :, None]
        return directions.flatten(1, 2), changes.flatten(1, 2), errors

    def _moved(self, mixture: Tensor, move: Tensor) -> Tensor:
        source, target = move[:, None] // self.num_mixtures, move[:, None] % self.num_mixtures
        return mixture.scatter(1, source, target)

    def _sum_db(self, errors: Tensor, energies: Tensor) -> Tensor:
        return loss_db(errors.clamp(min=0), energies, self.num_samples).sum(dim=-1)


def _first_lowest(losses: Tensor) -> Tensor:
    """[B] the first place in losses [B, C] that is within TIE_DB of the lowest."""
    return (losses <= losses.amin(dim=1, keepdim=True) + TIE_DB).int().argmax(dim=1)  # argmax returns the first
