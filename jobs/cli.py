"""The `earshot` command: one subcommand per file of this folder, in the order of the data's flow."""

import importlib
import signal
import sys
import threading
from types import FrameType

import typer

from cluster.faults import PartError
from pipeline.errors import ConfigError, EarshotError
from pipeline.storage.files import remote_errors
from schemas.fields import SchemaError

WHOLE = ("run", "demo")
STAGES = ("world", "plan", "shard", "train", "score", "label", "filter", "mix", "evaluate", "report")
COMMANDS = (*WHOLE, *STAGES, "query", "separate", "settings")
CONFIG_EXIT, FAILURE_EXIT, INTERRUPTED_EXIT = 2, 1, 130


def build(names: tuple[str, ...]) -> typer.Typer:
    """The application with these subcommands; only their modules are imported."""
    app = typer.Typer(
        help="From a bucket of videos to clips whose sound is on screen, models that separate it, and tables to query.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(lambda: None)  # keeps a single command a subcommand
    for name in names:
        app.command(name)(importlib.import_module(f"jobs.{name}").command)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run a command; give its exit code: 2 if what was asked for cannot be done, and nothing was; 1 if it failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    # `earshot query` need not wait for torch and Ray; `earshot --help` needs every module's words
    names = (arguments[0],) if arguments and arguments[0] in COMMANDS else COMMANDS
    try:
        build(names)(args=arguments, prog_name="earshot")
    except SystemExit as end:  # of --help, of a wrong option, of an interrupt, and of a command that is done
        if end.code == INTERRUPTED_EXIT:
            print("earshot: stopped. The same command goes on from here.", file=sys.stderr)
        return end.code if isinstance(end.code, int) else FAILURE_EXIT
    except remote_errors() as error:
        print(
            f"earshot: s3: {error}. Check AWS_ENDPOINT_URL, credentials and the bucket's name; for a published list, "
            "the network, --media, or EARSHOT_PUBLIC_ENDPOINT_URL.",
            file=sys.stderr,
        )
        return CONFIG_EXIT
    except (ConfigError, ConnectionError) as error:
        print(f"earshot: {error}", file=sys.stderr)
        return CONFIG_EXIT
    except (EarshotError, SchemaError, PartError) as error:
        print(f"earshot: {error}", file=sys.stderr)
        return FAILURE_EXIT
    return 0


def _interrupt(*_: int | FrameType | None) -> None:
    """A scheduler's SIGTERM ends a command as Ctrl-C does: locks are released, and the same command goes on."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
