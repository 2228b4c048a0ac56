"""One driver at a time on a stage's folder: a second one, started by mistake, stops with a message that names it.

On a local root the kernel keeps the lock (flock on a file below `<root>/.locks/`) and lets go of it however its holder
dies, so a run that resumes never waits. An object store has no such kernel: there a lease lies in
`<root>/.locks/<folder>.json`, created only where nothing is and renewed while it is held. Who meets a lease watches
whether it is renewed, by its own clock, so machines need not agree on the time. A lease is taken over if its holder is
a process of this machine that is dead, or if it is not renewed for EXPIRE_S.

The lock spares work and confusion; that parts stay right does not hang on it: a part cut twice is the same bytes. So
where a filesystem cannot lock, the run goes on with a warning.
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

from pipeline.errors import ConfigError, DataError
from pipeline.storage import files
from pipeline.storage.workspace import Workspace

LOCKS_FOLDER = ".locks"
RENEW_S = 20.0
# Six renewals missed: longer than an object store's client keeps trying, shorter than a person's patience.
EXPIRE_S = 120.0
WATCH_EVERY_S = 2.0
CANNOT_LOCK = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def claim(workspace: Workspace, folder: str) -> Iterator[None]:
    """Keep every other driver off a stage's folder for the length of the block.

    Args:
        folder: of a stage, such as clips or scores/coincidence.
    Raises:
        ConfigError: another driver is at work there, or took over because this one was not heard of for EXPIRE_S.
    """
    uri = workspace.uri(LOCKS_FOLDER, f"{folder}.json")
    lock = _flock if files.store_at(uri).is_local else _lease
    with lock(uri, workspace.uri(folder)):
        yield


@contextlib.contextmanager
def _flock(uri: str, what: str) -> Iterator[None]:
    path = files.local_path(uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")  # a child that is exec'ed does not inherit it, so it cannot outlive this process
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
            print(f"{what}: this filesystem cannot lock. See to it that no second earshot runs here.", file=sys.stderr)
        file.truncate(0)
        file.write(json.dumps(_this_process(), indent=1).encode())
        file.flush()
        yield


@contextlib.contextmanager
def _lease(uri: str, what: str) -> Iterator[None]:
    mine = _this_process() | {"owner": secrets.token_hex(8), "renewals": 0}
    while not files.create_bytes(uri, json.dumps(mine, indent=1).encode()):
        _wait_for_death(uri, what)
    released, lost = threading.Event(), threading.Event()
    keeper = threading.Thread(target=_renew, args=(uri, what, mine, released, lost), daemon=True)
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
        with contextlib.suppress(DataError, *files.remote_errors()):  # else it expires; what the block did counts
            if (_read(uri) or {}).get("owner") == mine["owner"]:
                files.delete(uri)


def _renew(uri: str, what: str, mine: dict[str, Any], released: threading.Event, lost: threading.Event) -> None:
    """Count up in the lease; if it is another's, interrupt the main thread as Ctrl-C would."""
    while not released.wait(RENEW_S):
        with contextlib.suppress(DataError, *files.remote_errors()):  # not reached: tried again, until it has expired
            if (_read(uri) or {}).get("owner") != mine["owner"]:
                lost.set()
                # a command in a script's background ignores SIGINT
                ignores = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
                if ignores:
                    print(f"{_busy(what, _read(uri) or {})}", file=sys.stderr, flush=True)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM if ignores else signal.SIGINT)
                return
            mine["renewals"] += 1
            files.commit_bytes(uri, json.dumps(mine, indent=1).encode())


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
        end = time.monotonic() + EXPIRE_S
        while _content(uri) == content and time.monotonic() < end:
            time.sleep(WATCH_EVERY_S)
    # of two that watched the same lease die, the second must not remove what the first put in its place
    if not files.delete_if(uri, content):
        now = _read(uri)
        if now is not None:
            raise _busy(what, now)


def _read(uri: str) -> dict[str, Any] | None:
    content = _content(uri)
    return None if content is None else _parse(content)


def _content(uri: str) -> bytes | None:
    """A lease as it lies there; None if there is none."""
    try:
        return files.read_bytes(uri)
    except DataError:
        if files.exists(uri):
            raise
        return None


def _parse(data: bytes) -> dict[str, Any]:
    """What a holder wrote; nothing if it has not written yet."""
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
    """Where process ids mean the same as here: one boot of one kernel, one pid namespace. None: it cannot be told."""
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    return None


def _begun(pid: int) -> str | None:
    """When a process of this machine began, in clock ticks since boot; None if it has ended or cannot be told."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # the name before it may hold spaces
        return fields[19] if fields[0] not in "ZX" else None
    return None


def _lives_here(holder: dict[str, Any]) -> bool | None:
    """Whether the holder is alive, if it is a process of this machine; None if it is not."""
    pid = holder.get("pid")
    if _machine() is None or holder.get("machine") != _machine() or not isinstance(pid, int):
        return None
    return _begun(pid) == holder.get("begun")  # else the number is another process's by now


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
