"""What commands that only read say of a takedown that is at work or was stopped half way.

Design note: a command that gives clips, pictures or sounds out, or writes a page into the root, refuses, because what
it writes would outlast the removal. One that answers on the terminal, or reads weights alone, says so and goes on: it
leaves nothing behind, and a takedown may have to be looked into.
"""

from typing import TYPE_CHECKING

from jobs.console.messages import say
from jobs.console.remedies import explain
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.storage.workspace import Workspace


def warn_of_takedown(workspace: "Workspace", command: str) -> None:
    """Say on stderr that a takedown is open, and how to end it; nothing where none is."""
    from pipeline.storage.tombstones import check_finished

    try:
        check_finished(workspace)
    except ConfigError as error:
        say(f"{command}: {explain(error, command)}", "warning")
