"""What a manager reads first: what this corpus is, in a sentence and a few numbers, and what needs a look.

Comes in: rows of the queries OVERVIEW, figures and stages. Goes out: sentences and numbers as text, and findings: each
says what was found and what it may mean, the worst first.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.formatting import format_bytes, format_hours, format_number
from pipeline.metrics.directions import goodness
from pipeline.reports.comparing import IDEALS, Change, against_baseline
from pipeline.reports.glossary import plain
from pipeline.reports.headline_metrics import Figure

MAX_REJECTED_SHARE = 0.1  # of the videos; more deserves a look
MIN_KEPT_SHARE = 0.05  # of a selection's clips
MIN_EXAMPLES = 30  # behind a figure: an AUC of 16 pairs moves by 0.15 with other pairs
MAX_UNLICENSED_SHARE = 0.01  # of the kept hours

# The clip spec that a corpus is described by: base, where it is there.
OF_SPEC = "spec = (SELECT min_by(spec, spec <> 'base') FROM clips)"
OVERVIEW = {
    "corpus": """
        SELECT count(*) AS num_videos, count(*) FILTER (is_kept) AS num_kept, sum(duration_s) / 3600 AS hours,
            sum(size_bytes)::DOUBLE AS size_bytes
        FROM (
            SELECT bool_or(outcome = 'kept') AS is_kept, max(duration_s) AS duration_s, max(size_bytes) AS size_bytes
            FROM videos GROUP BY video_id
        )
    """,
    "cut": f"""
        SELECT spec, count(*) AS num_planned, count(*) FILTER (outcome = 'kept') AS num_kept,
            sum(unique_s) / 3600 AS hours
        FROM clips WHERE {OF_SPEC} GROUP BY spec
    """,
    "chosen": """
        SELECT selection, count(*) AS num_clips, count(*) FILTER (kept) AS num_kept,
            coalesce(sum(unique_s) FILTER (kept), 0) / 3600 AS hours
        FROM selections GROUP BY selection ORDER BY selection
    """,
    "licences": f"""
        SELECT license, sum(unique_s) / 3600 AS hours
        FROM clips JOIN (SELECT video_id, license FROM collection) USING (video_id)
        WHERE {OF_SPEC} AND outcome = 'kept' GROUP BY license ORDER BY hours DESC, license
    """,
    "effort": "SELECT sum(cpu_s) / 3600 AS cpu_hours, sum(gpu_s) / 3600 AS gpu_hours FROM usage",
    "refused": """
        SELECT outcome, count(*) AS n FROM (
            SELECT arg_min(outcome, spec) AS outcome FROM videos
            GROUP BY video_id HAVING NOT bool_or(outcome = 'kept')
        ) GROUP BY outcome ORDER BY n DESC, outcome
    """,
}
Rows = Mapping[str, Sequence[Mapping[str, Any]]]


class Fact(NamedTuple):
    """A number of the first screen."""

    name: str
    value: str
    more: str


class Finding(NamedTuple):
    """Something that needs a look."""

    what: str
    """What was found, with its number."""
    meaning: str
    """What it may mean, and what one looks at."""


def list_facts(rows: Rows) -> list[Fact]:
    """The numbers of the first screen; what there is nothing of is left out."""
    return list(_facts(rows))


def _facts(rows: Rows) -> Iterator[Fact]:
    for corpus in rows["corpus"]:
        if corpus["num_videos"]:
            size = f", {format_bytes(corpus['size_bytes'])}" if corpus["size_bytes"] else ""
            hours = f"{format_hours(corpus['hours'])}{size}" if corpus["hours"] else "no length known"
            yield Fact("videos", format_number(corpus["num_videos"]), hours)
            yield Fact("gave clips", share(corpus["num_kept"], corpus["num_videos"]), "of the videos")
    for cut in rows["cut"]:
        more = f"{format_hours(cut['hours'] or 0.0)}, each second counted once"
        yield Fact(f"clips ({cut['spec']})", format_number(cut["num_kept"]), more)
    for chosen in rows["chosen"]:
        more = f"{format_hours(chosen['hours'])}, {share(chosen['num_kept'], chosen['num_clips'])} of the clips"
        yield Fact(f"clips in selection {chosen['selection']}", format_number(chosen["num_kept"]), more)
    for effort in rows["effort"]:
        if effort["cpu_hours"]:
            gpu = f"and {format_hours(effort['gpu_hours'])} of GPU" if effort["gpu_hours"] else "no GPU"
            yield Fact("CPU time", format_hours(effort["cpu_hours"]), gpu)
    total = sum(row["hours"] or 0.0 for row in rows["licences"])
    known = [row for row in rows["licences"] if row["license"] is not None]
    if total and known:
        names = ", ".join(f"{row['license']} {share(row['hours'] or 0.0, total)}" for row in known[:3])
        more = f" and {len(known) - 3} more" if len(known) > 3 else ""
        yield Fact("licences", format_number(len(known)), names + more)


def list_findings(
    rows: Rows, figures: Sequence[Figure], stages: Sequence[Mapping[str, Any]], changes: Sequence[Change]
) -> list[Finding]:
    """What needs a look, the worst first; nothing if all is as it should be."""
    return [*_regressions(changes), *_of_figures(figures), *_of_data(rows), *_of_stages(stages)]


def _regressions(changes: Sequence[Change]) -> Iterator[Finding]:
    pairs: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        if change.verdict == "worse":
            pairs.setdefault((change.figure.of, change.other.of), []).append(change)
    for (of, other), worse in pairs.items():
        first = worse[0]
        than = "that of the other workspace" if of == other else other
        more = f" (and {len(worse) - 1} more figures)" if len(worse) > 1 else ""
        yield Finding(
            f"{of} is worse than {than}: {first.figure.what} {first.value} against {first.other_value}{more}",
            "Worse by more than its interval. The comparison below has every figure.",
        )


def _of_figures(figures: Sequence[Figure]) -> Iterator[Finding]:
    for figure in figures:
        found = against_baseline(figure)
        if found in ("worse", "alike") or _is_not_above(figure):
            value, baseline = figure.cells()[1:3]
            than = {"worse": "is worse than", "alike": "cannot be told from"}.get(found, "is not better than")
            yield Finding(
                f"{figure.of}, {figure.what}: {value} {than} the baseline, {baseline} ({figure.baseline_of})",
                "In this the model is no better than none. Train it for more steps or on more videos, or look for a "
                "fault in the data.",
            )
    few = [figure for figure in figures if figure.n is not None and 0 < figure.n < MIN_EXAMPLES]
    if few:
        names = "; ".join(f"{figure.of}, {figure.what} ({figure.n})" for figure in few[:3])
        more = f" and {len(few) - 3} more" if len(few) > 3 else ""
        yield Finding(
            f"Fewer than {MIN_EXAMPLES} examples are behind {names}{more}",
            "With others, such a figure would move a lot. Hold out more videos.",
        )


def _is_not_above(figure: Figure) -> bool:
    """Whether a figure without an interval is no better than a baseline that can be exceeded."""
    if figure.value is None or figure.baseline is None or figure.baseline_of.startswith(IDEALS):
        return False
    has_interval = figure.low is not None and figure.high is not None
    return not has_interval and goodness(figure.metric, figure.value) <= goodness(figure.metric, figure.baseline)


def _of_data(rows: Rows) -> Iterator[Finding]:
    num_videos = sum(row["num_videos"] for row in rows["corpus"])
    num_refused = sum(row["n"] for row in rows["refused"])
    if num_videos and num_refused > MAX_REJECTED_SHARE * num_videos:
        first = rows["refused"][0]
        yield Finding(
            f"{share(num_refused, num_videos)} of the videos gave no clip, most often: {plain(first['outcome'])} "
            f"({format_number(first['n'])})",
            "The section on rejected videos names them, with the messages of the decoder.",
        )
    for chosen in rows["chosen"]:
        if chosen["num_kept"] < MIN_KEPT_SHARE * chosen["num_clips"]:
            yield Finding(
                f"selection {chosen['selection']} keeps {share(chosen['num_kept'], chosen['num_clips'])} of the clips",
                "Its rules may be too strict: the flow below says which refused most.",
            )
    total = sum(row["hours"] or 0.0 for row in rows["licences"])
    unknown = sum(row["hours"] or 0.0 for row in rows["licences"] if row["license"] is None)
    if unknown > MAX_UNLICENSED_SHARE * total:
        yield Finding(
            f"{share(unknown, total)} of the hours have no licence",
            "Nobody can say what these clips may be used for. Give the collection a column license.",
        )


def _of_stages(stages: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for stage in stages:
        if "finished" not in stage:
            yield Finding(f"{stage['stage']} has not finished", "Its figures are of a part of the work.")


def share(part: float, whole: float) -> str:
    """A share in percent, as text; what is neither none nor all never looks so."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "under 0.1 %"
    if 99.9 < percent < 100 - 1e-6:  # sums of hours are not exact
        return "over 99.9 %"
    return f"{percent:.3g} %"
