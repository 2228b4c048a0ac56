"""Rules that users write, `peav.similarity >= 0.25 as low_similarity`, and the columns that they read.

The expression before the last ` as ` says which clips are kept, the word after it is the reason of the others. A bare
name is a column of clips, or the score; `videos.license` a column of the clip's video, `labels.label` of its label, and
`peav.similarity` of the imported table peav. Where the expression is null, the clip is refused too, for a reason of its
own: `no_peav` where a column that it names of the imported table peav is null or peav lacks the clip; `no_<column>` for
any other column; `unknown_<reason>` where no column is null, and the value cannot be computed, such as of 'a'::INT.
"""

import contextlib
import dataclasses
import re
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from pipeline.outside.imported_types import imported_schemas
from pipeline.selection.expressions import Expression, check_truth, evaluate, read_expression
from pipeline.storage.layout import CLIPS_FOLDER, IMPORTED, LABELS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.labels import LABELS
from schemas.scores import SCORES
from schemas.videos import VIDEOS

REASON = r"[a-z][a-z0-9_]*"
FORM = re.compile(rf"(?P<expression>.+)\sas\s+(?P<reason>{REASON})\s*", re.IGNORECASE | re.DOTALL)
OF_NULLS = ("no_", "unknown_")  # begin the reasons of clips for which a rule is null
EXAMPLE = "peav.similarity >= 0.25 as low_similarity"


class Rule(NamedTuple):
    """One rule."""

    reason: str
    """Of the clips for which the expression is false."""
    expression: Expression


def split_rule(text: str) -> tuple[str, str]:
    """The expression of a rule, as text, and its reason.

    Raises:
        ConfigError: it has another form.
    """
    match = FORM.fullmatch(text.strip())
    if match is None or not re.fullmatch(REASON, match["reason"]):
        raise ConfigError(f"expected EXPRESSION as REASON, with a reason of a-z, 0-9 and _, such as {EXAMPLE}.")
    return match["expression"], match["reason"]


def reason_of_null(column: str, imported: Container[str]) -> str:
    """Of clips for which a rule is null because this column is: the table, where it is imported, or the column."""
    table, _, name = column.rpartition(".")
    return f"no_{table if table in imported else name}"


def check_reasons(texts: Sequence[str], taken: Iterable[str]) -> None:
    """Refuse rules whose reasons other rules have.

    Args:
        taken: reasons of the rules that are built in.
    Raises:
        ConfigError: a rule is no rule, or its reason is another's.
    """
    known = set(taken)
    for number, text in enumerate(texts):
        with _named(number, text):
            reason = split_rule(text)[1]
            if reason in known or reason.startswith(OF_NULLS):
                begin = " and ".join(OF_NULLS)
                raise ConfigError(
                    f"another rule has the reason {reason}, or it begins with {begin}, as those of nulls do. Expected "
                    "one of its own."
                )
            known.add(reason)


@dataclasses.dataclass(frozen=True)
class OwnRules:
    """The rules of a selection, checked; cheap to send to a worker."""

    rules: tuple[Rule, ...] = ()
    """In order."""
    schemas: dict[str, pa.Schema] = dataclasses.field(default_factory=dict)
    """Of the imported tables that they name."""

    @property
    def stages(self) -> list[str]:
        """The stages of imported tables that they read."""
        return [f"{IMPORTED}/{name}" for name in self.schemas]

    def columns(self, table: str) -> list[str]:
        """Columns of a table that they name, without its name; of "", those of clips and the score."""
        names = dict.fromkeys(name for rule in self.rules for name in rule.expression.columns)
        return [name.rpartition(".")[2] for name in names if name.rpartition(".")[0] == table]

    def named(self, table: str) -> dict[str, str]:
        """The columns of a table that they name, by the name that they give each: `peav.similarity`: `similarity`."""
        return {f"{table}.{column}": column for column in self.columns(table)}

    def refusals(self, clips: pa.Table) -> Iterator[tuple[str, str, pa.ChunkedArray]]:
        """(rule, reason, [n] whether it refuses each clip), in order; the rule by the reason of its false values.

        Args:
            clips: with the columns that the rules name.
        Raises:
            ConfigError: a rule cannot be computed of these clips: which, and why.
        """
        for rule, is_kept in zip(self.rules, self._answers(clips), strict=True):
            is_null = pc.is_null(is_kept)
            for column in rule.expression.columns if is_kept.null_count else ():
                yield rule.reason, reason_of_null(column, self.schemas), pc.and_(is_null, pc.is_null(clips[column]))
            yield rule.reason, f"unknown_{rule.reason}", is_null
            yield rule.reason, rule.reason, pc.invert(is_kept)

    def _answers(self, clips: pa.Table) -> list[pa.ChunkedArray]:
        """[n] of each rule whether it keeps the clips, or null."""
        try:
            return evaluate([rule.expression for rule in self.rules], clips) if self.rules else []
        except ConfigError:
            for number, rule in enumerate(self.rules):  # each alone, to find the one
                with _named(number, f"{rule.expression.sql} as {rule.reason}"):
                    evaluate([rule.expression], clips)
            raise


def read_rules(workspace: Workspace, texts: Sequence[str], are_scored: bool, taken: Collection[str]) -> OwnRules:
    """The rules of texts whose columns the workspace has.

    Args:
        are_scored: whether the clips have a score.
        taken: reasons of the rules that are built in; of an imported table `train` the nulls would have one of them.
    Raises:
        ConfigError: a rule cannot be used: which, where, and why.
    """
    if not texts:
        return OwnRules()
    imported = imported_schemas(workspace)
    tables = {"": CLIPS, "videos": VIDEOS, "labels": LABELS, **imported}
    kinds = {f"{table}.{item.name}".lstrip("."): item.type for table, schema in tables.items() for item in schema}
    kinds |= {"score": SCORES.field("score").type}
    rules = []
    of_nulls: dict[str, str] = {}
    for number, text in enumerate(texts):
        with _named(number, text):
            words, reason = split_rule(text)
            expression = read_expression(words, kinds)
            _check_there(workspace, expression, imported, are_scored)
            _check_nulls(expression, imported, taken, of_nulls)
            check_truth(expression, pa.schema([(name, kinds[name]) for name in expression.columns]))
            rules.append(Rule(reason, expression))
    found = OwnRules(tuple(rules))
    return OwnRules(found.rules, {name: schema for name, schema in imported.items() if found.columns(name)})


def _check_there(workspace: Workspace, expression: Expression, imported: Iterable[str], are_scored: bool) -> None:
    """Refuse columns of stages that have not run, or that are about other clips."""
    tables = {name.rpartition(".")[0] for name in expression.columns}
    if "score" in expression.columns and not are_scored:
        raise workspace.error("scores/coincidence", "nothing there yet, and the rule names the score.")
    if "labels" in tables and not workspace.has_stage(LABELS_FOLDER):
        raise workspace.error(LABELS_FOLDER, "nothing there yet.")
    for table in sorted(tables & set(imported)):
        spec = workspace.stage(f"{IMPORTED}/{table}")["settings"]["spec"]
        if f"clips/{spec}" != CLIPS_FOLDER:
            raise ConfigError(f"{IMPORTED}/{table} is about clips/{spec}. Expected a table about {CLIPS_FOLDER}.")


def _check_nulls(
    expression: Expression, imported: Container[str], taken: Container[str], known: dict[str, str]
) -> None:
    """Refuse columns whose nulls would have the reason of a rule that is built in, or that of other nulls.

    Args:
        known: by each reason of nulls so far, a column that has it; gets those of the expression.
    """
    for column in expression.columns:
        if (reason := reason_of_null(column, imported)) in taken:
            raise ConfigError(
                f"column {column}: clips where it is null would have the reason {reason}, as those of a rule that is "
                "built in. Expected a table of another name."
            )
        other = known.setdefault(reason, column)
        tables = [name.rpartition(".")[0] for name in (column, other)]
        if tables[0] != tables[1] and any(table in imported for table in tables):
            raise ConfigError(
                f"columns {other} and {column}: clips where either is null would have the same reason {reason}. "
                "Expected an imported table of another name than a column."
            )


@contextlib.contextmanager
def _named(number: int, text: str) -> Iterator[None]:
    """Name the rule that a ConfigError is about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"filtering.rules, rule {number + 1}, {text}: {error}", error.topic, **error.facts) from error
