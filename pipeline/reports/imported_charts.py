"""Columns that other tools computed for clips, drawn: how their values are spread, and how many clips have one.

Comes in: the imported tables of a workspace. Goes out: for each table what its columns are, a histogram of each column
of numbers, and counts of truth values, of short texts, and of numbers that take few values. Our own measures of clips
(`measured_charts.py`) are drawn by the same rules.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.formatting import format_number
from pipeline.outside.imported_types import imported_schemas
from pipeline.reports.charts import Chart, bar_chart
from pipeline.reports.overview import share
from pipeline.reports.querying import query_all
from pipeline.storage.layout import IMPORTED
from pipeline.storage.workspace import Workspace

NUM_BINS = 20
MAX_DRAWN = 24  # columns of a table: 2 kB each, and a reader looks at no more
MAX_VALUES = 10  # that are counted; the others are counted together
MAX_LETTERS = 40  # of a text that is a name of something, not prose or a path
TAIL = 0.005  # of the values at each end, which the first and the last bar take in: one outlier squeezes no chart


class Count(NamedTuple):
    """How many clips have a value."""

    value: str
    n: int
    share: float
    """Of the clips that have any, 0 to 1."""


class Column(NamedTuple):
    """A column of a table about clips."""

    name: str
    """Untrusted text, as the values are."""
    holds: str
    """What, in words."""
    num_values: int
    """Clips that have one."""
    coverage: str
    """Their share of the clips, as text."""
    chart: Chart | None
    counts: list[Count]


class ImportedTable(NamedTuple):
    """An imported table."""

    name: str
    num_rows: int
    num_clips: int
    """Clips that there were at the time of the import, with a row or without."""
    columns: list[Column]


def list_imported(workspace: Workspace) -> list[ImportedTable]:
    """Every imported table with its columns; two passes over each."""
    tables = []
    for name, schema in imported_schemas(workspace).items():
        num_clips = workspace.stage(f"{IMPORTED}/{name}").get("num_clips")
        num_rows, columns = draw_columns(workspace, name, list(schema)[1:], num_clips)  # after clip_id
        tables.append(ImportedTable(name, num_rows, num_rows if num_clips is None else num_clips, columns))
    return tables


def draw_columns(
    workspace: Workspace, source: str, fields: Sequence[pa.Field], num_clips: int | None, labels: Sequence[str] = ()
) -> tuple[int, list[Column]]:
    """How many rows a source has, and its columns.

    Args:
        source: what SQL takes them from: a view, or a query in brackets.
        fields: the columns.
        num_clips: of which the coverage is a share; None for that of the rows.
        labels: names of the columns for people. Default: their own.
    """
    of_column = [f"{{n: count({_quoted(field)}), {_facts(field)}}} AS f{i}" for i, field in enumerate(fields)]
    asked = {"facts": f"SELECT count(*) AS num_rows, {', '.join(of_column) or 'NULL AS none'} FROM {source}"}
    (facts,) = query_all(workspace, asked)["facts"].to_pylist()
    kinds = [_kind(field, facts[f"f{i}"]) for i, field in enumerate(fields)]
    drawn = [i for i, kind in enumerate(kinds) if kind is not None][:MAX_DRAWN]
    asked = {f"f{i}": str(kinds[i]).format(column=_quoted(fields[i]), table=source) for i in drawn}
    found = query_all(workspace, asked)
    total = facts["num_rows"] if num_clips is None else num_clips
    columns = []
    for i, field in enumerate(fields):
        label = labels[i] if labels else field.name
        rows = found[f"f{i}"].to_pylist() if i in drawn else []
        num_values = facts[f"f{i}"]["n"]
        chart = _histogram(rows, label) if kinds[i] is SPREAD else None
        counts = _counts(rows, num_values) if rows and kinds[i] is VALUES else []
        columns.append(Column(label, _describe_kind(field.type), num_values, share(num_values, total), chart, counts))
    return facts["num_rows"], columns


def _quoted(field: pa.Field) -> str:
    return '"' + field.name.replace('"', '""') + '"'


def _facts(field: pa.Field) -> str:
    """How many values it takes, about, and how long its texts are."""
    if pa.types.is_list(field.type):
        return "distinct_values: 0, letters: 0"
    letters = f"max(length({_quoted(field)}))" if pa.types.is_string(field.type) else "0"
    return f"distinct_values: approx_count_distinct({_quoted(field)}), letters: {letters}"


# Of numbers: between the edges of their tails.
SPREAD = f"""
    WITH given AS (SELECT {{column}}::DOUBLE AS v FROM {{table}} WHERE isfinite({{column}}::DOUBLE)),
    edges AS (SELECT quantile_disc(v, {TAIL}) AS low, quantile_disc(v, {1 - TAIL}) AS high FROM given)
    SELECT low, high, count(*) AS n,
        if(high > low, greatest(0, least({NUM_BINS - 1}, floor((v - low) / (high - low) * {NUM_BINS}))), 0)::INT AS bin
    FROM given, edges GROUP BY ALL ORDER BY bin
"""
VALUES = f"""
    SELECT {{column}}::VARCHAR AS value, count(*) AS n FROM {{table}} WHERE {{column}} IS NOT NULL
    GROUP BY value ORDER BY n DESC, value LIMIT {MAX_VALUES}
"""


def _kind(field: pa.Field, facts: Mapping[str, Any]) -> str | None:
    """The query of what is drawn of a column; None where nothing is."""
    if not facts["n"] or pa.types.is_list(field.type):
        return None
    if pa.types.is_string(field.type):
        is_drawn = facts["letters"] <= MAX_LETTERS and facts["distinct_values"] < facts["n"]
        return VALUES if is_drawn else None
    is_of_few = facts["distinct_values"] <= MAX_VALUES
    return VALUES if is_of_few else SPREAD


def _describe_kind(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return "vectors"
    if pa.types.is_boolean(kind):
        return "true or false"
    if pa.types.is_string(kind):
        return "text"
    return "whole numbers" if pa.types.is_integer(kind) else "numbers"


def _histogram(rows: list[dict[str, Any]], label: str) -> Chart | None:
    if not rows or not rows[0]["high"] > rows[0]["low"]:
        return None
    bins = [0] * NUM_BINS
    for row in rows:
        bins[row["bin"]] = row["n"]
    return bar_chart(bins, rows[0]["low"], rows[0]["high"], label, "clips")


def _counts(rows: list[dict[str, Any]], total: int) -> list[Count]:
    """The most frequent values, and what is left."""
    counts = [Count(row["value"], row["n"], row["n"] / total) for row in rows]
    left = total - sum(count.n for count in counts)
    return [*counts, Count("others", left, left / total)] if left else counts


def describe(table: ImportedTable) -> str:
    """How many clips have a row, in a sentence."""
    rows = f"{format_number(table.num_rows)} of {format_number(table.num_clips)} clips"
    return f"{rows} have a row ({share(table.num_rows, table.num_clips)})."
