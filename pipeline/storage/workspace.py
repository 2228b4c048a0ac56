"""The workspace: where each stage's parts are, which are still missing, and what made them.

A part on disk is finished work, so resume, retry and progress depend on one fact: which parts are pending. Every stage
folder has a `_stage.json` with its settings, named as in `PipelineConfig`, the hash of settings and inputs, and the
versions that wrote it.
"""

import datetime
import importlib.metadata
import json
import platform
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, DataError
from pipeline.hashing import as_dict, hash_json
from pipeline.storage import files
from schemas.fields import SchemaError, check, table_name

COLLECTION_FOLDER = "collection"
CLIPS_FOLDER = "clips"
VIDEOS_FOLDER = "videos"
LABELS_FOLDER = "labels"
TRAINING_FOLDER = "training"
STAGE_FILE = "_stage.json"
SETTINGS_FILE = "earshot.json"  # in every root: marks it as one
LIBRARIES = ("torch", "ray", "pyarrow", "numpy", "soundfile", "simplejpeg")


@dataclass(frozen=True)
class Workspace:
    """The folders below one root, a local path or an s3:// prefix. Cheap to send to a worker."""

    root: str

    def uri(self, *names: str) -> str:
        """The address of a file or folder of the workspace."""
        return files.join(self.root, *names)

    def names(self, kind: str) -> list[str]:
        """Names of the folders in a folder that holds several: of the selections, the models, and so on; sorted."""
        uri = self.uri(kind)
        return sorted({files.relative(entry.uri, uri).partition("/")[0] for entry in files.list_files(uri)})

    def parts(self, folder: str) -> list[str]:
        """Names of the finished parts of a stage's folder, sorted."""
        uri = self.uri(folder)
        names = (files.relative(entry.uri, uri) for entry in files.list_files(uri))
        return [name.removesuffix(".parquet") for name in names if name.endswith(".parquet") and "/" not in name]

    def pending(self, source: str, target: str) -> list[str]:
        """Parts of `source` that `target` does not have yet."""
        finished = set(self.parts(target))
        return [part for part in self.parts(source) if part not in finished]

    def require(self, folder: str) -> list[str]:
        """The parts of a folder that another stage must have written.

        Raises:
            ConfigError: there are none; the topic is `missing`.
        """
        parts = self.parts(folder)
        if not parts:
            raise self.error(folder, "nothing there yet.")
        return parts

    def read(self, folder: str, part: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
        """One part of a table, checked against its schema.

        Raises:
            DataError: the file is damaged or of another schema or version.
        """
        uri = self.uri(folder, f"{part}.parquet")
        try:
            # an open file, because pyarrow takes a path for an address and knows none that is not UTF-8
            with files.local_copy(uri) as path, path.open("rb") as file:
                table = pq.ParquetFile(file, page_checksum_verification=True).read(columns=columns, use_threads=False)
            wanted = schema if columns is None else pa.schema([schema.field(c) for c in columns], schema.metadata)
            return check(table, wanted, uri)
        except (pa.ArrowInvalid, OSError, SchemaError) as error:
            raise DataError(f"{uri}: {error}") from error

    def read_all(self, folder: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
        """Every part of a table, in order; an empty table where there is none."""
        wanted = schema if columns is None else pa.schema([schema.field(c) for c in columns], schema.metadata)
        tables = [self.read(folder, part, schema, columns) for part in self.parts(folder)]
        return pa.concat_tables(tables) if tables else wanted.empty_table()

    def commit(self, folder: str, part: str, table: pa.Table, schema: pa.Schema) -> str:
        """Write one part of a table in one atomic step, and return its address."""
        uri = self.uri(folder, f"{part}.parquet")
        checked = check(table, schema, f"{table_name(schema)} part {part}")
        with files.building(uri) as path, path.open("wb") as file:
            pq.write_table(checked, file, compression="zstd", write_page_checksum=True)
        return uri

    def begin(self, folder: str, settings: Any, inputs: dict[str, str]) -> str:
        """Claim a folder for its settings and inputs; return the hash of both, which names its future content.

        Args:
            folder: the stage's folder, such as scores/coincidence.
            settings: configs and plain JSON types, by their name in `PipelineConfig`, for later commands to reuse.
            inputs: hash of each stage it reads, by folder.
        Raises:
            ConfigError: the folder already holds work of other settings or inputs.
        """
        stage = self.check_same(folder, settings, inputs)
        if self.has_stage(folder):
            return stage["hash"]
        versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
        record = stage | {
            "stage": folder,
            "code_version": importlib.metadata.version("earshot"),
            "libraries": versions | {"python": platform.python_version()},
            "started": _now(),
        }
        self._write_stage(folder, record)
        return stage["hash"]

    def check_same(self, folder: str, settings: Any, inputs: dict[str, str]) -> dict[str, Any]:
        """Settings, inputs and their hash, as a stage's record holds them. For the arguments and errors see `begin`."""
        plain = as_dict(settings)
        stage = {"settings": plain, "inputs": inputs, "hash": hash_json({"settings": plain, "inputs": inputs})}
        found = self.stage(folder) if self.has_stage(folder) else stage
        if found["hash"] != stage["hash"]:
            raise self.error(
                folder, f"holds work of other settings or inputs ({_differences(found, stage)}).", "refused"
            )
        return stage

    def finish(self, folder: str, **facts: Any) -> None:
        """Record that every part of a folder is there, with facts worth keeping (counts, hashes of content)."""
        self._write_stage(folder, self.stage(folder) | {"finished": _now()} | facts)

    def is_finished(self, folder: str) -> bool:
        """Whether `finish` was called for the folder."""
        return self.has_stage(folder) and "finished" in self.stage(folder)

    def has_stage(self, folder: str) -> bool:
        """Whether a stage has begun in the folder."""
        return files.exists(self.uri(folder, STAGE_FILE))

    def stage(self, folder: str) -> dict[str, Any]:
        """What made the folder: settings, inputs, hash, versions, times.

        Raises:
            ConfigError: no stage has begun there; the topic is `missing`.
        """
        if not self.has_stage(folder):
            raise self.error(folder, "nothing there yet.")
        return json.loads(files.read_bytes(self.uri(folder, STAGE_FILE)))

    def error(self, folder: str, found: str, topic: str = "missing", **facts: str) -> ConfigError:
        """The error that a stage's folder is `found` to be of no use; the topic names what to do (`errors.py`)."""
        return ConfigError(f"{self.uri(folder)}: {found}", topic, folder=folder, root=self.root, **facts)

    def _write_stage(self, folder: str, record: dict[str, Any]) -> None:
        files.commit_bytes(self.uri(folder, STAGE_FILE), json.dumps(record, indent=1, sort_keys=True).encode())


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
    folder, _, part = uri.removesuffix(".tar").rpartition("/")
    root, _, kind = folder.rpartition("/")
    # the table that marks a part as finished: for clips/00042 that of its videos, for a shard test-00042 its own
    record = files.join(root, VIDEOS_FOLDER if kind == CLIPS_FOLDER and "-" not in part else kind, f"{part}.parquet")
    return DataError(f"{uri}: {found} Delete {record} and run the command that made it: it makes the part again.")


def report_folder(run: str, table: str) -> str:
    """The folder of a model's rows of one report table."""
    return f"reports/model={run}/{table}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


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
