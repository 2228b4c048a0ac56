"""The command line, run in this process."""

import contextlib
import io

from jobs.cli import main
from jobs.console import progress


def earshot(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(arguments))
        finally:
            progress.silence(False)  # -q is for one command, and this process runs others
    return code, out.getvalue(), err.getvalue()
