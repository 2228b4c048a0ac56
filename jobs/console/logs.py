"""The log of a command that works in a local workspace: what it prints, and a traceback, in `<root>/logs/`."""

import contextlib
import datetime
import shlex
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from jobs.console.messages import Lines, is_json, say_defect

LOGS_FOLDER = "logs"


class Log:
    """Text that is kept until the workspace of the command is known, and written to a file there from then on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.path: Path | None = None

    def add(self, text: str) -> None:
        """Append text; a progress bar moves the cursor, and is left out."""
        if "\x1b" in text or "\r" in text:
            return
        self.text += text
        if self.path is not None:
            with contextlib.suppress(OSError), self._append() as file:  # a full disk must not hide the message
                file.write(self.text)
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
            self.path = folder / f"{datetime.datetime.now():%Y%m%d-%H%M%S-%f}.log"
            self.add("")


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
