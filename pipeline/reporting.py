"""Report rows -> one self-contained HTML page, and the table of figures for the console.

What the page shows is read from the workspace by SQL, so it can be drawn at any time: of a finished run, or of one that
has only been cut. It loads nothing from elsewhere and runs no script. File names and the decoder's words come from
strangers: every text is escaped. The question a reader may ask is why each figure stands beside another one: 0.7 says
nothing until it is told that chance is 0.5, and 8 dB nothing until the untouched mixture has 0.
"""

import json
import math
import posixpath
from typing import Any, NamedTuple

import jinja2

from pipeline import storage
from pipeline.artifacts import STAGE_FILE, Workspace
from pipeline.charts import Chart, bar_chart, line_chart
from pipeline.querying import TABLES, query

MAX_REJECTS = 50
NUM_BINS = 20
UNTOUCHED = "untouched mixture"
COPY = "a copy: the metric's cap"

# What is told first: set, metric, in words, what it stands beside (a value, or a metric of the set), whose that is.
HEADLINES: tuple[tuple[str, str, str, float | str, str], ...] = (
    ("held_out_pairs", "match_auc", "tells own sound from another video's, AUC", 0.5, "chance"),
    ("on_mom", "median_si_snr_db", "on-screen sound in a mixture, median SI-SNR", "median_si_snr_input_db", UNTOUCHED),
    ("on_mom", "median_si_snr_improvement_db", "its improvement, median", 0.0, UNTOUCHED),
    (
        "on_mom",
        "median_si_snr_oracle_db",
        "its oracle choice of sources, median SI-SNR",
        "median_si_snr_input_db",
        UNTOUCHED,
    ),
    ("off_mom", "median_osr_db", "off-screen mixture suppressed, median OSR", 0.0, UNTOUCHED),
    ("on_single", "median_si_snr_db", "on-screen sound alone, median SI-SNR", "median_si_snr_input_db", COPY),
    ("off_single", "median_osr_db", "off-screen sound alone suppressed, median OSR", 0.0, UNTOUCHED),
    ("all", "auc_roc", "tells on-screen from off-screen sources, AUC", 0.5, "chance"),
)
# Columns of the table of all figures, in order; a metric that is not here comes after them by its own name.
METRICS = {
    "median_si_snr_db": "SI-SNR",
    "median_si_snr_input_db": "untouched",
    "median_si_snr_improvement_db": "improvement",
    "median_si_snr_oracle_db": "oracle",
    "median_osr_db": "OSR",
    "auc_roc": "AUC-ROC",
    "match_auc": "match AUC",
}


class Figure(NamedTuple):
    """One line of the console's table: a figure beside what no model at all would reach."""

    run: str
    what: str
    value: float | None
    unit: str
    baseline: float | None
    baseline_of: str
    n: int

    def cells(self) -> tuple[str, str, str, str, str]:
        """What, value with unit, baseline with unit, whose baseline, n: as text."""
        value, baseline = _number(self.value, self.unit), _number(self.baseline, self.unit)
        return self.what, value, baseline, self.baseline_of, f"{self.n:,}"


def summary_table(workspace: Workspace) -> list[Figure]:
    """The figures of HEADLINES that have been computed, run by run.

    Raises:
        ConfigError: no stage has run in the workspace.
    """
    return _figures(query(workspace, "SELECT * FROM summary ORDER BY run").to_pylist())


def _figures(summary: list[dict[str, Any]]) -> list[Figure]:
    known = {(row["run"], row["eval_set"], row["metric"]): row for row in summary}
    figures = []
    for run in dict.fromkeys(row["run"] for row in summary):
        for eval_set, metric, what, beside, whose in HEADLINES:
            row = known.get((run, eval_set, metric))
            if row is not None:
                other = known.get((run, eval_set, beside), {}).get("value") if isinstance(beside, str) else beside
                figures.append(Figure(run, what, row["value"], row["unit"], other, whose, row["n"]))
    return figures


def render_report(workspace: Workspace) -> str:
    """The page, as HTML.

    Raises:
        ConfigError: no stage has run in the workspace.
    """
    summary = query(workspace, "SELECT * FROM summary ORDER BY run, eval_set").to_pylist()
    rejects = query(workspace, REJECTS).to_pylist()
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(PAGE).render(
        root=workspace.root,
        figures=_figures(summary),
        all_figures=_pivot(summary),
        counts={name: _counts(workspace, sql) for name, sql in COUNTS.items()},
        histograms=_histograms(query(workspace, HISTOGRAM).to_pylist()),
        curves=_curves(query(workspace, "SELECT * FROM training ORDER BY run, metric, split, step").to_pylist()),
        rejects=rejects,
        num_rejects=rejects[0]["total"] if rejects else 0,
        stages=_stages(workspace),
    )


COUNTS = {
    "Videos": "SELECT outcome, count(*) AS n FROM videos GROUP BY ALL ORDER BY n DESC, outcome",
    "Clips": "SELECT outcome, count(*) AS n FROM clips GROUP BY ALL ORDER BY n DESC, outcome",
    "Selections": """
        SELECT selection, split, reason, count(*) AS n FROM selections GROUP BY selection, split, reason
        ORDER BY selection, list_position(['train', 'validate', 'test'], split), n DESC, reason
    """,
}
HISTOGRAM = f"""
    SELECT model, least({NUM_BINS - 1}, floor(score * {NUM_BINS}))::INT AS bin, count(*) AS n
    FROM scores GROUP BY ALL ORDER BY model, bin
"""
REJECTS = f"""
    SELECT video_id, uri, outcome, detail, count(*) OVER () AS total FROM videos WHERE outcome <> 'kept'
    ORDER BY outcome, video_id LIMIT {MAX_REJECTS}
"""


def _counts(workspace: Workspace, sql: str) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of a count, the number last, as text."""
    table = query(workspace, sql)
    return table.column_names, [[*row[:-1], f"{row[-1]:,}"] for row in (list(r.values()) for r in table.to_pylist())]


def _pivot(summary: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Column names, and one row per run and set: run, set, a figure per metric, and the largest n, as text."""
    present: set[str] = {row["metric"] for row in summary}
    metrics = [name for name in METRICS if name in present] + sorted(present - METRICS.keys())
    groups: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in summary:
        groups.setdefault((row["run"], row["eval_set"]), {})[row["metric"]] = row
    rows = []
    for (run, eval_set), found in groups.items():
        values = [_number(found[name]["value"], found[name]["unit"]) if name in found else "" for name in metrics]
        rows.append([run, eval_set, *values, f"{max(row['n'] for row in found.values()):,}"])
    return ["run", "set", *(METRICS.get(name, name) for name in metrics), "n"], rows


def _histograms(rows: list[dict[str, Any]]) -> dict[str, Chart]:
    """A chart of the scores per coincidence model."""
    counts: dict[str, list[int]] = {}
    for row in rows:
        counts.setdefault(row["model"], [0] * NUM_BINS)[row["bin"]] = row["n"]
    return {model: bar_chart(bins, 0.0, 1.0, "coincidence score", "clips") for model, bins in counts.items()}


def _curves(rows: list[dict[str, Any]]) -> dict[str, dict[str, Chart]]:
    """By run: a chart per metric, the loss first, with a line for each split."""
    series: dict[str, dict[str, dict[str, list[tuple[float, float]]]]] = {}
    for row in sorted(rows, key=lambda row: row["metric"] != "loss"):  # stable: the order is kept otherwise
        if row["value"] is not None and math.isfinite(row["value"]):
            lines = series.setdefault(row["run"], {}).setdefault(row["metric"], {})
            lines.setdefault(row["split"], []).append((row["step"], row["value"]))
    return {
        run: {metric: line_chart(lines, "step", metric) for metric, lines in series[run].items()}
        for run in sorted(series)
    }


def _stages(workspace: Workspace) -> list[dict[str, Any]]:
    """What each stage's `_stage.json` says of itself, by the time it was started."""
    stages = []
    for top in dict.fromkeys([*(pattern.partition("/")[0] for _, pattern in TABLES), "models"]):
        for entry in storage.list_files(workspace.uri(top)):
            if posixpath.basename(entry.uri) == STAGE_FILE:
                folder = posixpath.dirname(storage.relative(entry.uri, workspace.root))
                stages.append(json.loads(storage.read_bytes(entry.uri)) | {"folder": folder})
    return sorted(stages, key=lambda stage: (stage["started"], stage["folder"]))


def _number(value: float | None, unit: str) -> str:
    """A ratio (unit 1) with three decimals, anything else with one and its unit.

    >>> _number(8.117, "dB"), _number(0.5, "1"), _number(None, "dB")
    ('8.1 dB', '0.500', '-')
    """
    if value is None:
        return "-"
    value = 0.0 if abs(value) < 0.05 and unit != "1" else value  # -0.04 would read -0.0
    return f"{value:.3f}" if unit == "1" else f"{value:.1f} {unit}"


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Earshot report</title>
<style>
:root { color-scheme: light dark; --ink: #1d2125; --soft: #646d76; --line: #d9dde1; --paper: #fff;
        --a: #2563a8; --b: #b4530a; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e6e9; --soft: #98a1aa; --line: #363c42; --paper: #16191c; --a: #6fb0f2; --b: #f0a35c; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 68rem;
       margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; } .side h3 { margin-top: 0; }
p, .soft { color: var(--soft); margin: .2rem 0; }
.wide { overflow-x: auto; } .side { display: flex; flex-wrap: wrap; gap: 1.5rem 3rem; align-items: flex-start; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; white-space: nowrap; } .n { text-align: right; white-space: nowrap; }
td.long { font: 12px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; unicode-bidi: plaintext; }
svg { width: 23rem; max-width: 100%; } svg text { font-size: 11px; fill: var(--soft); }
svg line { stroke: var(--line); }
rect { fill: var(--a); } polyline { fill: none; stroke-width: 1.5; }
.l0 { stroke: var(--a); } .l1 { stroke: var(--b); } svg text.t0 { fill: var(--a); } svg text.t1 { fill: var(--b); }
</style>
</head>
<body>
{% macro draw(chart) %}
<svg viewBox="0 0 380 210" role="img" aria-label="{{ chart.y_label }} by {{ chart.x_label }}">
{% for place, text in chart.y.ticks() %}
<line x1="56" x2="368" y1="{{ place }}" y2="{{ place }}"/>
<text x="50" y="{{ place + 4 }}" text-anchor="end">{{ text }}</text>
{% endfor %}
{% for place, text in chart.x.ticks() %}
<text x="{{ place }}" y="184" text-anchor="middle">{{ text }}</text>
{% endfor %}
{% for left, top, width, height, text in chart.bars %}
<rect x="{{ left }}" y="{{ top }}" width="{{ width }}" height="{{ height }}"><title>{{ text }}</title></rect>
{% endfor %}
{% for name, points in chart.lines %}
<polyline class="l{{ loop.index0 % 2 }}" points="{% for x, y in points %}{{ x }},{{ y }} {% endfor %}"/>
<text class="t{{ loop.index0 % 2 }}" x="{{ 56 + 60 * loop.index0 }}" y="12">{{ name }}</text>
{% endfor %}
<text x="212" y="204" text-anchor="middle">{{ chart.x_label }}</text>
</svg>
{% endmacro %}
{% macro rows(table, num_words) %}
{% set names, found = table %}
<table>
<tr>{% for name in names %}<th{% if loop.index > num_words %} class="n"{% endif %}>{{ name }}</th>{% endfor %}</tr>
{% for row in found %}
<tr>{% for cell in row %}<td{% if loop.index > num_words %} class="n"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% endmacro %}
<h1>Earshot report</h1>
<p>{{ root }}</p>

<h2>Results</h2>
{% if figures %}
<p>Each figure beside what no model at all reaches: chance, or the mixture left as it is.</p>
<div class="wide"><table>
<tr><th>model</th><th></th><th class="n">reached</th><th class="n">beside</th><th></th><th class="n">n</th></tr>
{% for figure in figures %}
{% set what, value, baseline, whose, n = figure.cells() %}
<tr><td>{{ figure.run if loop.first or loop.previtem.run != figure.run else "" }}</td><td>{{ what }}</td>
<td class="n"><b>{{ value }}</b></td><td class="n">{{ baseline }}</td>
<td class="soft">{{ whose }}</td><td class="n">{{ n }}</td></tr>
{% endfor %}
</table></div>
{% endif %}
{% if all_figures[1] %}
<h3>All figures</h3>
<p>By model and evaluation set; n is the number of examples, sources or pairs.</p>
<div class="wide">{{ rows(all_figures, 2) }}</div>
{% else %}
<p>Nothing has been evaluated yet: run <code>earshot evaluate</code>.</p>
{% endif %}

<h2>What became of the data</h2>
<div class="side">
{% for name, count in counts.items() %}
<div class="wide"><h3>{{ name }}</h3>
{% if count[1] %}{{ rows(count, count[0] | length - 1) }}{% else %}<p>none yet</p>{% endif %}

</div>
{% endfor %}
</div>

<h2>Coincidence scores</h2>
<div class="side">
{% for model, chart in histograms.items() %}
<div><h3>{{ model }}</h3>{{ draw(chart) }}</div>
{% else %}
<p>No clip has been scored yet: run <code>earshot score</code>.</p>
{% endfor %}
</div>

<h2>Training</h2>
{% for run, charts in curves.items() %}
<h3>{{ run }}</h3>
<div class="side">
{% for metric, chart in charts.items() %}
<div><p>{{ metric }}</p>{{ draw(chart) }}</div>
{% endfor %}
</div>
{% else %}
<p>No model has been trained yet: run <code>earshot train coincidence</code>.</p>
{% endfor %}

<h2>Rejected videos</h2>
{% if rejects %}
<p>{{ "{:,}".format(num_rejects) }} gave no clip; {{ rejects | length }} of them:</p>
<div class="wide"><table>
<tr><th>outcome</th><th>video</th><th>detail</th></tr>
{% for row in rejects %}
<tr><td>{{ row.outcome }}</td><td class="long">{{ row.uri }}</td><td class="long">{{ row.detail or "" }}</td></tr>
{% endfor %}
</table></div>
{% else %}
<p>none</p>
{% endif %}

<h2>Provenance</h2>
<div class="wide"><table>
<tr><th>folder</th><th>hash</th><th>code</th><th>started</th><th>finished</th></tr>
{% for stage in stages %}
<tr><td>{{ stage.folder }}</td><td><code>{{ stage.hash }}</code></td><td>{{ stage.code_version }}</td>
<td>{{ stage.started }}</td><td>{{ stage.get("finished", "not yet") }}</td></tr>
{% endfor %}
</table></div>
</body>
</html>
"""
