"""What `score --scorer` does: load the user's class, score every part by it, and name the clips that it could not."""

import collections
import hashlib
import os
from pathlib import Path

from cluster.resources import SCORING
from jobs.console.imported_names import check_import_name
from jobs.console.options import Session
from jobs.console.progress import printable
from jobs.console.remedies import query_command
from pipeline.errors import ConfigError
from pipeline.formatting import format_counts

MAX_NAMED = 5


def score_by_own(session: Session, name: str, table: str | None, spec: str, given: list[str]) -> None:
    """Clips of a spec -> the table imported/<table>, by the class `name`, with the arguments NAME=VALUE."""
    from pipeline.outside.own_scoring import ScoreOwnPart
    from pipeline.outside.scorers import ScorerClass, declared_columns, source_hash, stored_columns
    from pipeline.storage import files
    from pipeline.storage.layout import IMPORTED

    if table is None:
        raise ConfigError("--scorer: expected a --name for the table.")
    check_import_name(table)
    workspace, stage, source = session.workspace, f"{IMPORTED}/{table}", f"clips/{spec}"
    workspace.require(source)
    arguments = dict(map(_argument, given))
    # workers have other working directories; what the root is made from has names alone, since it may be moved
    places = {name: Path(value) for name, value in arguments.items() if os.path.exists(value)}
    scorer = ScorerClass(name, str(Path.cwd()), arguments | {name: str(at.absolute()) for name, at in places.items()})
    loaded = scorer.load()
    columns = declared_columns(loaded, name)
    scorer.check()
    paths = {name: place for name, place in places.items() if place.is_file()}
    content = source_hash(loaded) | {f"{name}={path.name}": _hash(path) for name, path in paths.items()}
    settings = {
        "spec": spec,
        "columns": stored_columns(columns),
        "declared": columns,
        "scorer": name,
        "arguments": arguments | {name: place.name for name, place in places.items()},
        "content": content,
    }
    counts: collections.Counter[str] = collections.Counter()
    raised: dict[str, str] = {}
    with session.begin(stage, settings, {source: workspace.stage(source)["hash"]}):
        for argument, path in paths.items():
            session.share(f"--with {argument}", str(path))
        parts = workspace.pending(source, stage)
        work = ScoreOwnPart(workspace, spec, table, scorer, columns)
        try:
            for found in session.each(f"scorer {table}", work, parts, SCORING, counts=counts):
                counts.update(found.counts)
                raised |= found.raised
        except BaseException:
            if not workspace.parts(stage):  # so that a class that is mended meets no record of the one before
                files.delete(workspace.record_uri(stage))
            raise
        if parts or not workspace.is_finished(stage):  # it may have been killed after its last part
            workspace.finish(stage)
    if raised:
        named = "; ".join(f"{clip}: {error}" for clip, error in sorted(raised.items())[:MAX_NAMED])
        print(printable(f"score: {counts['raised']} clips have no values, because the scorer raised: {named}"))
    if raised or counts["damaged"]:
        empty = " AND ".join(f"{column} IS NULL" for column in columns)
        sql = f"SELECT clip_id FROM {table} WHERE {empty}"
        print(f"score: clips without values: {query_command(workspace.root, sql)}")
    session.done("score", format_counts(counts) or "nothing to do, every clip is scored", stage)


def _argument(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals or not name.isidentifier() or name == "device":
        raise ConfigError(f"--with {given}: expected NAME=VALUE, such as --with weights=similarity.pt.")
    return name, value


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
