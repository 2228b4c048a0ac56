"""How much of the wanted sound an estimate holds, and how much of the unwanted it has removed.

Conventions
-----------
Waveforms are [.., T] in linear amplitude; the reference, or what plays its role, comes first. Values are float64
tensors [..] in dB, higher is better, one per waveform; sets are summarised by their median. The mean is not subtracted:
a constant offset is part of the error. Values are limited to +-CAP_DB, because exact silence and exact copies do occur
(the estimate of a single on-screen mixture may be the mixture) and an infinity can neither be averaged nor plotted.
Inside the limits nothing is added to the ratios, so the values are exact.
A silent reference has no defined ratio to anything. It raises ValueError rather than returning NaN, which would pass
through a median unseen: who builds the evaluation set leaves such clips out and says how many.

Metrics
-------
- `si_snr`: scale-invariant signal-to-noise ratio of an estimate, on-screen clips; its improvement in mixtures of
  mixtures is the difference to that of the unprocessed mixture.
- `off_screen_suppression_ratio`: by how much a clip that is all off screen became quieter.

References
----------
Tzinis et al. 2021, "Into the Wild with AudioScope", arXiv:2011.01143 (both metrics and their medians).
Le Roux et al. 2019, "SDR - half-baked or well done?", arXiv:1811.02508 (the same ratio as SI-SDR).
"""

import torch
from torch import Tensor

from pipeline.metrics.signal_products import CAP_DB


def validate(reference: Tensor, estimate: Tensor, name: str = "reference") -> None:
    """Refuse pairs of waveforms [.., T] that no ratio is defined for.

    Raises:
        ValueError: shapes differ, T is 0, a sample is not finite, or a reference (called `name`) is silent.
    """
    if reference.shape != estimate.shape or reference.ndim == 0 or reference.shape[-1] == 0:
        raise ValueError(
            f"{name} {list(reference.shape)} and estimate {list(estimate.shape)}: expected the same [.., T], T >= 1."
        )
    for role, waveform in ((name, reference), ("estimate", estimate)):
        if not torch.isfinite(waveform).all():
            raise ValueError(
                f"{role}: holds NaN or infinity, expected finite samples. Look at the clip or checkpoint it came from."
            )
    silent = ~(reference != 0).any(dim=-1)
    if silent.any():
        raise ValueError(
            f"{name}: {int(silent.sum())} of {silent.numel()} waveforms are silent, and a ratio to silence is not "
            f"defined. Leave them out, for example with {name}.any(dim=-1)."
        )


def si_snr(reference: Tensor, estimate: Tensor) -> Tensor:
    """Scale-invariant signal-to-noise ratio [..] in dB, within +-CAP_DB, float64; the estimate's gain plays no role.

    10 log10(|a t|^2 / |a t - y|^2) with a = (t y) / |t|^2, t the reference and y the estimate: AudioScope,
    arXiv:2011.01143. The residual is formed on the waveforms: its energy is never a difference of two large energies.
    A silent or orthogonal estimate has -CAP_DB; a copy of the reference at any gain, also a negative one, has +CAP_DB.

    Args:
        reference: [.., T] the wanted sound, not silent.
        estimate: [.., T] what is judged, any gain.
    Raises:
        ValueError: see `validate`.

    >>> si_snr(torch.tensor([1.0, 0.0]), torch.tensor([5.0, 0.5])).item()  # amplitudes 10 to 1
    20.0
    """
    validate(reference, estimate)
    target, judged = _unit_peak(reference), _unit_peak(estimate)
    scaled = target * ((target * judged).sum(dim=-1) / target.square().sum(dim=-1))[..., None]
    # A silent estimate is 0 / 0 here; it has recovered nothing, hence the lower limit.
    return _ratio_db(_energy(scaled), _energy(judged - scaled)).nan_to_num(nan=-CAP_DB)


def off_screen_suppression_ratio(mixture: Tensor, estimate: Tensor) -> Tensor:
    """Off-screen suppression ratio [..] in dB, at most CAP_DB, float64: by how much the estimate is quieter.

    10 log10(|x|^2 / |y|^2), x the mixture and y the on-screen estimate, for clips where no sound is on screen:
    AudioScope, arXiv:2011.01143. CAP_DB for a silent estimate. Not bounded below by 0: sources that cancelled in the
    mixture can be louder once only some of them are kept.

    Args:
        mixture: [.., T] the input, not silent, all of it off screen.
        estimate: [.., T] the on-screen estimate on the same scale.
    Raises:
        ValueError: see `validate`.
    """
    validate(mixture, estimate, name="mixture")
    return _ratio_db(_energy(mixture.double()), _energy(estimate.double()))


def _unit_peak(waveform: Tensor) -> Tensor:
    """Waveform [.., T] in float64 with its largest sample at 1, so that energies of tiny signals do not underflow."""
    exact = waveform.double()
    peak = exact.abs().amax(dim=-1, keepdim=True)
    return exact / torch.where(peak > 0, peak, 1.0)


def _energy(waveform: Tensor) -> Tensor:
    return waveform.square().sum(dim=-1)


def _ratio_db(signal: Tensor, noise: Tensor) -> Tensor:
    """10 log10(signal / noise) [..] within +-CAP_DB; NaN only for 0 / 0."""
    return (10 * torch.log10(signal / noise)).clamp(-CAP_DB, CAP_DB)
