"""Two stages at work together: what the second is given by `map_parts`. Without Ray."""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

from cluster.resources import WorkerResources


@dataclasses.dataclass(frozen=True)
class Follow:
    """A second stage, whose workers take each part that the first has done, as long as the first goes on.

    What it leaves, parts that fail among it, is left to a mapping of its own.
    """

    work: Callable[[str], Any]
    needs: WorkerResources
    """They are stateful."""
    on_result: Callable[[Any], None]
    """Is given each part's result, on the driver."""
    done: Collection[str] = ()
    """Parts that it has done in earlier runs."""
