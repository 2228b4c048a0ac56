"""What is tried again, how often, and what stops a run.

| what happens | what follows |
|---|---|
| a worker, its node or its memory dies | the part is tried again elsewhere, up to MAX_RETRIES times for each part |
| a part outlasts its wall-clock limit | its worker is killed, which is the case above |
| a part raises | the run stops with PartError, which names the part; parts that finished stay finished |
| a training worker dies | the group starts again from the last checkpoint, up to MAX_TRAINING_FAILURES times |
| the same, after a further step | the count begins anew; what no restart can mend ends the run at once |
"""

MAX_RETRIES = 3
MAX_TRAINING_FAILURES = 3


class PartError(Exception):
    """A part that failed for a reason of its own, or more often than MAX_RETRIES; the cause is attached."""

    def __init__(self, part: str, cause: BaseException) -> None:
        super().__init__(f"part {part}: {type(cause).__name__}: {cause}")
        self.part = part
        self.cause = cause
