"""The failure policy: what is tried again and how often, what is waited for, what sets a part aside, what stops a run.

| what happens | what follows |
|---|---|
| a worker, its node or its memory dies | the part is tried again elsewhere, up to MAX_RETRIES times for each part |
| a part outlasts its wall-clock limit | its worker is killed, which is the case above |
| a part raises, or its workers died more often | it is set aside, the others go on; QuarantineError at the end |
| a task of several parts fails | each of its parts is tried alone, so that only the part at fault is set aside |
| MAX_ALIKE parts fail alike, and none finishes | no more is handed out; if those in flight fail too, the run stops |
| a part raises what concerns the whole run: settings, an outage | the run stops at once with PartError |
| a training worker dies | the group starts again from the last checkpoint, up to MAX_TRAINING_FAILURES times |
| the same, after a further step | the count begins anew; what no restart can mend ends the run at once |
| a node is to be taken away | training saves a checkpoint at its next step and starts again on the other nodes |
| nodes are gone for good | training goes on with fewer workers where it may, else it waits MAX_NODE_WAIT_S for others |
| nodes come | training with fewer than its most workers saves a checkpoint and starts again with more |
| a store does not answer, or a disk is full | work waits up to outages.LIMIT_S (600 s), then raises OutageError |
| an object's content breaks off | the rest is asked for, s3.READ_ATTEMPTS (5) requests in all; then the part raises |
| a wrong key, no such bucket, access denied | no second try: the command stops, and says what to do |
| one video is missing, damaged or refused | a row with the reason; nothing is tried again, nothing stops |
| a cluster's head does not answer | work waits head_watch.LOST_S (40 s), then the command stops; Ray ends it at 60 |
| a driver dies | its lease ends after locking.EXPIRE_S (120 s) without a renewal; on its own machine at once |
"""

from collections.abc import Mapping

# A part whose worker died once was unlucky, with a node that was taken away; one that kills four workers is at fault.
MAX_RETRIES = 3
# Without a step between them; so a node that is lost every hour stops no training of days.
MAX_TRAINING_FAILURES = 3
MAX_NODE_WAIT_S = 600.0  # a cloud replaces a node in 2 to 5 minutes
# A cause of each part's own that hits so many, one after the other with no part done between, is a cause of all.
MAX_ALIKE = 10
MAX_NAMED = 10  # parts that a message names


class PartError(Exception):
    """A part that failed so that the run stops; the cause is attached."""

    def __init__(self, part: str, cause: BaseException, note: str = "") -> None:
        super().__init__(f"part {part}: {type(cause).__name__}: {cause}{note}")
        self.part = part
        self.cause = cause


class QuarantineError(PartError):
    """Parts that failed for reasons of their own, while all others were finished; the first cause is attached."""

    def __init__(self, causes: Mapping[str, BaseException]) -> None:
        self.causes = dict(causes)
        super().__init__(*next(iter(self.causes.items())))
        named = [f"{part}: {_first_line(cause)}" for part, cause in sorted(self.causes.items())[:MAX_NAMED]]
        more = f"; and {len(self.causes) - MAX_NAMED} more" if len(self.causes) > MAX_NAMED else ""
        which = "this part failed" if len(self.causes) == 1 else f"these {len(self.causes)} parts failed"
        again = "it" if len(self.causes) == 1 else "them"
        self.args = (
            f"{which}: {'; '.join(named)}{more}. The others are finished; the same command tries {again} again.",
        )


class Quarantine:
    """Parts set aside because they failed, and whether so many failed alike that the cause is not their own."""

    def __init__(self) -> None:
        self.causes: dict[str, BaseException] = {}
        """Why each part was set aside."""
        self._alike: list[BaseException] = []
        """Of the last failures those of one type, with no part finished between."""

    @property
    def suspects(self) -> bool:
        """Whether the last part to end failed: the next one had better be of another kind."""
        return bool(self._alike)

    @property
    def is_full(self) -> bool:
        """Whether no more parts should be handed out before one of those in flight is done."""
        return len(self._alike) >= MAX_ALIKE

    def add(self, part: str, cause: BaseException) -> None:
        """Set a part aside."""
        self.count(cause)
        self.causes[part] = cause

    def count(self, cause: BaseException) -> None:
        """Count a failure, whichever part's it is."""
        is_alike = not self._alike or type(self._alike[0]) is type(cause)
        self._alike = [*self._alike, cause] if is_alike else [cause]

    def clear(self) -> None:
        """A part is done: what failed before it were parts."""
        self._alike = []

    def stop(self, part: str) -> PartError:
        """The error that ends the run when all in flight failed alike, the last of them this part."""
        note = (
            f" It and {len(self._alike) - 1} others failed with {type(self._alike[0]).__name__} one after the other, "
            "so the cause is not a part's own. Parts that finished stay finished."
        )
        return PartError(part, self._alike[-1], note)

    def check(self) -> None:
        """Every part was tried.

        Raises:
            QuarantineError: some are set aside.
        """
        if self.causes:
            raise QuarantineError(self.causes)


def _first_line(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {next(iter(str(cause).splitlines()), '')}".rstrip(": .")


class StartError(ConnectionError):
    """A Ray that did not start on this machine, such as a busy one: the same command goes on later."""


class UnsharedError(Exception):
    """A local folder that not every node of the cluster has; the message names folder and node."""
