"""What may be done at an address: each step that stages rely on, tried for real, as plain facts.

Design note: policies cannot be asked for (that is a right of its own, and gateways have none), so files are put, read
and removed. Two files of a few bytes are in the root's folder of locks meanwhile, under names that no other process
has.
"""

import contextlib
import email.utils
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from pipeline.errors import EarshotError
from pipeline.storage import files, outages, s3, s3_clients
from pipeline.storage.locking import LOCKS_FOLDER
from pipeline.storage.s3_answers import ADVICE, advice, code_of
from pipeline.storage.traceless import TracelessObject

# What stages do at a root, in the order in which it is tried.
REACH, WRITE, READ, CREATE, REFUSE, LIST, DELETE = STEPS = (
    "reach", "write", "read a range", "create if absent", "refuse a second create", "list", "delete"
)  # fmt: skip
ENABLED = "Enabled"
OUTAGE_S = 10.0  # who asks whether a store answers waits for it no longer


class Access(TypedDict):
    """What was found at a root."""

    uri: str
    refused: dict[str, str]
    """By step, what the store said instead; where it cannot be reached, no further step is tried."""
    clock_ahead_s: float | None
    """This machine's clock less the store's, to a second; None for local files, and where the store gives no time."""
    keeps_versions: bool | None
    """Whether the bucket keeps what is replaced or deleted; None where that may not be asked."""
    leaves_versions: bool
    """Whether what was tried left versions there: the right to delete one by its id is missing."""
    drops_old_locks: bool | None
    """Whether a rule of the bucket removes old versions of locks; None where that may not be asked."""
    drops_uploads: bool | None
    """Whether a rule of the bucket removes uploads that were never completed; None likewise."""


def try_root(root: str) -> Access:
    """Every step of STEPS at a root, which may not exist yet."""
    access = Access(
        uri=root,
        refused={},
        clock_ahead_s=None,
        keeps_versions=None,
        leaves_versions=False,
        drops_old_locks=None,
        drops_uploads=None,
    )
    is_local = files.store_at(root).is_local
    made = _missing_folders(root) if is_local else []
    try:
        with outages.at_most(OUTAGE_S):
            if not is_local:
                _ask_bucket(access)
            if REACH not in access["refused"]:
                _try_steps(root, access)
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # not empty: another process is at work there
                folder.rmdir()
    return access


def read_error(uri: str) -> str:
    """Why the first byte of a file cannot be read; "" if it can."""
    with outages.at_most(OUTAGE_S):
        return _error_of(lambda: files.read_bytes(uri, 0, 1))


def keeps_versions(uri: str) -> bool | None:
    """Whether the bucket of an address keeps what is replaced or deleted; None where that may not be asked."""
    if files.store_at(uri).is_local:
        return False
    bucket = uri.removeprefix(s3.S3).partition("/")[0]
    with contextlib.suppress(*files.remote_errors()):
        status = s3_clients.client(bucket).get_bucket_versioning(Bucket=bucket).get("Status")
        return status is not None  # suspended, it still has those of before
    return None


def _try_steps(root: str, access: Access) -> None:
    token = secrets.token_hex(8)
    folder = files.join(root, LOCKS_FOLDER)
    written, created = (_probe(files.join(folder, f"doctor-{token}-{name}")) for name in ("written", "created"))
    mine, refused = token.encode(), access["refused"]

    def read() -> None:
        if (found := files.read_bytes(written.uri, 1, len(mine) - 1)) != mine[1:]:
            raise OSError(f"{len(found)} bytes that were not written")

    def create() -> None:
        if not created.create(mine):
            raise OSError("it says that something is there, and nothing is")

    def refuse() -> None:
        second = _probe(created.uri)
        if second.create(secrets.token_bytes(16)):
            second.remove()
            raise OSError("it replaced what was there: conditional writes (If-None-Match) are ignored")

    def find() -> None:
        there = {entry.uri for entry in files.list_files(folder)}
        if WRITE not in refused and written.uri not in there:
            raise OSError("it leaves out what was just written")

    def delete() -> None:
        for file in (written, created):
            access["leaves_versions"] |= not file.remove()
            if files.exists(file.uri):
                raise OSError(f"{file.uri} is still there")

    needs = {READ: WRITE, REFUSE: CREATE}
    steps: dict[str, Callable[[], Any]] = {
        WRITE: lambda: written.replace(mine), READ: read, CREATE: create, REFUSE: refuse, LIST: find, DELETE: delete,
    }  # fmt: skip
    for step, action in steps.items():
        if needs.get(step) not in refused and (error := _error_of(action)):
            refused[step] = error


class _LocalFile:
    """A file of this machine with the methods of a TracelessObject."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def create(self, data: bytes) -> bool:
        return files.create_bytes(self.uri, data)

    def replace(self, data: bytes) -> None:
        files.commit_bytes(self.uri, data)

    def remove(self) -> bool:
        files.delete(self.uri)
        return True


def _probe(uri: str) -> TracelessObject | _LocalFile:
    return _LocalFile(uri) if files.store_at(uri).is_local else TracelessObject(uri)


def _error_of(action: Callable[[], Any]) -> str:
    try:
        action()
    except (OSError, EarshotError) + files.remote_errors() as error:  # noqa: RUF005  mypy reads the sum, not the stars
        return str(error) or type(error).__name__
    return ""


def _missing_folders(root: str) -> list[Path]:
    """The folders that writing a lock will make, the innermost first."""
    path = Path(os.path.abspath(files.local_path(root))) / LOCKS_FOLDER
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def _ask_bucket(access: Access) -> None:
    """Fill in what only an object store has: whether it answers, its clock, and the bucket's own settings."""
    bucket, _, prefix = access["uri"].removeprefix(s3.S3).partition("/")
    answer = None
    try:
        client = s3_clients.client(bucket)
        answer = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/", MaxKeys=1)
    except (EarshotError,) + files.remote_errors() as error:  # noqa: RUF005  as above
        answer = getattr(error, "response", None)
        if answer is None or (code_of(error) in ADVICE and code_of(error) != "AccessDenied"):
            access["refused"][REACH] = f"{error}{advice(error)}"
    if answer and (date := answer["ResponseMetadata"]["HTTPHeaders"].get("date")):
        access["clock_ahead_s"] = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    if REACH in access["refused"]:
        return
    with contextlib.suppress(*files.remote_errors()):
        access["keeps_versions"] = client.get_bucket_versioning(Bucket=bucket).get("Status") == ENABLED
    rules = _rules(client, bucket)
    if rules is not None:
        locks = f"{prefix}/{LOCKS_FOLDER}/"
        access["drops_old_locks"] = any("NoncurrentVersionExpiration" in rule for rule in _covering(rules, locks))
        access["drops_uploads"] = any(
            "AbortIncompleteMultipartUpload" in rule for rule in _covering(rules, f"{prefix}/")
        )


def _rules(client: Any, bucket: str) -> list[dict[str, Any]] | None:
    """The bucket's rules for the life of objects; None where they may not be asked for."""
    try:
        return client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except files.remote_errors() as error:
        return [] if code_of(error) == "NoSuchLifecycleConfiguration" else None


def _covering(rules: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """The rules that are on and hold for all that begins with the prefix, whatever its tags and size."""
    found = []
    for rule in rules:
        whole = rule.get("Filter", {})
        holds_for = whole.get("Prefix", rule.get("Prefix", "" if not whole else None))
        if rule.get("Status") == ENABLED and holds_for is not None and prefix.startswith(holds_for):
            found.append(rule)
    return found
