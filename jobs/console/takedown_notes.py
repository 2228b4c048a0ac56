"""What commands that only read say of a takedown that is at work or was stopped half way.

Design note: a command that gives clips, pictures or sounds out, or writes a page into the root or rows to a file,
refuses, because what it writes would outlast the removal. One that answers on the terminal, or reads weights alone,
says so and goes on: it leaves nothing behind, and a takedown may have to be looked into.
"""

from typing import TYPE_CHECKING

from jobs.console.messages import say
from jobs.console.remedies import explain
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.storage.workspace import Workspace


def check_takedown(workspace: "Workspace", command: str, out: str | None = None) -> None:
    """Say on stderr that a takedown is open, and how to end it; nothing where none is.

    Args:
        out: where the rows of the answer go; None for the terminal.
    Raises:
        ConfigError: a takedown is open, and the rows would go to a file.
    """
    from pipeline.storage.tombstones import check_finished

    try:
        check_finished(workspace)
    except ConfigError as error:
        if out is not None:
            raise
        say(f"{command}: {explain(error, command)}", "warning")
