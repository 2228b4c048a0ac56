"""The workspace: the parts of tables and tars that are there, which are still missing, and what made them.

A part on disk is finished work, so resume, retry and progress depend on one fact: which parts are pending. Every stage
has a record with its settings, named as in `PipelineConfig`, the hash of settings and inputs, and the versions that
wrote it. Where all of it lies is said in `layout.py`.
"""

import importlib.metadata
import json
import platform
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import VERSION
from pipeline.errors import ConfigError, DataError
from pipeline.formatting import format_now
from pipeline.hashing import as_dict, hash_json
from pipeline.storage import files, layout
from pipeline.storage.layout import SETTINGS_FILE
from schemas.fields import SchemaError, check, schema_of, table_name

NUM_READERS = 16  # parts read at once: an object store answers in 30 ms, so 2 500 parts one by one take minutes
LIBRARIES = ("torch", "ray", "pyarrow", "numpy", "soundfile", "simplejpeg")


@dataclass(frozen=True)
class Workspace:
    """The folders below one root, a local path or an s3:// prefix. Cheap to send to a worker."""

    root: str

    def uri(self, *names: str) -> str:
        """The address of a file or folder below the root."""
        return files.join(self.root, *names)

    def table(self, partition: str) -> str:
        """The address of the folder of a table's partition, such as clips/base."""
        return self.uri(layout.table_folder(partition))

    def place(self, stage: str) -> str:
        """The address of what a stage makes, for people: its media or weights, else its table."""
        kind, _, report = stage.partition("/")
        if kind in layout.MEDIA or kind not in {*layout.PARTITIONS, "reports"}:
            return self.uri(stage)
        return self.table(f"summary/{report}" if kind == "reports" else stage)

    def part_uri(self, partition: str, part: str) -> str:
        """The address of one part of a table's partition."""
        return files.join(self.table(partition), f"{part}.parquet")

    def tar_uri(self, stage: str, part: str) -> str:
        """The address of a stage's tar."""
        return self.uri(stage, f"{part}.tar")

    def record_uri(self, stage: str, what: str = "") -> str:
        """The address of a stage's record, or of what else it has to remember, such as its cutoffs."""
        return self.uri(layout.STAGES, f"{stage}{what and '.'}{what}.json")

    def names(self, kind: str) -> list[str]:
        """Names of what there is of a kind, such as selections or models, with a record or with parts; sorted."""
        records, table = self.uri(layout.STAGES, kind), self.uri(layout.TABLES, kind)
        found = {files.relative(entry.uri, records).partition(".")[0] for entry in files.list_files(records)}
        folders = {files.relative(entry.uri, table).rpartition("/")[0] for entry in files.list_files(table)}
        return sorted(found | {"/".join(name.rpartition("=")[2] for name in path.split("/")) for path in folders})

    def parts(self, partition: str) -> list[str]:
        """Names of the finished parts of a table's partition, sorted."""
        uri = self.table(partition)
        names = (files.relative(entry.uri, uri) for entry in files.list_files(uri))
        return [name.removesuffix(".parquet") for name in names if name.endswith(".parquet") and "/" not in name]

    def pending(self, source: str, target: str) -> list[str]:
        """Parts of `source` that `target` does not have yet."""
        finished = set(self.parts(target))
        return [part for part in self.parts(source) if part not in finished]

    def require(self, partition: str) -> list[str]:
        """The parts of a table that another stage must have written.

        Raises:
            ConfigError: there are none; the topic is `missing`.
        """
        parts = self.parts(partition)
        if not parts:
            raise self.error(partition, "nothing there yet.")
        return parts

    def read(self, partition: str, part: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
        """One part of a table, checked against its schema.

        Raises:
            DataError: the file is damaged or of another schema or version.
        """
        uri = self.part_uri(partition, part)
        try:
            # an open file, because pyarrow takes a path for an address and knows none that is not UTF-8
            with files.local_copy(uri) as path, path.open("rb") as file:
                # without the buffer that other threads fill: it costs 0.4 ms, and half of the time for a small part
                parquet = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False)
                table = parquet.read(columns=columns, use_threads=False)
            wanted = schema if columns is None else schema_of(schema, columns)
            return check(table, wanted, uri)
        except (pa.ArrowInvalid, OSError, SchemaError) as error:
            raise DataError(f"{uri}: {error}") from error

    def read_all(self, partition: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
        """Every part of a table, in order; an empty table where there is none."""
        wanted = schema if columns is None else schema_of(schema, columns)
        tables = [self.read(partition, part, schema, columns) for part in self.parts(partition)]
        return pa.concat_tables(tables) if tables else wanted.empty_table()

    def commit(self, partition: str, part: str, table: pa.Table, schema: pa.Schema) -> str:
        """Write one part of a table in one atomic step, and return its address."""
        uri = self.part_uri(partition, part)
        checked = check(table, schema, f"{table_name(schema)} part {part}")
        with files.building(uri) as path, files.open_patiently(path) as file:
            write_rows(checked, file)
        return uri

    def begin(self, stage: str, settings: Any, inputs: dict[str, str]) -> str:
        """Claim a stage for its settings and inputs; return the hash of both, which names its future content.

        Args:
            stage: such as scores/coincidence.
            settings: configs and plain JSON types, by their name in `PipelineConfig`, for later commands to reuse.
            inputs: hash of each stage it reads, by stage.
        Raises:
            ConfigError: the stage already holds work of other settings or inputs.
        """
        made_from = self.check_same(stage, settings, inputs)
        if self.has_stage(stage):
            return made_from["hash"]
        versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
        record = made_from | {
            "stage": stage,
            "code_version": VERSION,
            "libraries": versions | {"python": platform.python_version()},
            "started": format_now(),
        }
        self._write_stage(stage, record)
        return made_from["hash"]

    def check_same(self, stage: str, settings: Any, inputs: dict[str, str]) -> dict[str, Any]:
        """Settings, inputs and their hash, as a stage's record holds them. For the arguments and errors see `begin`."""
        plain = as_dict(settings)
        asked = {"settings": plain, "inputs": inputs, "hash": hash_json({"settings": plain, "inputs": inputs})}
        found = self.stage(stage) if self.has_stage(stage) else asked
        if found["hash"] != asked["hash"]:
            changes = _differences(found, asked)
            raise self.error(stage, f"holds work of other settings or inputs ({changes}).", "refused")
        return asked

    def finish(self, stage: str, **facts: Any) -> None:
        """Record that every part of a stage is there, with facts worth keeping (counts, hashes of content)."""
        self._write_stage(stage, self.stage(stage) | {"finished": format_now()} | facts)

    def note(self, stage: str, **facts: Any) -> None:
        """Add facts to the record of a stage, in the place of earlier ones of the same names."""
        self._write_stage(stage, self.stage(stage) | facts)

    def reopen(self, stage: str) -> None:
        """Record that a stage has to be finished again."""
        self._write_stage(stage, {name: fact for name, fact in self.stage(stage).items() if name != "finished"})

    def is_finished(self, stage: str) -> bool:
        """Whether `finish` was called for the stage."""
        return self.has_stage(stage) and "finished" in self.stage(stage)

    def has_stage(self, stage: str) -> bool:
        """Whether a stage has begun."""
        return files.exists(self.record_uri(stage))

    def stage(self, stage: str) -> dict[str, Any]:
        """The record of a stage: settings, inputs, hash, versions, times.

        Raises:
            ConfigError: it has not begun; the topic is `missing`.
        """
        if not self.has_stage(stage):
            raise self.error(stage, "nothing there yet.")
        return json.loads(files.read_bytes(self.record_uri(stage)))

    def error(self, stage: str, found: str, topic: str = "missing", **facts: str) -> ConfigError:
        """The error that a stage's work is `found` to be of no use; the topic names what to do (`errors.py`)."""
        return ConfigError(f"{self.place(stage)}: {found}", topic, stage=stage, root=self.root, **facts)

    def _write_stage(self, stage: str, record: dict[str, Any]) -> None:
        files.commit_bytes(self.record_uri(stage), json.dumps(record, indent=1, sort_keys=True).encode())


def write_rows(table: pa.Table, file: BinaryIO) -> None:
    """Write rows as every part of a table is written: equal rows, equal bytes.

    Neither the name of a row, its first column, nor what is measured of it repeats: with dictionaries they would take a
    fifth more bytes.
    """
    repeats = [item.name for item in list(table.schema)[1:] if not pa.types.is_floating(item.type)]
    pq.write_table(table, file, compression="zstd", write_page_checksum=True, use_dictionary=repeats)


def workspace_at(root: str) -> Workspace:
    """The workspace at an address, which may be a relative path: workers have other working directories."""
    return Workspace(files.absolute(root, follow_links=True))


def open_workspace(root: str) -> Workspace:
    """The workspace of a command that only reads.

    Raises:
        ConfigError: no Earshot command has written there.
    """
    workspace = workspace_at(root)
    if not files.exists(workspace.uri(SETTINGS_FILE)):
        raise ConfigError(f"root {root}: no Earshot workspace there.", "no workspace")
    return workspace


def damaged_tar(uri: str, found: str) -> DataError:
    """The error for a tar that does not match its part's rows: where, `found` (a sentence), and what to do."""
    *folders, file = uri.split("/")
    for kind in layout.MEDIA:
        depth = len(layout.PARTITIONS[kind])
        *root, found_kind = folders[: len(folders) - depth] or [""]
        if found_kind == kind:
            # the table that marks a part as finished: for clips that of their videos, for a shard its own
            partition = "/".join(["videos" if kind == "clips" else kind, *folders[len(folders) - depth :]])
            done = Workspace("/".join(root)).part_uri(partition, file.removesuffix(".tar"))
            return DataError(f"{uri}: {found} Delete {done} and run the command that made it: it makes the part again.")
    return DataError(f"{uri}: {found}")


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """`clips.base.hop_s: 1.0 there, 2.0 asked for`, for every field that differs, then for every input."""
    changes = []
    for kind in ("settings", "inputs"):
        there, asked = _flat(found[kind]), _flat(wanted[kind])
        names = [name for name in sorted(there.keys() | asked.keys()) if there.get(name) != asked.get(name)]
        changes += [f"{name}: {there.get(name)} there, {asked.get(name)} asked for" for name in names]
    return "; ".join(changes)


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, item in value.items():
        flat |= _flat(item, f"{prefix}{name}.") if isinstance(item, dict) else {prefix + name: item}
    return flat
