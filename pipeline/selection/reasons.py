"""The first rule that refuses each of some clips, held as numbers: to compare texts would take ten times as long."""

import collections

import numpy as np
import pyarrow as pa

KEPT = "kept"


class Reasons:
    """Of n clips, the first rule that refuses each."""

    def __init__(self, num_clips: int) -> None:
        self._names, self._numbers = [KEPT], np.zeros(num_clips, np.int32)

    @property
    def passed(self) -> np.ndarray:
        """[n] whether no rule refuses the clip so far."""
        return self._numbers == 0

    def refuse(self, refused: np.ndarray, reason: str) -> np.ndarray:
        """Give a reason to those clips of `refused`, [n] bool, that have none yet; return [n] which those are."""
        is_first = refused & self.passed
        self._numbers[is_first] = len(self._names)
        self._names.append(reason)
        return is_first

    def has(self, reason: str) -> np.ndarray:
        """[n] whether the clip was refused for this reason."""
        return np.isin(self._numbers, [number for number, name in enumerate(self._names) if name == reason])

    def part(self, first: int, num_clips: int) -> "Reasons":
        """Those of `num_clips` clips from the first; what is refused later is refused of these alone."""
        found = Reasons(0)
        found._names, found._numbers = self._names.copy(), self._numbers[first : first + num_clips].copy()
        return found

    def texts(self) -> pa.Array:
        """[n] the reason of each clip, or KEPT."""
        return pa.array(self._names, pa.string()).take(pa.array(self._numbers))

    def count(self) -> dict[str, int]:
        """Clips by reason; of several rules with one reason, those of all."""
        counts = collections.Counter[str]()
        for name, number in zip(self._names, np.bincount(self._numbers).tolist(), strict=False):
            counts.update({name: number} if number else {})
        return counts
