"""The actor between the processes of a training and the driver. It imports nothing, so that it starts at once."""


class ProgressActor:
    """Holds the last report of rank 0, and an error of any rank that a restart would repeat, until the driver asks."""

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
