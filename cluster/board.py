"""The actor of one training between its processes and the driver. It imports nothing, so that it starts at once."""


class Board:
    """Where rank 0 leaves its last report, and any rank what no restart can mend, for the driver to read."""

    def __init__(self) -> None:
        self._last: tuple[int, dict[str, float]] = (0, {})
        self._error: Exception | None = None

    def refuse(self, error: Exception) -> None:
        """Leave an error that ends the training."""
        self._error = error

    def put(self, step: int, metrics: dict[str, float]) -> None:
        """Leave the figures of a step."""
        self._last = (step, metrics)

    def read(self) -> tuple[Exception | None, tuple[int, dict[str, float]]]:
        """The error, if there is one, and the last step with its figures."""
        return self._error, self._last
