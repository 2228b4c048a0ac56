"""Answers of SQL queries over the workspace's tables, as a table, CSV or JSON lines."""

import csv
import io
import json
import math
import sys
from typing import Annotated, Any, Literal

import typer

from jobs.console.options import ReadRoot
from jobs.console.progress import printable
from pipeline.errors import ConfigError

MAX_ROWS = 50


def command(
    root: ReadRoot,
    sql: Annotated[str | None, typer.Argument(help="One SELECT, in DuckDB's SQL, over the views of --columns.")] = None,
    columns: Annotated[bool, typer.Option("--columns", help="List every view's columns, units and meaning.")] = False,
    format: Annotated[
        Literal["table", "csv", "json"], typer.Option(help="How to print; csv and json print all.")
    ] = "table",
) -> None:
    """Answer an SQL query over the tables of a workspace.

    Reads the tables that the query names; --columns lists their columns. Writes nothing.

    Example: earshot query --root my_workspace "SELECT eval_set, median(si_snr_db) FROM examples GROUP BY 1"
    """
    from jobs.console.tables import show
    from pipeline.reports.querying import describe, query
    from pipeline.storage.workspace import open_workspace

    workspace = open_workspace(root)
    if columns or sql is None:
        show(["view", "column", "type", "unit", "meaning"], [list(row) for row in describe()])
        if sql is None and not columns:
            raise ConfigError("earshot query: no SQL given. Above are the views; see `earshot query --help`.")
        return
    table = query(workspace, sql)
    if format == "json":
        print("\n".join(json.dumps(_without_nan(row), default=str) for row in table.to_pylist()))
    elif format == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([table.column_names, *map(dict.values, table.to_pylist())])
        lines = text.getvalue().split("\n")
        if sys.stdout.isatty():  # a file or a program gets what is stored, a terminal nothing that it would obey
            lines = list(map(printable, lines))
        print("\n".join(lines), end="")
    else:
        show(table.column_names, [list(row.values()) for row in table.slice(0, MAX_ROWS).to_pylist()])
        if len(table) > MAX_ROWS:
            print(f"{len(table)} rows, the first {MAX_ROWS} shown. --format csv prints all.")


def _without_nan(value: Any) -> Any:
    """A value as JSON has it: null for a number that is none."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
