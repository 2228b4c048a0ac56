"""The errors a user can meet, and the three fates they lead to.

    EarshotError
    |- ConfigError   what was asked for cannot be done: one message and exit code 2, before any work is scheduled
    |- ClipError     one video or clip cannot be used: it becomes a row with `reason`, and the run goes on
    |- DataError     what lies on disk is not what its schema or its rows say: its part fails, and the file is named
       |- MissingError   nothing can be read at an address: a video there becomes a row with `missing`
       |- UnreadError    what is there could not be read this time: no credentials, broken off, a failing disk
          |- RefusedError   refused for a reason that is the file's own, such as archived: a video becomes `refused`
    |- OutageError   a store that did not answer, or a disk that stayed full, for as long as work waits: stops the run

Anything else is a defect or a failing machine: it propagates to `cluster/faults.py`, which decides about retries.
A message says where, what was found, what was expected, and what to do; what to type is added by the command.
"""

import difflib
from collections.abc import Iterable


class EarshotError(Exception):
    """Base of every error raised on purpose.

    Args:
        message: where, what was found, what was expected; no word of a command line.
        topic: names the remedy, for a command to add (`jobs/console/remedies.py`); "" if the message says what to do.
        facts: what the remedy is made of, such as the folder and the root.
    """

    def __init__(self, message: str = "", topic: str = "", **facts: str) -> None:
        super().__init__(message)
        self.topic, self.facts = topic, facts


class ConfigError(EarshotError):
    """A setting, a path or an order of stages that cannot work; nothing has been scheduled yet."""


class ClipError(EarshotError):
    """One video or clip that cannot be used; `reason` is the word its row will carry as `outcome`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class DataError(EarshotError):
    """A table, tar or checkpoint that is damaged, of another version, or not what its rows promise."""


class MissingError(DataError):
    """An address where no file is, or none that may be read: another try finds the same until someone mends it."""


class UnreadError(DataError):
    """A file that is there and could not be read, for a reason that may pass: another try may succeed."""


class RefusedError(UnreadError):
    """A file that a store refuses for a reason of its own: archived, its key disabled, forbidden by a policy."""


class OutageError(EarshotError):
    """What work waited for in vain (`storage/outages.py`): no fault of what was asked for, nor of one file."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names that a wrong name may be a misspelling of, after a space; "" where none is near.

    >>> did_you_mean("num_steps", ["matching.num_steps", "training.num_steps", "training.batch_size"])
    ' Did you mean matching.num_steps or training.num_steps?'
    >>> did_you_mean("fitlering", ["sharding", "filtering"])
    ' Did you mean filtering?'
    """
    fields: dict[str, list[str]] = {}
    for full in known:
        fields.setdefault(full.rpartition(".")[2], []).append(full)
    groups, _, field = name.rpartition(".")
    nearest = [field] if field in fields else difflib.get_close_matches(field, fields, n=1, cutoff=0.7)
    near = fields[nearest[0]] if nearest else []
    if groups:
        near = difflib.get_close_matches(name, near, n=1) or near
    *others, last = near or [""]
    return f" Did you mean {', '.join(others)}{' or ' if others else ''}{last}?" if near else ""
