"""Answers of SQL queries over the workspace's tables: for a terminal, or as a file that other programs read."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from jobs.console.answers import Format, check_out, give
from jobs.console.options import ReadRoot
from jobs.console.takedown_notes import check_takedown
from pipeline.errors import ConfigError

MAX_ROWS = 50


def command(
    root: ReadRoot,
    sql: Annotated[str | None, typer.Argument(help="One SELECT, in DuckDB's SQL, over the views of --columns.")] = None,
    file: Annotated[
        str | None, typer.Option(help="File with the SELECT in place of SQL; - for standard input.")
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="Your own CSV, JSON lines or Parquet as a further view. Repeatable."),
    ] = None,
    columns: Annotated[bool, typer.Option("--columns", help="List every view's columns, units and meaning.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show how it would be answered; run nothing.")] = False,
    format: Annotated[
        Format | None,
        typer.Option(help="table shows 50 rows, the others give all. Default: by the name of --out; else table."),
    ] = None,
    out: Annotated[str | None, typer.Option(help="File or s3:// address to write the answer to.")] = None,
) -> None:
    """Answer an SQL query over the tables of a workspace.

    Reads the tables that the query names; --columns lists their columns. Writes nothing but --out. Beside DuckDB's own
    functions there are median_interval(x, video_id) and mean_interval(x, video_id): a figure with its 95 % interval.

    Example: earshot query --root my_workspace "SELECT eval_set, median(si_snr_db) FROM examples GROUP BY 1"
    """
    from pipeline.reports.querying import describe_table, stream
    from pipeline.reports.querying import explain as plan
    from pipeline.storage.workspace import open_workspace

    workspace = open_workspace(root)
    check_takedown(workspace, "query", out)
    text = _read_sql(sql, file)
    if columns or text is None:
        give("query", describe_table(workspace).to_reader(), format, out, None)
        if not columns:
            raise ConfigError("earshot query: no SQL given. Above are the views; see `earshot query --help`.")
        return
    own = dict(_own_table(given) for given in table or [])
    if explain:
        print(plan(workspace, text, own))
        return
    check_out(out, workspace.root)
    with stream(workspace, text, own) as reader:
        give("query", reader, format, out, MAX_ROWS)


def _read_sql(sql: str | None, file: str | None) -> str | None:
    """The SQL of the argument, a file or standard input; None if none is given."""
    if sql is not None and file is not None:
        raise ConfigError("earshot query: SQL and --file: expected one of them.")
    if file is None:
        return sql
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--file {file}: {error}. Expected a text file with one SELECT.") from error


def _own_table(given: str) -> tuple[str, str]:
    """Name and address of NAME=FILE."""
    name, equals, uri = given.partition("=")
    if not equals:
        raise ConfigError(f"--table {given}: expected NAME=FILE, such as --table votes=votes.csv.")
    return name, uri
