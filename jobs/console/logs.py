"""The log of a command that works in a local workspace: what it prints, and a traceback, in `<root>/logs/`."""

import contextlib
import datetime
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from jobs.console.foreign_lines import Lines, say_defect
from jobs.console.messages import is_json

LOGS_FOLDER = "logs"


class Log:
    """Text that is kept until the workspace of the command is known, and written to a file there from then on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.path: Path | None = None
        self._clean: Callable[[str], str] = str
        """Takes out the names of videos that were taken down: a user's file may still have them."""

    def add(self, text: str) -> None:
        """Append text; a progress bar moves the cursor, and is left out."""
        if "\x1b" in text or "\r" in text:
            return
        self.text += text
        if self.path is not None:
            with contextlib.suppress(OSError), self._append() as file:  # a full disk must not hide the message
                file.write(self._clean(self.text))
            self.text = ""

    def _append(self) -> TextIO:
        assert self.path is not None
        return self.path.open("a", encoding="utf-8", errors="backslashreplace")  # names of files may be no UTF-8

    def open(self, root: str) -> None:
        """Write to a new file of a local workspace; an object store keeps no log, as objects do not grow."""
        from pipeline.storage import files  # it imports the client of object stores: not for `earshot --help`

        if self.path is None and files.store_at(root).is_local:
            folder = files.local_path(files.join(root, LOGS_FOLDER))
            folder.mkdir(parents=True, exist_ok=True)
            self._clean = _cleaner(root)
            self.path = folder / f"{datetime.datetime.now():%Y%m%d-%H%M%S-%f}.log"
            self.add("")


def _cleaner(root: str) -> Callable[[str], str]:
    """What replaces the names of the videos that were taken down from a workspace in a text."""
    from pipeline.storage.layout import TOMBSTONES
    from pipeline.storage.tombstones import read_tombstones
    from pipeline.storage.workspace import Workspace

    workspace = Workspace(root)
    if not Path(workspace.uri(TOMBSTONES)).is_dir():
        return str
    from pipeline.takedown.new_tombstones import names_of  # imports pyarrow

    return names_of(workspace, read_tombstones(workspace)).replaced_in


class Tee:
    """A stream of the terminal whose text goes to the log too."""

    def __init__(self, terminal: TextIO, log: Log) -> None:
        self._terminal, self._log = terminal, log

    def write(self, text: str) -> int:
        """Write to both."""
        self._log.add(text)
        return self._terminal.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)


_log = Log("")


def keep_in(root: str) -> None:
    """Log what the running command has printed, and will print, in this workspace."""
    _log.open(root)


@contextlib.contextmanager
def recording(arguments: list[str]) -> Iterator[None]:
    """Record what the block prints, and the traceback of an error that it does not handle itself."""
    global _log
    _log = Log(f"earshot {shlex.join(arguments)}\n")
    out: Any = Tee(sys.stdout, _log)
    err: Any = Lines(cast(TextIO, Tee(sys.stderr, _log)))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        except BaseException:
            _log.add(traceback.format_exc())
            if is_json():
                sys.excepthook = say_defect  # here, because typer puts its own there
            raise
