"""The report's page as a Jinja template: one HTML file with styles, pictures and sounds in it, no script, and nothing
from elsewhere."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
img-src data:; media-src data:">
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
td img { width: 5.5rem; margin-right: .3rem; } audio { width: 14rem; }
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
{% for folder, told in audits.items() %}
<p>{{ folder }}: {{ told }}</p>
{% endfor %}

<h2>Coincidence scores</h2>
<div class="side">
{% for model, chart in histograms.items() %}
<div><h3>{{ model }}</h3>{{ draw(chart) }}</div>
{% else %}
<p>No clip has been scored yet: run <code>earshot score</code>.</p>
{% endfor %}
{% for selection, chart in selected.items() %}
<div><h3>selection {{ selection }}</h3>{{ draw(chart) }}</div>
{% endfor %}
</div>

{% for title, clips in extremes.items() %}
<h3>{{ title }}</h3>
<div class="wide"><table>
<tr><th class="n">score</th><th>video</th><th class="n">start</th><th class="n">loudness</th><th></th><th></th></tr>
{% for clip in clips %}
<tr><td class="n">{{ "%.4f" | format(clip.score) }}</td><td class="long">{{ clip.video }}</td>
<td class="n">{{ "%.1f s" | format(clip.start_s) }}</td>
<td class="n">{{ "-" if clip.loudness_lufs is none else "%.1f LUFS" | format(clip.loudness_lufs) }}</td>
<td class="n">{% for frame in clip.frames %}<img src="{{ frame }}" alt="">{% else %}cannot be read{% endfor %}</td>
<td>{% if clip.sound %}<audio controls preload="metadata" src="{{ clip.sound }}"></audio>{% endif %}</td></tr>
{% endfor %}
</table></div>
{% endfor %}

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
<p>{{ num_rejects }} gave no clip; {{ rejects | length }} of them:</p>
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
