"""The workspace's tables -> one self-contained HTML page, and the figures that the console prints.

Everything on the page is read from the workspace by SQL, so a report can be made at any time, also when only clips have
been cut. The page loads nothing from elsewhere and runs no script (`page.html`, `page.css`). File names and the
decoder's messages are untrusted: every text is escaped, and control characters are replaced.
"""

from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.formatting import format_figure, format_number
from pipeline.pages import templates
from pipeline.reports.best_and_worst import EXTREMES, Extreme, show_extremes
from pipeline.reports.charted_tables import (
    CHARTED,
    chart_curves,
    chart_histograms,
    chart_loudness,
    chart_selected,
    chart_trade_offs,
)
from pipeline.reports.comparing import Change, compare, side_by_side
from pipeline.reports.event_timelines import TIMELINES, Timeline, list_timelines
from pipeline.reports.flow import FLOW, list_bars
from pipeline.reports.glossary import SETS, plain, used_terms
from pipeline.reports.headline_metrics import Figure, column_titles, list_figures
from pipeline.reports.imported_charts import describe, list_imported
from pipeline.reports.in_short import write_in_short
from pipeline.reports.mask_overlays import OVERLAYS, MaskOverlay, show_overlays
from pipeline.reports.measured_charts import explain_measures, list_measured
from pipeline.reports.mouth_sheets import MOUTHS, MouthSheet, show_mouths
from pipeline.reports.overview import MIN_EXAMPLES, OVERVIEW, list_facts, list_findings, share
from pipeline.reports.querying import query_all
from pipeline.reports.separated_examples import SEPARATED, SeparatedShown, show_separated
from pipeline.storage.layout import NO_MIXTURES
from pipeline.storage.lineage import list_stages
from pipeline.storage.workspace import Workspace, open_workspace

MAX_REJECTS = 10  # of each outcome: an odd one is not crowded out by a common one
UNPRINTABLE = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\r"}


Shown = TypeVar("Shown", Timeline, MaskOverlay)


class Report(NamedTuple):
    """The report of a workspace."""

    figures: list[Figure]
    extremes: list[Extreme]
    changes: list[Change]
    """Beside another model or workspace, if one was given."""
    page: str
    """HTML."""


def make_report(workspace: Workspace, against: str | None = None) -> Report:
    """The report of every stage that has run.

    Args:
        workspace: what is reported.
        against: another root, whose models of the same names are compared; or a model of this one, with which all
            others of its learner are.
    Raises:
        ConfigError: no stage has run in the workspace, or `against` is neither a root nor a model.
    """
    found = query_all(workspace, QUERIES | OVERVIEW | COUNTS)
    rows = {name: table.to_pylist() for name, table in found.items() if name in QUERIES | OVERVIEW}
    stages = list(list_stages(workspace).values())
    figures, extremes = list_figures(rows["summary"], stages), show_extremes(workspace, found["extremes"])
    changes = [] if against is None else _compare(workspace, figures, against)
    curves, single_points = chart_curves(rows["training"])
    shown: dict[str, Any] = {
        "model_tables": side_by_side(figures, MIN_EXAMPLES),
        "changes": changes,
        "trade_offs": chart_trade_offs(rows["operating_points"]),
        "bars": list_bars(rows["flow"]),
        "histograms": chart_histograms(rows["scores"])
        | chart_selected(rows["selected"])
        | chart_loudness(rows["loudness"]),
        "measured": list_measured(workspace),
        "imported": list_imported(workspace),
        "extremes": _by_end(extremes),
        "timelines": _by_model("clips", list_timelines(found["timelines"])),
        "separated": _by_set(show_separated(workspace, found["separated"])),
        "overlays": _by_model("frames", show_overlays(workspace, found["overlays"])),
        "mouths": _by_sureness(show_mouths(workspace, found["mouths"])),
        "curves": curves or single_points,
        "rejects": rows["rejects"],
        "all_figures": _by_sets(rows["summary"]),
    }
    findings = list_findings(rows, figures, stages, changes)
    sets = dict.fromkeys(row["eval_set"] for row in rows["summary"])
    titles = [column_titles().get(row["metric"], "") for row in rows["summary"]]
    page = templates("pipeline.reports", finalize=_printable).get_template("page.html")
    html = page.render(
        shown
        | {
            "root": workspace.root,
            "name": workspace.root.rstrip("/").rpartition("/")[2],
            "last": _time(max((stage.get("finished", "") for stage in stages), default="")),
            "against": against,
            "contents": {place: title for place, (title, of) in SECTIONS.items() if of is None or shown[of]},
            "facts": list_facts(rows),
            "findings": findings,
            "in_short": write_in_short(rows, figures, findings),
            "not_yet": [what for what, of in RESULTS.items() if not rows[of]],
            "marks": MARKS,
            "min_examples": MIN_EXAMPLES,
            "max_rejects": MAX_REJECTS,
            "describe": describe,
            "number": format_number,
            "plain": plain,
            "score": _score,
            "share": share,
            "time": _time,
            "counts": {name: _counts(found[name]) for name in COUNTS},
            "audits": {stage["stage"]: stage["audit"] for stage in stages if "audit" in stage},
            "curves": curves,
            "single_points": single_points,
            "num_rejects": format_number(rows["rejects"][0]["total"] if rows["rejects"] else 0),
            "stages": stages,
            "terms": used_terms(" ".join([*WORDS_OF_PAGE, *(figure.what for figure in figures), *titles]))
            | {name: meaning for name, meaning in SETS.items() if name in sets}
            | explain_measures(shown["measured"]),
        }
    )
    return Report(figures, extremes, changes, html)


def _compare(workspace: Workspace, figures: list[Figure], against: str) -> list[Change]:
    """This workspace's figures beside those of another root, or of one of its models."""
    of_model = [figure for figure in figures if figure.of in (against, f"{against} on {figure.mixtures}")]
    if of_model:
        return compare(figures, of_model, by_model=False)
    try:
        other = open_workspace(against)
    except ConfigError as error:
        models = dict.fromkeys(figure.of for figure in figures if figure.learner)
        raise ConfigError(
            f"against {against}: expected the root of another workspace, or one of the evaluated models: "
            f"{', '.join(models) or 'there is none'}."
        ) from error
    summary = query_all(other, {"summary": QUERIES["summary"]})["summary"].to_pylist()
    return compare(figures, list_figures(summary, list(list_stages(other).values())), by_model=True)


# Places on the page: their titles, and what must be there for them.
SECTIONS: dict[str, tuple[str, str | None]] = {
    "short": ("In short", None),
    "findings": ("What needs a look", None),
    "results": ("Results", "model_tables"),
    "against": ("Comparison", "changes"),
    "trade-off": ("Suppression", "trade_offs"),
    "separated": ("Separated examples", "separated"),
    "flow": ("From videos to clips", "bars"),
    "data": ("Data", None),
    "measured": ("Measures of clips", "measured"),
    "imported": ("Imported columns", "imported"),
    "clips": ("Clips", "extremes"),
    "events": ("Events", "timelines"),
    "masks": ("Masks", "overlays"),
    "mouths": ("Mouths", "mouths"),
    "training": ("Training", "curves"),
    "figures": ("All figures", "all_figures"),
    "rejected": ("Rejected videos", "rejects"),
    "provenance": ("Provenance", None),
    "words": ("Words", None),
}
# What a workspace has once all is done, and the query that finds it.
RESULTS = {
    "a trained model": "training",
    "scores of clips": "scores",
    "a selection": "chosen",
    "figures of held-out videos": "summary",
}
MARKS = {"better": "better", "worse": "worse", "alike": "", "unknown": ""}
WORDS_OF_PAGE = ("baseline", "interval", "kept", "n", "split")  # words that the page itself uses
COUNTS = {
    "Videos": "SELECT spec, outcome, count(*) AS n FROM videos GROUP BY ALL ORDER BY spec, n DESC, outcome",
    "Clips": "SELECT spec, outcome, count(*) AS n FROM clips GROUP BY ALL ORDER BY spec, n DESC, outcome",
    # clips overlap: the sum of their lengths would count a second up to five times
    "Hours of clips": "SELECT spec, sum(unique_s) / 3600 AS hours FROM clips GROUP BY ALL ORDER BY spec",
    "Hours of selections": """
        SELECT selection, split, coalesce(license, '-') AS license, sum(unique_s) / 3600 AS hours
        FROM (FROM selections WHERE kept) JOIN (SELECT video_id, license FROM collection) USING (video_id)
        GROUP BY 1, 2, 3
        ORDER BY selection, list_position(['train', 'validate', 'test'], split), hours DESC, license
    """,
    "Selections": """
        SELECT selection, split, reason, count(*) AS n FROM selections GROUP BY selection, split, reason
        ORDER BY selection, list_position(['train', 'validate', 'test'], split), n DESC, reason
    """,
}
QUERIES = CHARTED | {
    "summary": "SELECT * FROM summary ORDER BY model, mixtures, eval_set",
    "extremes": EXTREMES,
    "timelines": TIMELINES,
    "separated": SEPARATED,
    "overlays": OVERLAYS,
    "mouths": MOUTHS,
    "flow": FLOW,
    "rejects": f"""
        WITH rejected AS (
            SELECT video_id, uri, arg_min(outcome, spec) AS outcome, arg_min(detail, spec) AS detail
            FROM videos GROUP BY video_id, uri HAVING NOT bool_or(outcome = 'kept')
        )
        SELECT *, count(*) OVER () AS total, count(*) OVER (PARTITION BY outcome) AS of_outcome FROM rejected
        QUALIFY row_number() OVER (PARTITION BY outcome ORDER BY video_id) <= {MAX_REJECTS}
        ORDER BY of_outcome, outcome, video_id
    """,
}


def _counts(table: pa.Table) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of a count, the number last, as text."""
    rows = [list(row.values()) for row in table.to_pylist()]
    return table.column_names, [[*row[:-1], format_number(row[-1])] for row in rows]


def _by_end(extremes: list[Extreme]) -> dict[str, list[Extreme]]:
    """The clips of each list, under its title."""
    lists: dict[str, list[Extreme]] = {}
    for clip in extremes:
        lists.setdefault(f"{clip.which.capitalize()} scores by {clip.model}", []).append(clip)
    return lists


def _by_sureness(sheets: list[MouthSheet]) -> dict[str, list[MouthSheet]]:
    """The faces of each list, under its title."""
    lists: dict[str, list[MouthSheet]] = {}
    for sheet in sheets:
        lists.setdefault(sheet.which, []).append(sheet)
    return lists


def _by_set(shown: list[SeparatedShown]) -> dict[str, list[SeparatedShown]]:
    """The examples of each model, frozen sets and end, under their title."""
    lists: dict[str, list[SeparatedShown]] = {}
    for one in shown:
        on = "" if one.mixtures == "default" else f" on {one.mixtures}"
        lists.setdefault(f"{one.which.capitalize()} of {one.model}{on}: {plain(one.eval_set)}", []).append(one)
    return lists


def _by_model(what: str, shown: list[Shown]) -> dict[str, list[Shown]]:
    """The clips or frames of each model and end, under their title."""
    lists: dict[str, list[Shown]] = {}
    for one in shown:
        lists.setdefault(f"{one.which.capitalize()} {what} of {one.model}", []).append(one)
    return lists


def _by_sets(summary: list[dict[str, Any]]) -> dict[str, tuple[list[str], list[list[str]]]]:
    """By model and mixtures: column names, a row per metric with its figure of each set, and the largest n, as text."""
    groups: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for row in summary:
        on = "" if row["mixtures"] in ("default", NO_MIXTURES) else f" on {row['mixtures']}"
        groups.setdefault(f"{row['model']}{on}", {}).setdefault(row["metric"], {})[row["eval_set"]] = row
    titles = column_titles()
    tables = {}
    for group, metrics in groups.items():
        sets = sorted({name for found in metrics.values() for name in found})
        order = [name for name in titles if name in metrics] + sorted(metrics.keys() - titles.keys())
        present = [name for name in order if any(row["value"] is not None for row in metrics[name].values())]
        table = [
            [titles.get(name, name), *(_cell(metrics[name][each]) if each in metrics[name] else "" for each in sets)]
            for name in present
        ]
        counts = [max(found[each]["n"] for found in metrics.values() if each in found) for each in sets]
        tables[group] = ["figure", *sets], [*table, ["n", *map(format_number, counts)]]
    return tables


def _cell(row: dict[str, Any]) -> str:
    return format_figure(row["value"], row["unit"], row["low"], row["high"])


def _score(value: float) -> str:
    """Three decimals; small ones keep their digits."""
    return f"{value:.3f}" if value >= 0.0005 else format_number(value)


def _time(text: str) -> str:
    """Date and time of a record, in UTC, to the second."""
    return text.replace("T", " ")[:19]


def _printable(value: Any) -> Any:
    """A value of the page; in a text, control characters (which HTML must not contain) are replaced."""
    return value.translate(UNPRINTABLE) if isinstance(value, str) else value
