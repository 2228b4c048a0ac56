"""What is known of a selection's shuffled shards, for people and programs that receive them: counts with their sources.

Comes in: the workspace's tables by SQL, the records of the stages, and the tars in `materialized/<selection>/`. Goes
out: `Facts`. A number that a card shows is a `Figure`, which has the query or record that it comes from; the page
refuses any other number. Here everything is checked that must add up, and what does not is an error: a card with a
figure that cannot be traced is not written.
"""

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pipeline.errors import DataError
from pipeline.reports.card_figures import Figure, figure_of
from pipeline.reports.card_queries import QUERIES, UNTRACED
from pipeline.reports.card_rules import Rule, describe_rules
from pipeline.reports.licenses import License, read_license
from pipeline.reports.querying import query_all
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.lineage import dependents, list_stages
from pipeline.storage.workspace import Workspace
from schemas.materialized import MATERIALIZED
from schemas.selections import RIGHTS_CHANGED

TAR_END, TAR_RECORD = 1024, 10240  # bytes: two blocks of zeros, and what a tar's length is a multiple of
REMEDY = "Remove what was materialized, and materialize the selection again."
READ_BYTES = 1 << 24
NUM_READERS = 8


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
        rules=describe_rules(workspace, selection, stages, rows["reasons"]),
    )


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
        raise DataError(f"{folder}/{name}: {'a tar without rows' if name in found else 'missing'}. {REMEDY}")
    for name, end in ends.items():
        expected = math.ceil((end + TAR_END) / TAR_RECORD) * TAR_RECORD
        if sizes[name] != expected:
            raise DataError(f"{folder}/{name}: {sizes[name]} bytes, expected {expected} by its rows. {REMEDY}")
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
    reasons = {row["reason"]: row["clips"].value for row in rows["reasons"]}
    if waiting := reasons.get(RIGHTS_CHANGED):
        selection = f"selections/{facts.selection}"
        message = f"{workspace.place(selection)}: {waiting} clips are of videos whose declared rights have changed."
        raise DataError(message, "undecided", stage=selection, root=workspace.root)
    for name, what in UNTRACED.items():
        if count := facts.only("untraced")[name].value:
            said = what.format(selection=facts.selection)
            raise DataError(f"{place}: {count} clips {said}: their figures cannot be traced. {REMEDY}")
    total = facts.only("all")["clips"].value
    if reasons.get("kept", 0) != total:
        raise DataError(f"{place}: {total} clips, and the selection keeps {reasons.get('kept', 0)}. {REMEDY}")
    selected = next(stage for stage in facts.stages if stage["stage"] == f"selections/{facts.selection}")
    recorded = selected.get("reasons", reasons)
    if recorded != reasons:
        raise DataError(f"{workspace.place(selected['stage'])}: counts {reasons}, its record says {recorded}.")
    for kind in ("splits", "licenses", "rights", "labels"):
        if sum(row["clips"].value for row in rows[kind]) != total:
            raise DataError(f"{place}: the clips by {kind} are not {total} together.")
