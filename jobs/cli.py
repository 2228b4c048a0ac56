"""The `earshot` command: one subcommand per file of this folder, in the order of the data's flow.

Design note: the list of commands is a table of names and help lines, and a command's module is imported once that
command was chosen, so that `earshot --help` and a typo wait for neither torch nor Ray.
"""

import copy
import importlib
import math
import signal
import sys
import threading
from types import FrameType
from typing import Annotated, Any, Literal

import typer
import typer.core

from cluster.faults import PartError, UnsharedError
from jobs.console import exit_codes, logs, messages, progress
from jobs.console.messages import say
from jobs.console.remedies import explain
from pipeline import VERSION
from pipeline.errors import ConfigError, EarshotError

COMMANDS = {
    "run": "Run every stage in order on a collection of videos.",
    "demo": "Run every stage on a synthetic world; say what it reached.",
    "world": "Render a small synthetic collection with full ground truth.",
    "doctor": "Check machines, root and collection before work begins.",
    "plan": "Estimate what cutting a collection will take.",
    "shard": "Cut a collection of videos into clips.",
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
# What is typed after an option or in place of an argument, by its name; NUMBER or NAME for the others.
WORDS = {
    **dict.fromkeys(("root", "out", "media", "folder", "masks"), "FOLDER"),
    **dict.fromkeys(("labels", "spans", "prices"), "FILE"),
    **dict.fromkeys(("picture", "sound", "pairs"), "FILE"),
    **{"dataset": "DATASET", "videos": "VIDEO", "region": "X,Y,W,H", "at": "X,Y", "span": "+FROM-TO"},
    **dict.fromkeys(("on_screen_gain", "off_screen_gain"), "DB"),
    **{"collection": "VIDEOS", "settings": "FIELD=VALUE", "address": "ADDRESS", "retry": "REASON", "stage": "STAGE"},
    **{"sql": "SQL", "deadline": "TIME", "learner": "LEARNER", "max_reject_rate": "SHARE"},
}
SHARED = ("quiet", "log_format")  # options of `earshot` that may also come after the command


class LazyGroup(typer.core.TyperGroup):
    """Lists commands by their lines in `COMMANDS`; imports the one that was chosen."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The chosen command's name, the command itself, and its arguments; for a typo the nearest names."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        if name is None:
            return name, placeholder, rest
        command = load(name)
        for option in (copy.copy(parameter) for parameter in self.params if parameter.name in SHARED):
            option.expose_value = False  # `earshot -q run` and `earshot run -q` are the same
            option.default = ctx.params.get(option.name, option.default)  # what came before the command
            command.params.append(option)
        return name, command, rest


def load(name: str) -> Any:
    """The command of a module of this folder, ready to parse its arguments."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(name)(importlib.import_module(f"jobs.{name}").command)
    command: Any = typer.main.get_command(app)
    for parameter in command.params:
        shown = parameter.type_descriptor
        if not (shown.is_choice or parameter.metavar or getattr(parameter, "is_flag", False)):
            word = "NUMBER" if shown.is_ranged or shown.annotation in (int, float) else "NAME"
            parameter.metavar = WORDS.get(parameter.name, word)
            parameter.display_type = lambda _: ""  # an argument's metavar, unlike an option's, does not replace it
        if shown.annotation is float:
            parameter.callback = _check_finite
    return command


def _check_finite(_: Any, option: Any, number: float | None) -> float | None:
    """An option's number, if it is finite: NaN exceeds no limit, and none is what infinity means as one."""
    if number is not None and not math.isfinite(number):
        raise ConfigError(f"{option.opts[0]} {number}: expected a finite number.")
    return number


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
    arguments = sys.argv[1:] if arguments is None else arguments
    with logs.recording(arguments):
        try:
            return _run(arguments)
        finally:
            progress.silence(False)  # -q is for one command, and a process may run others


def _run(arguments: list[str]) -> int:
    command = next((word for word in arguments if word in COMMANDS), "")
    try:
        messages.begin(arguments, command)
        build()(args=arguments, prog_name="earshot")
    except SystemExit as end:  # of --help, of a wrong option, of an interrupt, and of a command that is done
        if end.code == exit_codes.INTERRUPTED:
            say("earshot: stopped. The same command goes on from here.", "warning")
        return end.code if isinstance(end.code, int) else exit_codes.FAILED
    except (ConfigError, ConnectionError, UnsharedError) as error:
        _print_error(explain(error, command))
        return exit_codes.of_refusal()
    except exit_codes.PartialError as error:
        _print_error(str(error))
        return exit_codes.PARTIAL
    except (EarshotError, PartError, _schema_error()) as error:  # evaluated only for an error that is none of those
        _print_error(explain(error, command), getattr(error, "part", None))
        return exit_codes.FAILED
    except _remote_errors() as error:
        from pipeline.storage.files import advice

        _print_error(
            f"s3: {error}.{advice(error) or ' Check AWS_ENDPOINT_URL, credentials and the name of the bucket.'}"
        )
        return exit_codes.of_refusal()
    return exit_codes.DONE


def _print_error(text: str, part: str | None = None) -> None:
    """Print a message, which may contain names that others gave."""
    say("earshot: " + "\n".join(map(progress.printable, text.split("\n"))), "error", part)


def _schema_error() -> type[Exception]:
    from schemas.fields import SchemaError

    return SchemaError


def _remote_errors() -> tuple[type[Exception], ...]:
    from pipeline.storage.files import remote_errors

    return remote_errors()


def _interrupt(*_: int | FrameType | None) -> None:
    """A scheduler's SIGTERM ends a command as Ctrl-C does: locks are released, and the same command goes on."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
