"""The `earshot` command: one subcommand per file of this folder, in the order of the data's flow.

Design note: the list of commands is a table of names and help lines, and a command's module is imported once that
command was chosen, so that `earshot --help` and a typo wait for neither torch nor Ray.
"""

import signal
import sys
import threading
from types import FrameType
from typing import Annotated, Literal

import typer

from cluster.head_watch import note_exit_code
from jobs.console import exit_codes, logs, messages, progress
from jobs.console.endings import run_to_exit_code
from jobs.console.lazy_commands import LazyGroup
from pipeline import VERSION

COMMANDS = {
    "run": "Run every stage in order on a collection of videos.",
    "demo": "Run every stage on a synthetic world; say what it reached.",
    "world": "Render a small synthetic collection with full ground truth.",
    "doctor": "Check machines, root and collection before work begins.",
    "plan": "Estimate what cutting a collection will take.",
    "shard": "Cut a collection of videos or sounds into clips.",
    "train": "Train a model.",
    "score": "Score how well each clip's sound and picture belong together.",
    "features": "Extract features of each second of the clips.",
    "label": "Label clips, seconds and pixels of videos.",
    "ingest": "Take over a published data set of events, masks or words.",
    "export": "List clips for other tools, and write them as files.",
    "import": "Take in columns that other tools computed for clips.",
    "duplicates": "Find videos that are uploads of the same content.",
    "filter": "Decide which clips train and evaluate the next model.",
    "materialize": "Copy a selection's kept clips into shuffled training shards.",
    "card": "Write a data card and a manifest beside a selection's shards.",
    "mix": "Freeze evaluation sets of held-out videos.",
    "evaluate": "Measure the models on held-out clips.",
    "probe": "Measure what a linear classifier reads off frozen embeddings.",
    "report": "Write one HTML page about a workspace.",
    "status": "Show how far every stage of a workspace is.",
    "query": "Answer an SQL query over the tables of a workspace.",
    "match": "Judge whether a picture and a sound belong together.",
    "separate": "Separate the on-screen sound of videos.",
    "serve": "Separate videos for devices without a model, over HTTP.",
    "events": "Find when something is both seen and heard in videos.",
    "segment": "Find which pixels of videos make the sound that is heard.",
    "sync": "Find how late the sound of each face is, and who speaks.",
    "clean": "Remove a stage's work and all that was made from it.",
    "takedown": "Remove videos for good, wherever they are, and prove it.",
    "settings": "List every field that --set can change, with its meaning.",
}


def _show_version(is_asked: bool) -> None:
    if is_asked:
        print(f"earshot {VERSION}")
        raise typer.Exit


def build() -> typer.Typer:
    """The application; no command's module is imported."""
    app = typer.Typer(
        cls=LazyGroup,
        help="From a bucket of videos to clips whose sound is on screen, models that separate it, and tables to query. "
        "What a command prints is also in <root>/logs/ where it writes to a local workspace. " + exit_codes.HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(shared_options)
    for name, line in COMMANDS.items():
        app.command(name, help=line)(lambda: None)
    return app


def shared_options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version)
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Show no progress.", callback=progress.silence)] = False,
    log_format: Annotated[
        Literal["text", "json"],
        typer.Option(messages.OPTION, envvar=messages.VARIABLE, help="json: messages on stderr are JSON, one a line."),
    ] = "text",
) -> None:
    """The options of `earshot` itself; what each does is done by its callback."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; give its exit code, one of `exit_codes`."""
    exit_codes.begin()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    words = sys.argv[1:] if arguments is None else arguments
    command = next((word for word in words if word in COMMANDS), "")

    def work() -> None:
        messages.begin(words, command)
        build()(args=words, prog_name="earshot")

    with logs.recording(words):
        try:
            code = run_to_exit_code(work, command)
            note_exit_code(code)
            return code
        finally:
            progress.silence(False)  # -q is for one command, and a process may run others


def _interrupt(*_: int | FrameType | None) -> None:
    """A scheduler's SIGTERM ends a command as Ctrl-C does: locks are released, and the same command goes on."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
