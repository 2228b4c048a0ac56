"""What libraries write to stderr by themselves: messages like ours, where messages are JSON."""

import traceback
from types import TracebackType
from typing import TextIO

from jobs.console.messages import is_json, say


class Lines:
    """A stderr that turns text of others into messages, once a line is whole; `whole` takes a line as it is."""

    def __init__(self, whole: TextIO) -> None:
        self.whole, self._begun = whole, ""

    def write(self, text: str) -> int:
        """Say each line as a warning, where messages are JSON; else write the text."""
        if not is_json():
            return self.whole.write(text)
        *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, lines):
            say(line, "warning")
        return len(text)

    def flush(self) -> None:
        """Flush the stream below."""
        self.whole.flush()

    def isatty(self) -> bool:
        """Whether a person looks on, at lines that are no JSON."""
        return not is_json() and self.whole.isatty()

    def __getattr__(self, name: str) -> object:
        return getattr(self.whole, name)


def say_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say what no command handles, as sys.excepthook does."""
    say("".join(traceback.format_exception(kind, error, trace)), "error")
