"""The `earshot` command: one subcommand per file of this folder, in the order of the data's flow."""

import importlib
import sys

import click
import typer

from cluster.faults import PartError
from pipeline.errors import ConfigError, EarshotError
from schemas.fields import SchemaError

app = typer.Typer(
    help="From a bucket of videos to clips whose sound is on screen, models that separate it, and tables to query.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
WHOLE = ("run", "demo")
STAGES = ("world", "plan", "shard", "train", "score", "label", "filter", "mix", "evaluate", "report")
COMMANDS = (*WHOLE, *STAGES, "query", "separate")

CONFIG_EXIT, FAILURE_EXIT = 2, 1


def main() -> None:
    """Run a command. Exit code 2: what was asked for cannot be done, and nothing was. 1: it failed on the way."""
    # only what was asked for is imported: `earshot query` need not wait for torch and Ray
    for name in [sys.argv[1]] if sys.argv[1:2] and sys.argv[1] in COMMANDS else COMMANDS:
        app.command(name)(importlib.import_module(f"jobs.{name}").command)
    if not app.registered_callback:
        app.callback()(lambda: None)  # keeps one command a subcommand
    try:
        app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(CONFIG_EXIT)
    except click.Abort:
        sys.exit(130)
    except (ConfigError, ConnectionError) as error:
        print(f"earshot: {error}", file=sys.stderr)
        sys.exit(CONFIG_EXIT)
    except (EarshotError, SchemaError, PartError) as error:
        print(f"earshot: {error}", file=sys.stderr)
        sys.exit(FAILURE_EXIT)


if __name__ == "__main__":
    main()
