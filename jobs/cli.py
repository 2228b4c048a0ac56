"""The `earshot` command: one subcommand per file of this folder, in the order of the data's flow."""

import sys

import click
import typer

from cluster.faults import PartError
from jobs import demo, evaluate, filter, label, mix, plan, query, report, run, score, separate, shard, train, world
from pipeline.errors import ConfigError, EarshotError
from schemas.fields import SchemaError

app = typer.Typer(
    help="From a bucket of videos to clips whose sound is on screen, models that separate it, and tables to query.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS = (run, demo, world, plan, shard, train, score, label, filter, mix, evaluate, report, query, separate)
for module in COMMANDS:
    app.command(module.__name__.rpartition(".")[2])(module.command)

CONFIG_EXIT, FAILURE_EXIT = 2, 1


def main() -> None:
    """Run a command. Exit code 2: what was asked for cannot be done, and nothing was. 1: it failed on the way."""
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
