"""What is known of a selection's shuffled shards, for people and programs that receive them: counts with their sources.

Comes in: the workspace's tables by SQL, the records of the stages, and the tars in `materialized/<selection>/`. Goes
out: `Facts`. A number that a card shows is a `Figure`, which has the query or record that it comes from; the page
refuses any other number. Here everything is checked that must add up, and what does not is an error: a card with a
figure that cannot be traced is not written.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pipeline.config import format_value, from_dict
from pipeline.errors import DataError
from pipeline.hashing import as_dict
from pipeline.reports.licenses import License, read_license
from pipeline.reports.querying import query_all
from pipeline.selection.filtering import FilteringConfig
from pipeline.selection.own_rules import OF_NULLS, split_rule
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.lineage import dependents, list_stages
from pipeline.storage.workspace import Workspace
from schemas.materialized import MATERIALIZED
from schemas.videos import SPLITS

# What each rule of `pipeline/selection/filtering.py` refuses, by its reason, and the fields that set it.
RULES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "license": ("videos of other licences", ("licenses",)),
    "no_train": ("videos whose owners refuse training", ("rights",)),
    "rights_unknown": ("videos of which no permission to train was read", ()),
    "rights_train": ("videos that may be used for training", ()),
    "near_duplicate": ("videos whose content another upload stands for", ()),
    "not_scored": ("clips that the coincidence model has not seen", ()),
    "labelled_off_screen": ("clips that people found to have off-screen sound only", ("refuse_off_screen",)),
    "other_label": ("clips without one of these labels", ("labels",)),
    "too_quiet": ("clips below a loudness", ("min_loudness_lufs",)),
    "silences": ("clips with too much silence", ("max_silent_fraction",)),
    "clipped": ("clips with too many samples at full scale", ("max_clipped_fraction",)),
    "frozen_picture": ("clips with too many frames equal to the one before", ("max_frozen_fraction",)),
    "low_score": ("clips whose sound and picture belong together too little", ("min_score", "keep_fraction")),
    "not_top_video": ("videos that are not among the best", ("top_videos",)),
    "over_video_cap": ("clips of videos that have enough better ones", ("max_clips_per_video",)),
    "not_top_clip": ("clips that are not among the best", ("top_clips",)),
}
FIRST_OF_SCORES = "low_score"  # before it come the rules that users write
NOT_CUT = "not_cut:"  # begins the reason of a span that gave no clip; the rest is the outcome in `clips`
MEASURES = {
    "loudness_lufs": ("c", "LUFS"),
    "silent_fraction": ("c", ""),
    "luma": ("c", ""),
    "motion": ("c", ""),
    "frozen_fraction": ("c", ""),
    "score": ("s", ""),
}
TAR_END, TAR_RECORD = 1024, 10240  # bytes: two blocks of zeros, and what a tar's length is a multiple of
AGAIN = "Remove what was materialized, and materialize the selection again."
READ_BYTES = 1 << 24
NUM_READERS = 8
ORDER = f"list_position({list(SPLITS)}, split)"
OF_SHARDS = "FROM materialized AS m WHERE m.selection = '{selection}'"
JOINED = """FROM (FROM materialized WHERE selection = '{selection}') AS m
LEFT JOIN (FROM selections WHERE selection = '{selection}' AND kept) AS s ON s.clip_id = m.clip_id AND s.split = m.split
LEFT JOIN (FROM clips WHERE spec = 'base' AND outcome = 'kept') AS c ON c.clip_id = m.clip_id
LEFT JOIN (FROM videos WHERE spec = 'base') AS v ON v.video_id = m.video_id"""
AMOUNTS = "count(*) AS clips, count(DISTINCT m.video_id) AS videos, sum(s.unique_s) / 3600 AS hours"
MEASURED = ",\n".join(
    f"{{{{place: {place}, measure: '{name}', unit: '{unit}', x: {view}.{name}::DOUBLE}}}}"
    for place, (name, (view, unit)) in enumerate(MEASURES.items())
)
QUERIES = {
    "all": f"SELECT {AMOUNTS}, count(DISTINCT m.part) AS shards, sum(m.tar_bytes)::BIGINT AS bytes\n{JOINED}",
    "splits": f"SELECT m.split, {AMOUNTS}, count(DISTINCT m.part) AS shards, sum(m.tar_bytes)::BIGINT AS bytes\n"
    f"{JOINED}\nGROUP BY m.split ORDER BY {ORDER.replace('split)', 'm.split)')}",
    "shards": f'SELECT m.part, count(*) AS clips, max(m.tar_offset + m.tar_bytes) AS "end"\n{OF_SHARDS}\n'
    "GROUP BY m.part ORDER BY m.part",
    "reasons": "SELECT reason, count(*) AS clips, count(DISTINCT video_id) AS videos\n"
    "FROM selections WHERE selection = '{selection}' GROUP BY reason ORDER BY clips DESC, reason",
    "licenses": f"SELECT v.license, {AMOUNTS}, count(DISTINCT v.author) AS authors\n{JOINED}\n"
    "GROUP BY v.license ORDER BY clips DESC, v.license",
    "rights": f"SELECT v.rights, {AMOUNTS}\n{JOINED}\nGROUP BY v.rights ORDER BY clips DESC, v.rights",
    "outcomes": "SELECT outcome, count(*) AS videos\nFROM videos WHERE spec = 'base' GROUP BY outcome "
    "ORDER BY videos DESC, outcome",
    "labels": f"SELECT s.label, count(*) AS clips\n{JOINED}\nGROUP BY s.label ORDER BY clips DESC, s.label",
    "lengths": "SELECT min(c.duration_s) AS shortest_s, max(c.duration_s) AS longest_s, min(c.num_frames) AS "
    f"fewest_frames, max(c.num_frames) AS most_frames\n{JOINED}",
    "measures": "SELECT measure, unit, count(*) AS clips, min(x) AS lowest, median(x) AS median, max(x) AS highest\n"
    f"FROM (SELECT unnest([{MEASURED}], recursive := true) {JOINED})\n"
    "WHERE isfinite(x) GROUP BY place, measure, unit ORDER BY place",
    "scorers": "SELECT model, eval_set, metric, value, low, high, n\nFROM summary WHERE model IN ({scorers}) "
    "AND isfinite(value) ORDER BY model, mixtures, eval_set, metric",
    "untraced": "SELECT count(*) FILTER (s.clip_id IS NULL) AS not_kept, "
    "count(*) FILTER (c.clip_id IS NULL) AS no_clip, "
    f"count(*) FILTER (v.video_id IS NULL) AS no_video\n{JOINED}",
}
UNTRACED = {
    "not_kept": "that selections/{selection} does not keep in their split",
    "no_clip": "that clips/base does not hold",
    "no_video": "whose video videos/base does not have",
}


class Figure(NamedTuple):
    """A number with the query or record that it comes from."""

    value: int | float
    source: str


class Rule(NamedTuple):
    """A rule of the selection, in the order in which they apply."""

    reason: str
    what: str
    settings: list[str]
    """`min_score = 0.8`; the fields that are set, as the record of the selection has them."""
    cutoff: Figure | None
    """What was computed from them, such as the score that the last clip of a share has."""
    clips: Figure
    """That it refused."""


class Shard(NamedTuple):
    """One tar."""

    name: str
    """Its file's."""
    split: str
    size_bytes: Figure
    sha256: str


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of the shards of a selection."""

    selection: str
    rows: dict[str, list[dict[str, Any]]]
    """The rows of each query of QUERIES, every number of them a Figure."""
    sql: dict[str, str]
    shards: list[Shard]
    licenses: list[License]
    """In the order of the rows of `licenses`."""
    rules: list[Rule]
    stages: list[dict[str, Any]]
    """The records of all stages that the shards were made from, and their own, which is the last."""

    @property
    def record(self) -> dict[str, Any]:
        """Of the shards."""
        return self.stages[-1]

    @property
    def clip_spec(self) -> dict[str, Any]:
        """Lengths, rates and sizes that the clips were cut with."""
        return next(stage for stage in self.stages if stage["stage"] == CLIPS_FOLDER)["settings"]["clips"]["base"]

    def only(self, name: str) -> dict[str, Any]:
        """The row of a query that has one."""
        (row,) = self.rows[name]
        return row


def gather(workspace: Workspace, selection: str) -> Facts:
    """What is known of the shards of a selection.

    Raises:
        ConfigError: they are not there, or not all of them; the topic is `missing`.
        DataError: something does not add up, or is there without a source.
    """
    stage = f"materialized/{selection}"
    if not workspace.is_finished(stage):
        raise workspace.error(stage, "not there yet, or not all of it.")
    parts = workspace.parts(stage)
    if not any(len(workspace.read(stage, part, MATERIALIZED, ["clip_id"])) for part in parts):
        raise workspace.error(stage, f"0 clips, because selections/{selection} keeps none: nothing to describe.", "")
    stages = _lineage(workspace, stage)
    scorers = [repr(name.partition("/")[2]) for name in map(_name, stages) if name.startswith("scores/")]
    words = {"selection": selection, "scorers": ", ".join(scorers) or "NULL"}
    sql = {name: text.format(**words) for name, text in QUERIES.items()}
    tables = query_all(workspace, sql)
    rows = {name: [_traced(row, name) for row in table.to_pylist()] for name, table in tables.items()}
    facts = Facts(selection, rows, sql, _shards(workspace, stage, rows), [], [], stages)
    _check(workspace, facts)
    return dataclasses.replace(
        facts,
        licenses=[read_license(row["license"]) for row in rows["licenses"]],
        rules=_rules(workspace, facts),
    )


def figure_of(value: Any, source: str) -> Figure:
    """A number with its source.

    Raises:
        DataError: it is none, or infinite: it was computed of nothing.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"data card: {source} is {value}, expected a number. The figure cannot be traced.")
    return Figure(value, source)


def _traced(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A row of a query with its numbers as figures; only names, of which some may be missing, are no numbers."""
    texts = {
        "split",
        "part",
        "reason",
        "license",
        "rights",
        "outcome",
        "label",
        "measure",
        "unit",
        "model",
        "eval_set",
        "metric",
    }
    texts |= {key for key in ("low", "high") if row.get(key, 0) is None}  # not every figure has an interval
    return {key: value if key in texts else figure_of(value, f"{name}.{key}") for key, value in row.items()}


def _name(record: Mapping[str, Any]) -> str:
    return record["stage"]


def _lineage(workspace: Workspace, stage: str) -> list[dict[str, Any]]:
    """The records of all stages that a stage was made from, each after those that it was made from, and its own."""
    stages = list_stages(workspace)
    below = {name: dependents(stages, name) for name in stages}
    found = [stages[name] for name in sorted(stages, key=lambda name: -len(below[name])) if stage in below[name]]
    names = {record["stage"] for record in found}
    for needed in (CLIPS_FOLDER, stage.replace("materialized/", "selections/", 1)):
        if needed not in names:
            raise workspace.error(needed, "has no record, and figures of the data card come from it.")
    return [*found, stages[stage]]


def _shards(workspace: Workspace, stage: str, rows: Mapping[str, list[dict[str, Any]]]) -> list[Shard]:
    """Every tar with its hash; what lies there must be what the table has."""
    folder, ends = workspace.uri(stage), {f"{row['part']}.tar": row["end"].value for row in rows["shards"]}
    sizes = {files.relative(entry.uri, folder): entry.size_bytes for entry in files.list_files(folder)}
    found = {name for name in sizes if name.endswith(".tar")}
    for name in sorted(found ^ ends.keys()):
        raise DataError(f"{folder}/{name}: {'a tar without rows' if name in found else 'missing'}. {AGAIN}")
    for name, end in ends.items():
        expected = math.ceil((end + TAR_END) / TAR_RECORD) * TAR_RECORD
        if sizes[name] != expected:
            raise DataError(f"{folder}/{name}: {sizes[name]} bytes, expected {expected} by its rows. {AGAIN}")
    with ThreadPoolExecutor(NUM_READERS) as pool:
        hashes = pool.map(lambda name: sha256_of(files.join(folder, name), sizes[name]), ends)
        return [
            Shard(name, name.rpartition("-")[0], figure_of(sizes[name], f"size of {name}"), sha256)
            for name, sha256 in zip(ends, hashes, strict=True)
        ]


def sha256_of(uri: str, size_bytes: int) -> str:
    """sha256 of a file in hex, read a piece at a time."""
    found = hashlib.sha256()
    for offset in range(0, size_bytes, READ_BYTES):
        found.update(files.read_bytes(uri, offset, min(READ_BYTES, size_bytes - offset)))
    return found.hexdigest()


def _check(workspace: Workspace, facts: Facts) -> None:
    """Raise a DataError for what does not add up."""
    place, rows = workspace.place(facts.record["stage"]), facts.rows
    for name, what in UNTRACED.items():
        if count := facts.only("untraced")[name].value:
            said = what.format(selection=facts.selection)
            raise DataError(f"{place}: {count} clips {said}: their figures cannot be traced. {AGAIN}")
    reasons = {row["reason"]: row["clips"].value for row in rows["reasons"]}
    total = facts.only("all")["clips"].value
    if reasons.get("kept", 0) != total:
        raise DataError(f"{place}: {total} clips, and the selection keeps {reasons.get('kept', 0)}. {AGAIN}")
    selected = next(stage for stage in facts.stages if stage["stage"] == f"selections/{facts.selection}")
    recorded = selected.get("reasons", reasons)
    if recorded != reasons:
        raise DataError(f"{workspace.place(selected['stage'])}: counts {reasons}, its record says {recorded}.")
    for kind in ("splits", "licenses", "rights", "labels"):
        if sum(row["clips"].value for row in rows[kind]) != total:
            raise DataError(f"{place}: the clips by {kind} are not {total} together.")


def _rules(workspace: Workspace, facts: Facts) -> list[Rule]:
    """Every rule that has a setting or refused a clip, with what it was set to and how many clips it refused."""
    stage = f"selections/{facts.selection}"
    stored = next(record for record in facts.stages if record["stage"] == stage)["settings"]
    config = from_dict(FilteringConfig, stored["filtering"])
    plain, default = as_dict(config), as_dict(FilteringConfig())
    refused = {row["reason"]: row["clips"] for row in facts.rows["reasons"]}
    rules = [
        Rule(reason, f"spans that gave no clip: {reason.removeprefix(NOT_CUT)}", [], None, refused[reason])
        for reason in refused
        if reason.startswith(NOT_CUT)
    ]
    own = {rule.reason: rule for rule in _own_rules(config.rules, refused)}
    known = {*RULES, *own, "kept"}
    if unknown := [name for name in refused if name not in known and not name.startswith(NOT_CUT)]:
        raise DataError(f"{workspace.place(stage)}: {refused[unknown[0]].value} clips are refused as {unknown[0]}, a "
                        "rule that this version does not know: it cannot be described.")  # fmt: skip
    cutoffs = _cutoffs(workspace, stage)
    for reason, (what, fields) in RULES.items():
        settings = [f"{name} = {format_value(plain[name])}" for name in fields if plain[name] != default[name]]
        if reason == "no_train":
            settings = [f"rights = {format_value(config.rights)}"]
        if reason == "labelled_off_screen" and config.refuse_off_screen:
            settings = ["refuse_off_screen = true"]
        if reason == "near_duplicate" and (similarity := stored["duplicates"]["similarity"]) is not None:
            settings = [f"duplicates.similarity = {similarity}"]
        count = refused.get(reason, Figure(0, "reasons.clips"))
        if reason == FIRST_OF_SCORES:
            rules += own.values()
        if settings or count.value:
            rules.append(Rule(reason, what, settings, cutoffs.get(reason), count))
    return rules


def _own_rules(texts: Sequence[str], refused: Mapping[str, Figure]) -> list[Rule]:
    """The rules that the selection's maker wrote, and what was refused because they are null."""
    none, found = Figure(0, "reasons.clips"), []
    for text in texts:
        reason = split_rule(text)[1]
        found.append(Rule(reason, "clips for which this is false", [text], None, refused.get(reason, none)))
    nulls = [reason for reason in refused if texts and reason.startswith(OF_NULLS) and reason not in RULES]
    return found + [Rule(reason, "clips for which a rule is null", [], None, refused[reason]) for reason in nulls]


def _cutoffs(workspace: Workspace, stage: str) -> dict[str, Figure]:
    """What clips were compared with, by the reason of those below it, as the selection wrote it down."""
    uri = workspace.record_uri(stage, "cutoffs")
    stored = json.loads(files.read_bytes(uri)) if files.exists(uri) else {}
    found = {"low_score": stored.get("score_cutoff") or None}
    for reason, name in (("not_top_video", "video_cutoff"), ("not_top_clip", "clip_cutoff")):
        found[reason] = stored[name][0] if stored.get(name) else None
    return {reason: figure_of(value, f"{stage}.cutoffs") for reason, value in found.items() if value is not None}
