"""Videos -> a tombstone, and a workspace without them: pages, tables with their tars, records and logs, file by file.

The tombstone comes first, with all that is known of the videos by then; after it, nothing needs what was removed
before. Each file is replaced in one atomic step, a tar before the rows that say what it holds, what was made from a
table before the table. So a takedown that was stopped finds what is left by the same search, and ends the same.

Design note: what was computed from many videos stays, such as cutoffs of a selection and weights of a model; the
tombstone lists the models. Figures of an evaluation that pooled rows of theirs are removed, and `evaluate` pools the
rows that are left. Shards and frozen sets that were not finished are removed as a whole, because where a clip lies in
them follows from all that there are; so are models whose training had not ended.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyarrow.parquet as pq

from pipeline.formatting import format_now, format_number
from pipeline.labels.event_spans import summarize_spans
from pipeline.labels.labeling import summarize_labels
from pipeline.masks.mask_labeling import summarize_masks
from pipeline.selection.deciding import summarize
from pipeline.storage import files
from pipeline.storage.layout import (
    COLLECTION_FOLDER,
    LABELS_FOLDER,
    MASKS_FOLDER,
    MEDIA,
    SPANS_FOLDER,
    STAGES,
    TABLES,
    TOMBSTONES,
)
from pipeline.storage.lineage import list_outputs, list_stages
from pipeline.storage.locking import LOCKS_FOLDER, claim
from pipeline.storage.s3 import abort_uploads
from pipeline.storage.tombstones import read_tombstones, write_tombstone
from pipeline.storage.workspace import Workspace, write_rows
from pipeline.takedown.holding import Part, examples_of, holding, list_parts, read_texts
from pipeline.takedown.new_tombstones import names_of
from pipeline.takedown.requests import read_columns
from pipeline.takedown.row_removal import rows_about, without
from pipeline.takedown.sample_removal import remove_samples
from pipeline.takedown.text_removal import clean_file

TEXTS = (".json", ".jsonl", ".csv", ".txt", ".log", ".md")
PAGE, LOGS, CARD = "report.html", "logs", "README.md"
Advance = Callable[[], None]


class Removed(NamedTuple):
    """What a takedown has rewritten or removed."""

    num_rows: int
    tables: list[str]
    tars: list[str]
    whole: list[str]
    """Stages that were removed as a whole, as they were not finished."""
    others: list[str]
    """Pages, records and logs."""
    has_uploads: bool
    """Whether uploads that were not completed may be left in the bucket: it does not let them be removed."""

    def __str__(self) -> str:
        return (
            f"{format_number(self.num_rows)} rows removed, {format_number(len(self.tables))} parts of tables and "
            f"{format_number(len(self.tars))} tars rewritten, {format_number(len(self.others))} other files"
        )


@contextlib.contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """Keep every command that writes off the whole workspace for the length of the block.

    Who begins a stage claims it, and then looks for the claim on the tombstones (`check_finished`). Here that one comes
    first, and every lock that is there is tried after it: of two that begin at once, at least one sees the other.

    Raises:
        ConfigError: one is at work.
    """
    folder = workspace.uri(LOCKS_FOLDER)
    with contextlib.ExitStack() as claims:
        claims.enter_context(claim(workspace, TOMBSTONES))
        locks = [files.relative(entry.uri, folder) for entry in files.list_files(folder)]
        begun = {name.removesuffix(".json") for name in locks if name.endswith(".json") and not _is_progress(name)}
        for stage in sorted({COLLECTION_FOLDER, *list_stages(workspace), *begun} - {TOMBSTONES}):
            claims.enter_context(claim(workspace, stage))
        yield


def _is_progress(uri: str) -> bool:
    """Whether a file beside locks says how far a stage is."""
    return uri.endswith(".progress.json")


class TakeDown:
    """Removes the videos of tombstones whose takedown has not ended.

    Args:
        workspace: that no other command writes to meanwhile.
        tombstones: names of the tombstones.
    """

    def __init__(self, workspace: Workspace, tombstones: list[str]) -> None:
        self._workspace, self._tombstones = workspace, tombstones
        found = read_tombstones(workspace)
        self._found = {name: found[name] for name in tombstones}
        self.names = names_of(workspace, self._found)
        self._groups = {old: new for tombstone in self._found.values() for old, new in tombstone["groups"].items()}
        self._models = [model for tombstone in self._found.values() for model in tombstone["models"].items()]
        self._marked: set[str] = set()
        self._rows, self._tables, self._tars = 0, list[str](), list[str]()
        self._whole, self._others = list[str](), list[str]()

    def __call__(self, advance: Advance = lambda: None) -> Removed:
        """Remove all that names the videos; `advance` is called after each part of a table that was read."""
        has_uploads = not self._remove_unfinished_files()
        self._remove_whole_stages()
        parts = list_parts(self._workspace)
        held = list(holding(self._workspace, self.names, parts, advance))
        self._note_tars(held)
        self._delete(self._workspace.uri(PAGE))
        self._reopen_reports(parts, held)
        examples = examples_of(self.names, [part for part in held if part.kind == "mixtures"])
        for part in held:
            self._rewrite(part, examples.get(part.sets, frozenset()))
        self._clean_sets()
        self._clean_texts()
        for stage in self._marked_stages():
            self._count_again(stage)
        return Removed(self._rows, self._tables, self._tars, self._whole, self._others, has_uploads)

    def finish(self) -> None:
        """Mark the tombstones as those of takedowns that have ended."""
        for name, tombstone in self._found.items():
            write_tombstone(self._workspace, name, tombstone | {"finished": format_now()})

    def _note_tars(self, held: list[Part]) -> None:
        """Keep in the tombstones which tars have samples of the videos: the proof opens them, whoever wrote them."""
        tars = {tar.removeprefix(f"{self._workspace.root}/") for part in held if (tar := part.tar(self._workspace))}
        for name, tombstone in self._found.items():
            if not tars <= set(tombstone["tars"]):
                tombstone["tars"] = sorted({*tombstone["tars"], *tars})
                write_tombstone(self._workspace, name, tombstone)

    def _delete(self, uri: str) -> None:
        if files.exists(uri):
            files.delete(uri)
            self._others.append(uri)

    def _remove_unfinished_files(self) -> bool:
        """Files that killed commands left half written may hold anything; return whether all could be removed."""
        root = self._workspace.root
        folders = [self._workspace.uri(name) for name in (STAGES, TABLES, "models", TOMBSTONES, LOGS, *MEDIA)]
        if not files.store_at(root).is_local:
            return False not in [abort_uploads(folder) for folder in folders]
        for folder in folders:
            for path in files.local_path(folder).rglob(f"{files.UNFINISHED}*"):
                path.unlink(missing_ok=True)
        files.store_at(root).remove_unfinished(root)
        return True

    def _remove_whole_stages(self) -> None:
        stages = list_stages(self._workspace)
        is_taught = {model for model, _ in self._models}
        for stage, record in stages.items():
            is_plan = stage.startswith(("materialized/", "mixtures/"))
            if "finished" not in record and (is_plan or stage in is_taught):
                for uri in list_outputs(self._workspace, stage):
                    files.delete(uri)
                self._whole.append(stage)
            elif stage in is_taught:  # it is read to go on with a training, and has embeddings of clips
                self._delete(self._workspace.uri(stage, "checkpoint.pt"))

    def _reopen_reports(self, parts: list[Part], held: list[Part]) -> None:
        """Remove figures that pooled rows of the videos; `evaluate` makes them anew from the rows that are left."""
        touched = {part.stage for part in held if part.rank < 0}
        of_reports: dict[str, list[Part]] = {}
        for part in parts:
            if part.rank < 0:
                of_reports.setdefault(part.stage, []).append(part)
        for stage, tables in of_reports.items():
            pooled = [part for part in tables if not _has_ids(part)]
            if stage in touched or len(pooled) == len(tables):
                if self._workspace.has_stage(stage):
                    self._workspace.reopen(stage)
                for part in pooled:
                    self._delete(part.uri)

    def _rewrite(self, part: Part, examples: frozenset[str]) -> None:
        """The tar of a part, then its rows."""
        workspace, tar = self._workspace, part.tar(self._workspace)
        self._mark(part.stage)
        with files.local_copy(part.uri) as path, path.open("rb") as file:
            table = pq.ParquetFile(file).read(use_threads=False)
        gone = rows_about(table, self.names, examples)
        if tar is not None and gone.true_count and files.exists(tar):
            if part.kind == "materialized":  # its card speaks of other bytes from here on
                self._delete(workspace.uri(part.stage, CARD))
            if remove_samples(tar, lambda key: self.names.is_clip(key) or key in examples):
                self._tars.append(tar)
        kept = without(table, self.names, examples, self._groups)
        with files.building(part.uri) as path, files.open_patiently(path) as out:
            write_rows(kept, out)
        self._rows += len(table) - len(kept)
        self._tables.append(part.uri)

    def _mark(self, stage: str) -> None:
        """Note in a stage's record that rows of it were removed: what it counted is of before."""
        if stage not in self._marked and self._workspace.has_stage(stage):
            before = self._workspace.stage(stage).get("taken_down", [])
            if not set(self._tombstones) <= set(before):
                self._workspace.note(stage, taken_down=sorted({*before, *self._tombstones}))
        self._marked.add(stage)

    def _clean_sets(self) -> None:
        """Remove shards that have become empty, and what beside shards mentions the videos, but for the manifest, from
        which the card is written anew."""
        workspace = self._workspace
        for selection in workspace.names("materialized"):
            stage = f"materialized/{selection}"
            for part in workspace.parts(stage):
                uri = workspace.tar_uri(stage, part)
                if files.exists(uri) and not len(read_columns(workspace, stage, part, ["clip_id"])):
                    files.delete(uri)
                    self._delete(f"{uri}.idx")
            for entry in files.list_files(workspace.uri(stage)):
                name = files.relative(entry.uri, workspace.uri(stage))
                if name.endswith((".csv", ".txt")) and clean_file(entry.uri, self.names):
                    self._others.append(entry.uri)
                if name.endswith(".parquet") and rows_about(read_texts(entry.uri), self.names).true_count:
                    self._delete(workspace.uri(stage, CARD))

    def _clean_texts(self) -> None:
        """Records and what stages remember beside them, texts beside weights, logs, and what locks say of the past."""
        for folder in (STAGES, LOGS, LOCKS_FOLDER, "models"):
            for entry in files.list_files(self._workspace.uri(folder)):
                is_lock = folder == LOCKS_FOLDER and not _is_progress(entry.uri)
                if entry.uri.endswith(TEXTS) and not is_lock and clean_file(entry.uri, self.names):
                    self._others.append(entry.uri)

    def _marked_stages(self) -> list[str]:
        """The stages that lost rows, by this command or the one that was stopped."""
        tombstones = set(self._tombstones)
        return [
            stage
            for stage, record in list_stages(self._workspace).items()
            if "finished" in record and tombstones & set(record.get("taken_down", ()))
        ]

    def _count_again(self, stage: str) -> None:
        """What a record counts of rows, as the stage's own command would count now."""
        kind, _, name = stage.partition("/")
        if kind == "selections":
            self._workspace.note(stage, **summarize(self._workspace, name))
        if stage == LABELS_FOLDER:
            self._workspace.note(stage, **summarize_labels(self._workspace).facts())
        if stage == SPANS_FOLDER:
            self._workspace.note(stage, **summarize_spans(self._workspace).facts())
        if stage == MASKS_FOLDER:
            self._workspace.note(stage, **summarize_masks(self._workspace).facts())


def _has_ids(part: Part) -> bool:
    """Whether rows of a table of an evaluation are about examples, clips or videos."""
    with files.local_copy(part.uri) as path, path.open("rb") as file:
        names = pq.ParquetFile(file).schema_arrow.names
    return any(name == "example_id" or name.endswith(("clip_id", "video_id")) for name in names)
