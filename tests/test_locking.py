"""Locks: one driver at a time on a folder; a dead one never keeps the next from going on."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from pipeline.errors import ConfigError, OutageError
from pipeline.storage import files, locking, outages, s3_clients
from pipeline.storage.locking import claim
from pipeline.storage.traceless import TracelessObject
from pipeline.storage.workspace import Workspace
from tests.helpers.versions import kept_versions

PROJECT = Path(__file__).parent.parent
# A driver with a child that outlives it.
DRIVER = """
    import subprocess, sys, time
    from pipeline.storage.workspace import Workspace
    from pipeline.storage.locking import claim
    with claim(Workspace(sys.argv[1]), "clips/base"):
        child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
        time.sleep(60)
"""


@pytest.fixture(params=["local", "s3"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    if request.param == "local":
        return Workspace(str(tmp_path / "root"))
    return Workspace(f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}")


@pytest.fixture
def bucket(s3_bucket: str, tmp_path: Path) -> Workspace:
    return Workspace(f"{s3_bucket}/{tmp_path.name}")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease is renewed every 0.1 s and expires after 1.5 s."""
    monkeypatch.setattr(locking, "RENEW_S", 0.1)
    monkeypatch.setattr(locking, "EXPIRE_S", 1.5)
    monkeypatch.setattr(locking, "WATCH_EVERY_S", 0.1)


@contextmanager
def driver(workspace: Workspace) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that holds the clips, and the id of its child."""
    command = [sys.executable, "-c", textwrap.dedent(DRIVER), workspace.root]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            yield process, child
        finally:
            process.kill()
            os.kill(child, signal.SIGKILL)


def lease(workspace: Workspace) -> str:
    return workspace.uri(".locks", "clips/base.json")


def is_free(workspace: Workspace, folder: str = "clips/base") -> bool:
    try:
        with claim(workspace, folder):
            return True
    except ConfigError:
        return False


def test_a_second_driver_stops_and_names_the_first(workspace: Workspace) -> None:
    with driver(workspace) as (first, _):
        with pytest.raises(ConfigError) as error, claim(workspace, "clips/base"):
            pass
        assert f"{workspace.root}/clips/base: process {first.pid} on " in str(error.value)
        assert is_free(workspace, "scores/coincidence")


def test_a_killed_driver_holds_nothing_though_its_child_lives(workspace: Workspace, capfd: Any) -> None:
    with driver(workspace) as (first, child):
        first.kill()
        os.kill(child, 0)  # no error: it is there
        first.wait()
        assert is_free(workspace)
    assert capfd.readouterr().err == ""  # nothing was waited for


@pytest.mark.parametrize("error", [None, RuntimeError("half way")])
def test_a_driver_that_ends_lets_go(workspace: Workspace, error: Exception | None) -> None:
    for _ in range(2):
        try:
            with claim(workspace, "clips/base"):
                assert not is_free(workspace)
                if error is not None:
                    raise error
        except RuntimeError:
            assert error is not None


def test_a_lock_is_neither_a_part_nor_a_file_of_its_folder(workspace: Workspace) -> None:
    with claim(workspace, "clips/base"):
        assert workspace.parts("clips/base") == []
        assert list(files.list_files(workspace.uri("clips/base"))) == []


def test_a_root_that_cannot_be_written_to_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    with (
        pytest.raises(ConfigError, match=r"root/clips/base: cannot be written to"),
        claim(Workspace(f"{tmp_path}/root"), "clips/base"),
    ):
        pass


def test_where_files_cannot_be_locked_the_run_goes_on_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def flock(file: Any, flags: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with claim(Workspace(str(tmp_path)), "clips/base"):
        pass
    assert f"{tmp_path}/clips/base: this filesystem cannot lock" in capsys.readouterr().err


def elsewhere(**changes: Any) -> bytes:
    """The lease of a process on another machine."""
    return json.dumps({"host": "far", "pid": 7, "machine": "other", "owner": "x", "renewals": 3, **changes}).encode()


@pytest.mark.usefixtures("hasty")
def test_a_lease_that_nobody_renews_is_taken_over_and_the_wait_is_announced(bucket: Workspace, capsys: Any) -> None:
    files.commit_bytes(lease(bucket), elsewhere())
    with claim(bucket, "clips/base"):
        assert json.loads(files.read_bytes(lease(bucket)))["pid"] == os.getpid()
    assert not files.exists(lease(bucket))
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert "process 7 on 'far'" in output


@pytest.mark.usefixtures("hasty")
def test_a_lease_that_another_machine_renews_is_respected(bucket: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with claim(bucket, "clips/base"):
        monkeypatch.setattr(locking, "_machine", lambda: "another boot")
        with pytest.raises(ConfigError, match=f"process {os.getpid()} on "), claim(bucket, "clips/base"):
            pass
        assert json.loads(files.read_bytes(lease(bucket)))["pid"] == os.getpid()


@pytest.mark.usefixtures("hasty")
def test_a_lease_let_go_while_it_is_watched_is_free(bucket: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "EXPIRE_S", 3600.0)
    files.commit_bytes(lease(bucket), elsewhere())
    monkeypatch.setattr(locking.time, "sleep", lambda seconds: files.delete(lease(bucket)))
    assert is_free(bucket)


@pytest.mark.usefixtures("hasty")
def test_of_two_that_watch_a_lease_die_the_second_leaves_the_firsts_alone(
    bucket: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete_if(uri: str, data: bytes) -> bool:  # the first was quicker by this much
        files.commit_bytes(lease(bucket), elsewhere(pid=8))
        return remove(uri, data)

    remove = files.delete_if
    monkeypatch.setattr(locking, "EXPIRE_S", 0.2)
    monkeypatch.setattr(files, "delete_if", delete_if)
    files.commit_bytes(lease(bucket), elsewhere())
    with pytest.raises(ConfigError, match="process 8 on 'far'"), claim(bucket, "clips/base"):
        pass
    assert files.read_bytes(lease(bucket)) == elsewhere(pid=8)


@pytest.mark.parametrize("content", [b"", b"no JSON", b"[1]", elsewhere(machine=locking._machine(), pid="../1")])
@pytest.mark.usefixtures("hasty")
def test_a_damaged_lease_expires_like_any_other(
    bucket: Workspace, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "EXPIRE_S", 0.2)
    files.commit_bytes(lease(bucket), content)
    assert is_free(bucket)


def test_a_process_that_got_a_dead_ones_number_does_not_stand_in_for_it(bucket: Workspace) -> None:
    mine = {**locking._this_process(), "begun": "1", "owner": "x", "renewals": 0}
    files.commit_bytes(lease(bucket), json.dumps(mine).encode())
    assert is_free(bucket)  # at once: the test would time out if it watched


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """As on a terminal: what a script starts in its background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hasty")
def test_a_driver_that_ignores_interrupts_is_terminated_when_its_lease_was_taken_over(bucket: Workspace) -> None:
    def terminate(*_: object) -> None:
        raise SystemExit(143)

    before = [signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, terminate)]

    def work() -> None:
        files.commit_bytes(lease(bucket), elsewhere())
        time.sleep(60)

    try:
        with pytest.raises(SystemExit), claim(bucket, "clips/base"):
            work()
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


@pytest.mark.parametrize("taken", [elsewhere(), None], ids=["by another", "removed"])
@pytest.mark.usefixtures("hasty", "heeds_interrupts")
def test_a_driver_whose_lease_was_taken_over_stops(bucket: Workspace, taken: bytes | None) -> None:
    def work() -> None:
        if taken is None:
            files.delete(lease(bucket))
        else:
            files.commit_bytes(lease(bucket), taken)
        time.sleep(60)

    with pytest.raises(ConfigError, match=r"clips/base: .* is at work on it"), claim(bucket, "clips/base"):
        work()
    assert files.exists(lease(bucket)) == (taken is not None)  # the other's is left alone


@pytest.mark.usefixtures("hasty")
def test_an_interrupt_by_hand_stays_an_interrupt(bucket: Workspace) -> None:
    with pytest.raises(KeyboardInterrupt), claim(bucket, "clips/base"):
        raise KeyboardInterrupt
    assert not files.exists(lease(bucket))


@pytest.mark.usefixtures("hasty")
def test_a_store_that_does_not_answer_for_a_while_costs_no_lease(
    bucket: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Callable[..., bytes] = files.read_bytes
    failures = iter([OutageError("503"), EndpointConnectionError(endpoint_url="http://far")])

    def read_bytes(uri: str) -> bytes:
        for error in failures:
            raise error
        return read(uri)

    with claim(bucket, "clips/base"):
        monkeypatch.setattr(files, "read_bytes", read_bytes)
        while json.loads(read(lease(bucket)))["renewals"] < 2:
            time.sleep(0.05)


def test_a_holder_that_renews_soon_after_an_outage_keeps_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, outage_s = 0.0, (10.0, 10.0 + 5 * locking.EXPIRE_S)
    renewed_s = outage_s[1] + locking.RENEW_S  # the holder's first try after it

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    def content(_: str) -> bytes:
        nonlocal now_s
        if outage_s[0] <= now_s < outage_s[1]:  # waited for, as every request is
            now_s = outage_s[1]
        return elsewhere(renewals=3 + (now_s >= renewed_s))

    monkeypatch.setattr(locking, "_content", content)
    monkeypatch.setattr(locking.time, "monotonic", lambda: now_s)
    monkeypatch.setattr(locking.time, "sleep", sleep)
    monkeypatch.setattr(files, "delete_if", lambda uri, data: data == content(uri))
    with pytest.raises(ConfigError, match="process 7 on 'far'"):
        locking._wait_for_death("s3://bucket/root/.locks/clips/base.json", "s3://bucket/root/clips/base")
    assert renewed_s <= now_s <= renewed_s + locking.WATCH_EVERY_S


def test_a_store_that_is_gone_at_the_end_does_not_hide_why_the_run_failed(
    bucket: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = []

    def remove(_: TracelessObject) -> None:
        patience.append(outages.most_s())
        raise OutageError("503")

    monkeypatch.setattr(TracelessObject, "remove", remove)
    with pytest.raises(RuntimeError, match="half way"), claim(bucket, "clips/base"):
        raise RuntimeError("half way")
    assert patience == [locking.PATIENCE_S]


def test_versions_that_leases_leave_behind_are_those_of_the_dead_and_the_documented_rule_removes_them(
    versioned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = s3_clients.client("versioned")
    text = (PROJECT / "docs" / "cluster.md").read_text()
    rules = json.loads(text[text.index("```json") + 7 :].partition("```")[0])
    client.put_bucket_lifecycle_configuration(Bucket="versioned", LifecycleConfiguration=rules)
    workspace = Workspace(f"{versioned}/workspace")
    with claim(workspace, "scores/m"):
        pass
    assert kept_versions() == []
    files.commit_bytes(workspace.uri(".locks", "scores/m.json"), elsewhere())
    monkeypatch.setattr(locking, "EXPIRE_S", 0.0)
    with claim(workspace, "scores/m"):
        pass
    keys = kept_versions()
    assert len(keys) == 2  # the lease of a process that was killed, and the mark that it was deleted
    (locks,) = [rule for rule in rules["Rules"] if "NoncurrentVersionExpiration" in rule]
    assert all(key.startswith(locks["Filter"]["Prefix"]) for key in keys)
