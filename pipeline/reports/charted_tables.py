"""What the report draws of the tables: histograms of scores and loudness, curves of training, the price of suppression.

In: rows of the queries CHARTED. Out: charts by their titles.
"""

import math
from typing import Any, NamedTuple

from pipeline.reports.charts import Chart, bar_chart, line_chart
from pipeline.reports.glossary import CURVES, plain
from pipeline.reports.overview import OF_SPEC

NUM_BINS = 20
QUIETEST_LUFS, LUFS_PER_BIN = -60, 3  # of the histogram of loudness; what is quieter is in its first bar
MAX_OSR_DB = 40.0  # of the charts: beyond, hardly anything is heard
BIN = f"least({NUM_BINS - 1}, floor(score * {NUM_BINS}))::INT AS bin"
IS_NUMBER = "score IS NOT NULL AND NOT isnan(score)"  # else least() would put it into the last bin
CHARTED = {
    "scores": f"SELECT model, {BIN}, count(*) AS n FROM scores WHERE {IS_NUMBER} GROUP BY ALL ORDER BY model, bin",
    "selected": f"""
        SELECT selection, {BIN}, count(*) AS scored, count(*) FILTER (kept) AS kept
        FROM selections WHERE {IS_NUMBER} GROUP BY ALL ORDER BY selection, bin
    """,
    "loudness": f"""
        SELECT greatest({QUIETEST_LUFS}, floor(loudness_lufs / {LUFS_PER_BIN}) * {LUFS_PER_BIN})::INT AS low,
            count(*) AS n
        FROM clips WHERE {OF_SPEC} AND outcome = 'kept' AND loudness_lufs < 0 GROUP BY low ORDER BY low
    """,
    "operating_points": f"""
        SELECT * FROM operating_points WHERE off_mom_osr_db BETWEEN 0 AND {MAX_OSR_DB}
        ORDER BY model, mixtures, logit_shift DESC
    """,
    "training": "SELECT * FROM training ORDER BY model, metric, split, step",
}


def chart_histograms(rows: list[dict[str, Any]]) -> dict[str, Chart]:
    """A chart of the scores per coincidence model."""
    counts: dict[str, list[int]] = {}
    for row in rows:
        counts.setdefault(row["model"], [0] * NUM_BINS)[row["bin"]] = row["n"]
    return {
        f"scores by {name}": bar_chart(bins, 0.0, 1.0, "coincidence score", "clips") for name, bins in counts.items()
    }


def chart_loudness(rows: list[dict[str, Any]]) -> dict[str, Chart]:
    """A chart of the loudness of kept clips."""
    if not rows:
        return {}
    bins = [0] * (-QUIETEST_LUFS // LUFS_PER_BIN)
    for row in rows:
        bins[(row["low"] - QUIETEST_LUFS) // LUFS_PER_BIN] = row["n"]
    return {"loudness of kept clips": bar_chart(bins, QUIETEST_LUFS, 0.0, "integrated loudness, LUFS", "clips")}


def chart_selected(rows: list[dict[str, Any]]) -> dict[str, Chart]:
    """A chart per selection: the outlines of the histograms of all scored clips and of those that are kept."""
    counts: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        bins = counts.setdefault(row["selection"], {"scored": [0] * NUM_BINS, "kept": [0] * NUM_BINS})
        for name in bins:
            bins[name][row["bin"]] = row[name]
    return {
        f"selection {selection}": line_chart(
            {name: _outline(of) for name, of in bins.items()}, "coincidence score", "clips"
        )
        for selection, bins in counts.items()
    }


def _outline(counts: list[int]) -> list[tuple[float, float]]:
    """Points (score, count) of one line along the tops of a histogram's bars over 0 to 1; it starts and ends at 0."""
    tops = [(edge / len(counts), float(n)) for i, n in enumerate(counts) for edge in (i, i + 1)]
    return [(0.0, 0.0), *tops, (1.0, 0.0)]


class Single(NamedTuple):
    """A figure of training of which there is one point alone, which would be an empty chart."""

    model: str
    metric: str
    split: str
    step: int
    value: float


def chart_curves(rows: list[dict[str, Any]]) -> tuple[dict[str, dict[str, Chart]], list[Single]]:
    """By model: a chart per metric, the loss first, with a line for each split; and the metrics with single points.

    A part of the loss that is all of it is left out.
    """
    series: dict[str, dict[str, dict[str, list[tuple[float, float]]]]] = {}
    for row in sorted(rows, key=lambda row: row["metric"] != "loss"):  # stable: the order is kept otherwise
        if row["value"] is not None and math.isfinite(row["value"]):
            lines = series.setdefault(row["model"], {}).setdefault(row["metric"], {})
            lines.setdefault(row["split"], []).append((row["step"], row["value"]))
    charts: dict[str, dict[str, Chart]] = {}
    single = []
    for model in sorted(series):
        loss = series[model].get("loss")
        for metric, lines in series[model].items():
            if metric != "loss" and lines == loss:
                continue
            if any(len(line) > 1 for line in lines.values()):
                title = CURVES.get(metric, plain(metric))
                charts.setdefault(model, {})[title] = line_chart(lines, "step", title)
            else:
                single += [Single(model, metric, split, int(line[0][0]), line[0][1]) for split, line in lines.items()]
    return charts, single


def chart_trade_offs(rows: list[dict[str, Any]]) -> dict[str, list[Chart]]:
    """By model and frozen sets: what is kept of on-screen sound against how far off-screen sound is suppressed."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        on = "" if row["mixtures"] == "default" else f" on {row['mixtures']}"
        groups.setdefault(f"{row['model']}{on}", []).append(row)
    kept = {
        "on_mom_si_snr_improvement_db": "gain of on-screen sound in a mixture, SI-SNRi, dB",
        "on_single_level_db": "level of on-screen sound alone, dB: 0 is untouched",
    }
    charts: dict[str, list[Chart]] = {}
    for group, points in groups.items():
        for column, label in kept.items():
            found = [row for row in points if row[column] is not None]
            lines = {
                "any threshold": [(row["off_mom_osr_db"], row[column]) for row in found],
                "its own": [(row["off_mom_osr_db"], row[column]) for row in found if row["logit_shift"] == 0],
            }
            lines = {name: line for name, line in lines.items() if line}
            if lines:
                charts.setdefault(group, []).append(
                    line_chart(lines, "suppression of off-screen mixtures, OSR, dB", label)
                )
    return charts
