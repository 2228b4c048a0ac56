"""What the model found in a video, window by window: rows for `separation.json`, and where it looked over time."""

import math
from typing import Any

import numpy as np

from pipeline.clip_specs import ClipSpec
from pipeline.inference.estimates import Estimate
from pipeline.media.overlay import Maps

DIGITS = 4


class Record:
    """Rows and maps of one video, of windows in their order.

    Args:
        spec: what the model sees.
        has_verdicts: whether it knows what is on screen.
        attention_s: keep where each source looks, of windows that begin before this.
    """

    def __init__(self, spec: ClipSpec, has_verdicts: bool, attention_s: float = 0.0) -> None:
        self.spec, self._has_verdicts, self._attention_s = spec, has_verdicts, attention_s
        self.rows: list[dict[str, Any]] = []
        self.attention: list[np.ndarray] = []
        """[S, rows, columns] of each window, the mean over its frames; nothing of a model that gives none."""
        self._maps: dict[int, list[np.ndarray]] = {}  # by tick, of each window that holds it

    def add(self, estimate: Estimate, weights: np.ndarray | None) -> None:
        """Take in a window.

        Args:
            estimate: its sources.
            weights: [S] how much of each source is kept; None where spans decide at the end.
        """
        window, rate_hz = estimate.window, self.spec.sample_rate_hz
        powers = np.square(estimate.sources, dtype=np.float64).mean(axis=1)
        row: dict[str, Any] = {
            "start_s": round(window.start / rate_hz, DIGITS),
            "end_s": round(window.end / rate_hz, DIGITS),
            "level_db": [round(max(-120.0, 10 * math.log10(power + 1e-30)), 1) for power in powers],
        }
        if self._has_verdicts:
            row["probability"] = [round(float(each), DIGITS) for each in estimate.probabilities]
            self._look(estimate, powers)
            if estimate.attention.ndim == 4 and row["start_s"] < self._attention_s:
                self.attention.append(estimate.attention.mean(axis=1))
        if weights is not None:
            row["gain"] = [round(float(each), DIGITS) for each in weights]
        self.rows.append(row)

    def _look(self, estimate: Estimate, powers: np.ndarray) -> None:
        """Add where the sources on screen were looked for: their attention, by probability and share of power."""
        if estimate.attention.ndim < 4 or not powers.sum():
            return
        looked = np.tensordot(estimate.probabilities * powers / powers.sum(), estimate.attention, 1)
        start_s = estimate.window.start / self.spec.sample_rate_hz - self.spec.frame_offset_s
        first = math.ceil(start_s * self.spec.frame_rate_hz - 1e-6)
        for tick, cells in enumerate(looked, start=first):
            self._maps.setdefault(tick, []).append(cells)

    def maps(self, box: tuple[float, float, float, float]) -> Maps | None:
        """Where the sounds on screen are, at each of the spec's ticks; the highest value is 1. None without attention.

        Args:
            box: where the picture lies in the model's frame.
        """
        if not self._maps:
            return None
        values = np.stack([np.mean(self._maps[tick], axis=0) for tick in sorted(self._maps)])
        start_s = min(self._maps) / self.spec.frame_rate_hz + self.spec.frame_offset_s
        return Maps(values / max(values.max(), 1e-12), self.spec.frame_rate_hz, max(0.0, start_s), box)
