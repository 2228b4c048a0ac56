"""One driver at a time on a stage's folder: a second one, started by mistake, stops and names the first.

On a local root the lock is the kernel's (flock on a file below `<root>/.locks/`). The kernel releases it however its
holder dies, so a run that resumes never waits. On an object store the lock is a lease, the object
`<root>/.locks/<folder>.json`. A driver creates it only if there is none, and renews it while it works. Another driver
watches by its own clock whether the lease is renewed, so machines need not agree on the time. It takes the lease over
if the holder is a dead process of its own machine, or if the lease is not renewed for EXPIRE_S.

While the store does not answer, nobody can renew a lease. So a watch begins anew when the store is back: the holder has
EXPIRE_S to renew from then on, and tries every RENEW_S.

The lock prevents wasted work; correctness does not depend on it, because a part that is cut twice has the same bytes.
So on a filesystem that cannot lock, the run continues with a warning.
"""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import secrets
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, DataError, OutageError
from pipeline.storage import files, outages
from pipeline.storage.traceless import TracelessObject
from pipeline.storage.workspace import Workspace

LOCKS_FOLDER = ".locks"
RENEW_S = 20.0
# Six missed renewals: longer than a connection that hangs, shorter than a person's patience.
EXPIRE_S = 120.0
WATCH_EVERY_S = 2.0
UNSEEN_S = 10.0  # the store did not answer, or this machine slept: the watch begins anew
# A renewal waits no longer for the store: it reads the lease anew at the next one, lest it overwrites another owner's.
# A command that ends waits no longer to let go.
PATIENCE_S = 3.0
CANNOT_LOCK = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def claim(workspace: Workspace, folder: str) -> Iterator[None]:
    """Keep every other driver off a stage's folder for the length of the block.

    Args:
        folder: of a stage, such as clips or scores/coincidence.
    Raises:
        ConfigError: another driver is at work there, or took over after this one renewed no lease for EXPIRE_S.
    """
    uri = workspace.uri(LOCKS_FOLDER, f"{folder}.json")
    lock = _flock if files.store_at(uri).is_local else _lease
    with lock(uri, workspace.place(folder)):
        yield


def holder(workspace: Workspace, folder: str) -> dict[str, Any] | None:
    """The process that is at work on a stage's folder: its host, pid, command and since when; None if there is none.

    An object store's lease counts for EXPIRE_S after it was renewed, by the store's own clock.
    """
    uri = workspace.uri(LOCKS_FOLDER, f"{folder}.json")
    found = _read(uri)
    if not found:
        return None
    lives = _lives_here(found)
    if lives is None and files.store_at(uri).is_local:
        lives = _is_locked(files.local_path(uri))
    elif lives is None:
        age_s = files.age_s(uri)
        lives = age_s is not None and age_s < EXPIRE_S
    return found if lives else None


def _is_locked(path: Path) -> bool:
    """Whether a process locks the file. A driver that starts in the microsecond of this question is turned away."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def _flock(uri: str, what: str) -> Iterator[None]:
    path = files.local_path(uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")  # children do not inherit the file, so the lock cannot outlive this process
    except OSError as error:
        raise ConfigError(f"{what}: cannot be written to ({error}). Choose another root.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(what, _parse(path.read_bytes())) from None
        except OSError as error:
            if error.errno not in CANNOT_LOCK:
                raise
            print(f"{what}: this filesystem cannot lock. Make sure that no second earshot runs here.", file=sys.stderr)
        file.truncate(0)
        file.write(json.dumps(_this_process(), indent=1).encode())
        file.flush()
        os.fsync(file.fileno())  # on NFS, other machines see it only then
        try:
            yield
        finally:
            file.truncate(0)


@contextlib.contextmanager
def _lease(uri: str, what: str) -> Iterator[None]:
    mine = _this_process() | {"owner": secrets.token_hex(8), "renewals": 0}
    lease = TracelessObject(uri)
    while not lease.create(json.dumps(mine, indent=1).encode()):
        _wait_for_death(uri, what)
    released, lost = threading.Event(), threading.Event()
    keeper = threading.Thread(target=_renew, args=(lease, uri, what, mine, released, lost), daemon=True)
    keeper.start()
    try:
        yield
    except KeyboardInterrupt:
        if not lost.is_set():
            raise
        raise _busy(what, _read(uri) or {}) from None
    finally:
        released.set()
        keeper.join()
        with _tolerant():  # else the lease expires; the block's work counts
            lease.remove()


def _renew(
    lease: TracelessObject,
    uri: str,
    what: str,
    mine: dict[str, Any],
    released: threading.Event,
    lost: threading.Event,
) -> None:
    """Renew the lease by a count; if another process owns it, interrupt the main thread as Ctrl-C would."""
    while not released.wait(RENEW_S):
        with _tolerant():  # store not reached: the next renewal is another try
            if (_read(uri) or {}).get("owner") != mine["owner"]:
                lost.set()
                # a command in a script's background ignores SIGINT
                ignores = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
                if ignores:
                    print(f"{_busy(what, _read(uri) or {})}", file=sys.stderr, flush=True)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM if ignores else signal.SIGINT)
                return
            mine["renewals"] += 1
            lease.replace(json.dumps(mine, indent=1).encode())


@contextlib.contextmanager
def _tolerant() -> Iterator[None]:
    """Try for PATIENCE_S, and go on without."""
    with contextlib.suppress(DataError, OutageError, *files.remote_errors()), outages.at_most(PATIENCE_S):
        yield


def _wait_for_death(uri: str, what: str) -> None:
    """Return once the lease is gone; remove it if its holder is dead.

    Raises:
        ConfigError: its holder is alive.
    """
    content = _content(uri)
    if content is None:
        return
    found = _parse(content)
    lives = _lives_here(found)
    if lives:
        raise _busy(what, found)
    if lives is None:
        print(
            f"{what}: {_name(found)} is at work on it, or was killed. Watching {EXPIRE_S:.0f} s for a sign of life.",
            file=sys.stderr,
            flush=True,
        )
        watched_s, last_s = 0.0, time.monotonic()
        while watched_s < EXPIRE_S and _content(uri) == content:
            time.sleep(WATCH_EVERY_S)
            now_s = time.monotonic()
            watched_s = watched_s + now_s - last_s if now_s - last_s < UNSEEN_S else 0.0
            last_s = now_s
    # of two drivers that watched the same lease expire, the second must not remove the first one's new lease
    if not files.delete_if(uri, content):
        now = _read(uri)
        if now is not None:
            raise _busy(what, now)


def _read(uri: str) -> dict[str, Any] | None:
    content = _content(uri)
    return None if content is None else _parse(content)


def _content(uri: str) -> bytes | None:
    """The bytes of a lease; None if there is none."""
    try:
        return files.read_bytes(uri)
    except DataError:
        if files.exists(uri):
            raise
        return None


def _parse(data: bytes) -> dict[str, Any]:
    """The JSON object that a holder wrote; empty if it has not written yet."""
    with contextlib.suppress(ValueError):
        found = json.loads(data)
        if isinstance(found, dict):
            return found
    return {}


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": shlex.join(sys.argv),
        "since": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "begun": _begun(os.getpid()),
    }


def _machine() -> str | None:
    """Where process ids mean the same as here: one boot of one kernel, one pid namespace. None if unknown."""
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    return None


def _begun(pid: int) -> str | None:
    """When a process of this machine began, in clock ticks since boot; None if it has ended or is not visible."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # the name before it may hold spaces
        return fields[19] if fields[0] not in "ZX" else None
    return None


def _lives_here(holder: dict[str, Any]) -> bool | None:
    """Whether the holder is alive, if it is a process of this machine; None if it is not."""
    pid = holder.get("pid")
    if _machine() is None or holder.get("machine") != _machine() or not isinstance(pid, int):
        return None
    return _begun(pid) == holder.get("begun")  # else another process has the number now


def _name(holder: dict[str, Any]) -> str:
    if not holder:
        return "another earshot"
    words = {name: str(holder.get(name))[:200] for name in ("pid", "host", "since", "command")}
    return f"process {words['pid']} on {words['host']!r} (since {words['since']}: {words['command']!r})"


def _busy(what: str, holder: dict[str, Any]) -> ConfigError:
    return ConfigError(
        f"{what}: {_name(holder)} is at work on it, and only one may be. Wait until it has ended, or stop it; then the "
        "same command goes on from what is finished."
    )
