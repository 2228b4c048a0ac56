"""What a source says of a video's use for training, and what follows where several sources say something.

Any refusal wins, as the AI Preferences vocabulary has it for several statements; then any permission; a source that
says nothing changes nothing.
"""

from collections.abc import Iterable
from typing import NamedTuple

from schemas.videos import Rights


class Statement(NamedTuple):
    """What one source says, or what follows from several."""

    rights: Rights
    read_from: str | None
    """Where that was read, such as `column content_usage`; None where no source says anything."""


NOTHING = Statement("unknown", None)


def combine(statements: Iterable[Statement]) -> Statement:
    """The first refusal, else the first permission, else the first source that was looked at.

    >>> combine([Statement("train", "column rights"), Statement("no_train", "column content_usage")])
    Statement(rights='no_train', read_from='column content_usage')
    >>> combine([NOTHING])
    Statement(rights='unknown', read_from=None)
    """
    found = list(statements)
    for rights in ("no_train", "train"):
        for statement in found:
            if statement.rights == rights:
                return statement
    return next((statement for statement in found if statement.read_from is not None), NOTHING)
