"""Views that save the joins analysts write again and again, and the functions that go with them.

Comes in: the views of `querying.py` and Python's bootstrap. Goes out: SQL of further views, and `median_interval` and
`mean_interval`, aggregates that give a figure with its interval as `summary` has it: by video, from the same function.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import SPECIAL

from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.directions import LOWER_IS_BETTER, NEAREST_TO_ZERO_IS_BEST
from schemas.fields import partition_columns, table_name

COINCIDENCE = "coincidence"  # the model whose scores `examples_with_clips` shows


class View(NamedTuple):
    """A view over others."""

    doc: str
    sql: str
    columns: Mapping[str, tuple[str, str]]
    """Unit and meaning of the columns that are no column of another view."""


VIEWS = {
    "examples_with_clips": View(
        "each row of `examples` with what is known of its first clip, which gives its picture",
        f"""
        SELECT e.*, m.kind, m.split, m.label_source, m.first_clip_id, m.sound_clip_id, m.second_clip_id, c.start_s,
               c.rms_db, c.loudness_lufs, c.silent_fraction, c.luma, c.motion, s.score, v.uri, v.license, v.author
        FROM examples e
        LEFT JOIN mixtures m ON (m.mixtures, m.example_id) = (e.mixtures, e.example_id)
        LEFT JOIN clips c ON c.spec = 'base' AND c.clip_id = m.first_clip_id
        LEFT JOIN scores s ON s.model = '{COINCIDENCE}' AND s.clip_id = m.first_clip_id
        LEFT JOIN videos v ON v.spec = 'base' AND v.video_id = c.video_id
        """,
        {"score": ("", f"of the first clip by the model `{COINCIDENCE}`, where it has one")},
    ),
    "pairs": View(
        "each example beside itself, separated by another model: `model` and `other`, in both orders",
        """
        SELECT a.mixtures, a.eval_set, a.example_id, a.video_id, a.model, b.model AS other,
               a.si_snr_db, b.si_snr_db AS other_si_snr_db, a.si_snr_db - b.si_snr_db AS si_snr_difference_db,
               a.snr_db, b.snr_db AS other_snr_db, a.snr_db - b.snr_db AS snr_difference_db,
               a.osr_db, b.osr_db AS other_osr_db, a.osr_db - b.osr_db AS osr_difference_db
        FROM examples a
        JOIN examples b ON (a.mixtures, a.eval_set, a.example_id) = (b.mixtures, b.eval_set, b.example_id)
        WHERE a.model <> b.model
        """,
        {
            "other": ("", "name of the other model"),
            **{f"other_{name}_db": ("dB", f"the other model's {name}_db") for name in ("si_snr", "snr", "osr")},
            **{f"{name}_difference_db": ("dB", f"{name}_db less other_{name}_db") for name in ("si_snr", "snr", "osr")},
        },
    ),
    "best_by_metric": View(
        "of each figure of `summary`, the model that reaches the best value",
        f"""
        SELECT mixtures, eval_set, metric, model, value, unit, low, high, n, num_videos, num_models
        FROM (
            SELECT *, count(*) OVER same AS num_models, row_number() OVER (
                same ORDER BY CASE WHEN metric IN {LOWER_IS_BETTER} THEN -value
                                   WHEN metric IN ('{"', '".join(NEAREST_TO_ZERO_IS_BEST)}') THEN -abs(value)
                                   ELSE value END DESC, model
            ) AS place
            FROM summary WHERE isfinite(value)
            WINDOW same AS (PARTITION BY mixtures, eval_set, metric)
        )
        WHERE place = 1
        """,
        {"num_models": ("", "models that have the figure, of which this one is the best")},
    ),
}
AGGREGATES: Mapping[str, Callable[[np.ndarray], float]] = {
    "median_interval": lambda values: float(np.median(values)),
    "mean_interval": lambda values: float(np.mean(values)),
}
RESULT = "STRUCT(value DOUBLE, low DOUBLE, high DOUBLE, n BIGINT, num_videos BIGINT)"
AGGREGATE_HELP = "(x, video_id): {what} of x, its 95 % interval over videos, n and num_videos, as a STRUCT; aggregate"


def view_schemas(tables: Iterable[pa.Schema]) -> dict[str, pa.Schema]:
    """Names and types of the columns of VIEWS, as DuckDB finds them over empty tables."""
    with duckdb.connect() as database:
        for schema in tables:
            fields = [pa.field(name, pa.string()) for name in partition_columns(schema)]
            fields += [item for item in schema if not pa.types.is_nested(item.type)]
            database.register(table_name(schema), pa.schema(fields).empty_table())
        return {name: database.sql(view.sql).to_arrow_table().schema for name, view in VIEWS.items()}


def create_aggregates(database: duckdb.DuckDBPyConnection, names: list[str]) -> None:
    """Make aggregates of AGGREGATES known to a database: a macro that collects a list, over a function in Python."""
    for name in names:
        inner = f"_{name}"
        database.create_function(
            inner,
            _over_list(AGGREGATES[name]),
            [database.sqltype("STRUCT(x DOUBLE, video VARCHAR)[]")],
            database.sqltype(RESULT),
            null_handling=SPECIAL,
        )
        database.execute(f"CREATE MACRO {name}(x, video) AS {inner}(list({{'x': x::DOUBLE, 'video': video::VARCHAR}}))")


def _over_list(statistic: Callable[[np.ndarray], float]) -> Callable[..., dict[str, Any] | None]:
    def figure(rows: list[dict[str, Any]] | None) -> dict[str, Any] | None:
        """A figure and its interval over the examples with a number; None without any."""
        pairs = ((row["video"] or "", row["x"]) for row in rows or () if row["x"] is not None)
        found = sorted(pair for pair in pairs if math.isfinite(pair[1]))
        groups, values = np.array([video for video, _ in found]), np.array([value for _, value in found])
        if not len(values):
            return None
        interval = bootstrap_interval(lambda drawn: statistic(values[drawn]), groups)
        bounds = {"low": interval.low, "high": interval.high}
        return {"value": statistic(values)} | bounds | {"n": len(values), "num_videos": interval.num_groups}

    return figure
