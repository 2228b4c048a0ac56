"""The exit codes of every command, for schedulers and scripts."""

DONE, FAILED, REFUSED, PARTIAL, INTERRUPTED = 0, 1, 2, 3, 130
HELP = (
    f"Exit codes: {DONE} done; {FAILED} failed on the way, and the same command goes on; {REFUSED} refused before any "
    f"work, so change what was asked for; {PARTIAL} done, with more rejects than --max-reject-rate; "
    f"{INTERRUPTED} stopped."
)
_is_work_done = False


class PartialError(Exception):
    """All work is done, and more of it is rejects than was allowed."""


def begin() -> None:
    """Note that a command begins."""
    global _is_work_done
    _is_work_done = False


def note_work() -> None:
    """Note that a part or a step of the running command is done: from here on an error is a failure."""
    global _is_work_done
    _is_work_done = True


def of_refusal() -> int:
    """The code for what cannot be done as it was asked for: FAILED where an hour of work came before."""
    return FAILED if _is_work_done else REFUSED
