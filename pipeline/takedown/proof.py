"""A scan of a workspace for what is left of some videos: every file but the tombstones is read.

Tables are decoded, because Parquet compresses names; of tars the names of members, their JSON and their sounds are
read; of archives of weights what is no tensor; of all other files the bytes, as text. A tar of which a table says what
it holds need not be opened: its rows name none of the videos, and its size leaves no room for another sample.

What lies in the root and no command writes there, such as the collection itself, is searched too, and distinguished.
"""

import dataclasses
import json
import math
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.clips.tars import END_BYTES
from pipeline.errors import DataError
from pipeline.formatting import format_bytes, format_number
from pipeline.storage import files
from pipeline.storage.access import keeps_versions
from pipeline.storage.layout import MEDIA, SETTINGS_FILE, STAGES, TABLES, TOMBSTONES
from pipeline.storage.locking import LOCKS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.takedown.holding import Part, list_parts, read_texts
from pipeline.takedown.names import Names
from pipeline.takedown.new_tombstones import hash_sound
from pipeline.takedown.row_removal import mentions
from pipeline.takedown.sample_removal import list_members
from pipeline.takedown.taking_down import LOGS, PAGE
from pipeline.takedown.text_removal import text_of

OWN_FOLDERS = (STAGES, TABLES, *MEDIA, "models", LOGS, LOCKS_FOLDER)
NUM_READERS = 8
CHUNK_BYTES, OVERLAP_BYTES = 1 << 24, 1 << 12  # of a file that is searched as text; no address is longer
TEXTS = (".html", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".log", ".md", ".vtt", ".yaml")

UNOPENED = "unopened"
MAX_NAMED = 5


@dataclasses.dataclass(kw_only=True, slots=True)
class Proof:
    """What a scan found."""

    num_files: int = 0
    num_bytes: int = 0
    num_tars: int = 0
    """Opened."""
    num_unopened: int = 0
    """Tars of which a table says what they hold."""
    left: list[str] = dataclasses.field(default_factory=list)
    """What still names the videos or has their sound: where, and what."""
    foreign: list[str] = dataclasses.field(default_factory=list)
    """Files that name them, which no command of a workspace wrote."""
    unreadable: list[str] = dataclasses.field(default_factory=list)
    """Files that no command of a workspace wrote and that are damaged: where, and what."""
    unsearched: list[str] = dataclasses.field(default_factory=list)
    """Ids that are everyday words or numbers, for which no text was searched."""

    def describe(self, remedy: str) -> str:
        """What was read, where nothing is left; `remedy` says how tars that were not opened would be."""
        tars = f"{format_number(self.num_tars)} tars opened"
        if self.num_unopened:
            tars += f", {format_number(self.num_unopened)} known by their rows and size ({remedy})"
        return (
            f"{format_number(self.num_files)} files of {format_bytes(self.num_bytes)} read, {tars}: none but the "
            "tombstone names them, none has a sound of theirs"
        )


def scan(
    workspace: Workspace,
    names: Names,
    sounds: Mapping[str, str],
    opened: Collection[str] = (),
    every_tar: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> Proof:
    """Search all files of a workspace for videos.

    Args:
        sounds: by the hash of its sound each of their clips.
        opened: paths below the root of the tars that had samples of them, which are opened.
        every_tar: open also those of which a table says what they hold.
        advance: called after each file.
    Raises:
        DataError: a table or a tar of the workspace is damaged.
    """
    proof = Proof(unsearched=names.unsearched)
    parts = list_parts(workspace)
    tables = {part.uri: part for part in parts}
    tars = {tar: part for part in parts if (tar := part.tar(workspace)) is not None}
    had = {workspace.uri(tar) for tar in opened}
    known = {} if every_tar else {tar: part for tar, part in tars.items() if tar not in had}
    search = _Search(names, sounds, known)
    entries = [
        entry for entry in files.list_files(workspace.root) if not _is_below(entry.uri, workspace.root, (TOMBSTONES,))
    ]

    def found(entry: files.Entry) -> str:
        if names.are_in(files.relative(entry.uri, workspace.root)):
            return "its name"
        if not _is_ours(entry.uri, workspace.root) and not entry.uri.endswith((*TEXTS, ".parquet")):
            return ""  # media of a collection
        try:
            return search.file(entry, tables)
        except DataError as error:
            if _is_ours(entry.uri, workspace.root):
                raise
            proof.unreadable.append(str(error))
            return ""

    with ThreadPoolExecutor(NUM_READERS) as pool:
        for entry, what in zip(entries, pool.map(found, entries), strict=True):
            advance()
            proof.num_files += 1
            proof.num_bytes += entry.size_bytes
            if what == UNOPENED:
                proof.num_unopened += 1
            elif what:
                line = f"{entry.uri}: {what}"
                (proof.left if _is_ours(entry.uri, workspace.root) else proof.foreign).append(line)
            proof.num_tars += entry.uri.endswith(".tar") and what != UNOPENED
    proof.unreadable.sort()
    proof.left += [f"{path}: half written" for path in _half_written(workspace)]
    return proof


def find_beyond(workspace: Workspace, wanted: Mapping[str, Any], proof: Proof) -> Iterator[str]:
    """What no rewriting of the workspace reaches, in words: source files, other files in the root, old versions.

    Args:
        wanted: the tombstones of the videos, by name.
    """
    if proof.unsearched:
        yield f"everyday words or numbers, for which texts were not searched: {len(proof.unsearched)} ids"
    uris = [video["uri"] for tombstone in wanted.values() for video in tombstone["videos"]]
    there = [uri for uri in uris if uri and "://" not in uri and files.exists(uri)]
    if there:
        yield f"{len(there)} source files are still there, and are yours to remove"
    if proof.foreign:
        names = "; ".join(proof.foreign[:MAX_NAMED])
        yield f"{len(proof.foreign)} other files in the root name them, and are yours: {names}"
    if proof.unreadable:
        names = "; ".join(proof.unreadable[:MAX_NAMED])
        yield f"{len(proof.unreadable)} other files in the root cannot be read, and are yours: {names}"
    if keeps_versions(workspace.root):
        yield (
            "the bucket keeps versions: the old ones still hold all that was removed, until they are deleted or a rule "
            "(NoncurrentVersionExpiration) has them expire"
        )


class _Search:
    """What a file has of the videos, in words; "" if nothing."""

    def __init__(self, names: Names, sounds: Mapping[str, str], known: Mapping[str, Part]) -> None:
        self._names, self._sounds, self._known = names, sounds, known

    def file(self, entry: files.Entry, tables: Mapping[str, Part]) -> str:
        if entry.uri.endswith(".parquet"):
            return "rows" if mentions(read_texts(entry.uri), self._names) else ""
        if entry.uri.endswith(".tar"):
            part = self._known.get(entry.uri)
            if part is not None and _is_filled(part, entry.size_bytes):
                return UNOPENED
            return self._tar(entry.uri)
        with files.local_copy(entry.uri) as path:
            return "text" if self._is_in_bytes(path) else ""

    def _tar(self, uri: str) -> str:
        with files.local_copy(uri) as path, path.open("rb") as file:
            for member in list_members(path, uri):
                key, _, suffix = member.name.partition(".")
                if self._names.is_clip(key):
                    return f"sample {key}"
                if suffix.endswith(("flac", "json")):
                    file.seek(member.data_offset)
                    data = file.read(member.size_bytes)
                    if suffix == "json" and self._names.are_in(json.dumps(json.loads(data), ensure_ascii=False)):
                        return f"the JSON of {key}"
                    clip = next((self._sounds[hash] for hash in hash_sound({suffix: data}) if hash in self._sounds), "")
                    if clip:
                        return f"{member.name} is the sound of {clip}"
        return ""

    def _is_in_bytes(self, path: Path) -> bool:
        if zipfile.is_zipfile(path):  # weights: names are in what describes the tensors
            with zipfile.ZipFile(path) as archive:
                described = [name for name in archive.namelist() if "/data/" not in name]
                return any(self._names.are_in(text_of(archive.read(name))) for name in described)
        with path.open("rb") as file:
            before = b""
            while chunk := file.read(CHUNK_BYTES):
                if self._names.are_in(text_of(before + chunk)):
                    return True
                before = chunk[-OVERLAP_BYTES:]
        return False


def _is_filled(part: Part, size_bytes: int) -> bool:
    """Whether a tar has room for nothing but the samples of its part's rows, which say where each lies."""
    with files.local_copy(part.uri) as path, path.open("rb") as file:
        parquet = pq.ParquetFile(file)
        if not {"tar_offset", "tar_bytes"} <= set(parquet.schema_arrow.names):
            return True  # of mixtures: their rows name each example
        rows = parquet.read(columns=["tar_offset", "tar_bytes"], use_threads=False).to_pylist()
    ends = [row["tar_offset"] + row["tar_bytes"] for row in rows if row["tar_offset"] is not None]
    least = math.ceil((max(ends, default=0) + END_BYTES) / tarfile.RECORDSIZE) * tarfile.RECORDSIZE
    return size_bytes <= least + tarfile.RECORDSIZE


def _is_below(uri: str, root: str, folders: tuple[str, ...]) -> bool:
    return files.relative(uri, root).partition("/")[0] in folders


def _is_ours(uri: str, root: str) -> bool:
    return _is_below(uri, root, (*OWN_FOLDERS, PAGE, SETTINGS_FILE))


def _half_written(workspace: Workspace) -> list[str]:
    """Files that a killed command left; an object store shows none."""
    if not files.store_at(workspace.root).is_local:
        return []
    folders = [files.local_path(workspace.uri(name)) for name in (*OWN_FOLDERS, TOMBSTONES)]
    return sorted(str(path) for folder in folders for path in folder.rglob(f"{files.UNFINISHED}*"))
