"""A head that does not answer: what is said when, what ends the wait, and what the command is refused with."""

import socket
import subprocess
import sys

import pytest

from cluster import connect as connecting
from cluster.addresses import JOB_CONFIG
from cluster.head_watch import Watch, refusal


class Head:
    """A head that fails as it is told."""

    found = ""

    def __call__(self) -> str:
        return self.found


def test_a_head_that_is_back_in_time_costs_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    head = Head()
    watch = Watch("auto", head)
    assert not watch.look(0)
    head.found = "Connection refused"
    assert not any(watch.look(now_s) for now_s in range(10, 49))
    assert watch.is_silent
    watch.check()
    head.found = ""
    assert not watch.look(49)
    assert not watch.is_silent
    assert capsys.readouterr().err.splitlines() == [
        "--address auto: the head does not answer (Connection refused); waiting for it for up to 40 s",
        "--address auto: the head is back after 39 s",
    ]


def test_a_moment_of_silence_is_not_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    head = Head()
    watch = Watch("auto", head)
    for now_s, found in ((0, "no answer"), (2, "no answer"), (4, "")):
        head.found = found
        assert not watch.look(now_s)
    assert capsys.readouterr().err == ""


def test_a_head_that_stays_away_ends_the_command_with_what_to_do() -> None:
    head = Head()
    head.found = "no answer within 5 s"
    watch = Watch("10.0.0.1:6379", head)
    assert [watch.look(now_s) for now_s in (0, 20, 39, 40)] == [False, False, False, True]
    expected = (
        r"--address 10\.0\.0\.1:6379: .* 40 s \(no answer within 5 s\)\. Bring it up again; then the same command"
    )
    with pytest.raises(ConnectionError, match=expected):
        watch.check()


def test_a_raylet_that_is_gone_ends_the_command_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as raylet:
        host, port = raylet.getsockname()
        watch = Watch("auto", Head(), (host, port))
        assert refusal(host, port) == ""
        assert not watch.look(0)
    assert watch.look(2)
    with pytest.raises(ConnectionError, match=f"raylet of this process, at {host}:{port}, is gone .Connection refused"):
        watch.check()


@pytest.mark.parametrize(("address", "watched"), [(None, []), ("ray://head:10001", ["ray://head:10001"])])
def test_the_head_of_a_cluster_is_watched_and_this_machines_ray_is_not(
    address: str | None, watched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses: list[str] = []
    monkeypatch.setattr(connecting.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(connecting.ray, "init", lambda **_: None)
    monkeypatch.setattr(connecting, "probe", lambda address: None)
    monkeypatch.setattr(connecting, "watch", lambda address, *_: addresses.append(address))
    monkeypatch.delenv(JOB_CONFIG, raising=False)
    connecting.connect(address)
    assert addresses == watched


DRIVER = """
import atexit, sys, time, types

sys.modules["ray"] = types.SimpleNamespace(is_initialized=lambda: True)
import typer
from cluster import head_watch
from jobs import cli

head_watch.PERIOD_S, head_watch.LOST_S, head_watch.LEAVE_S = 0.01, {lost_s}, 0.1
atexit.register(time.sleep, 60)  # as Ray's own does: it waits for the head to say goodbye
app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def command():
    head_watch.watch("auto", lambda: "no answer")
    print("written")
    {body}


cli.build = lambda: app
sys.exit(cli.main([]))
"""


def drive(body: str, lost_s: float = 0.1) -> subprocess.CompletedProcess[str]:
    """What a driver whose head is silent ends with; `body` is what its command does."""
    script = DRIVER.replace("{body}", body).replace("{lost_s}", str(lost_s))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("code", [0, 2, 3])
def test_a_command_that_is_done_keeps_its_exit_code_and_output_where_ray_does_not_say_goodbye(code: int) -> None:
    ended = drive(f"sys.exit({code})")
    assert (ended.returncode, ended.stdout) == (code, "written\n")
    assert "was lost" not in ended.stderr


def test_a_command_that_is_done_does_not_wait_for_a_silent_head_as_one_at_work_does() -> None:
    assert drive("sys.exit(3)", lost_s=60).returncode == 3  # `drive` waits 50 s


def test_a_driver_at_work_of_its_own_is_interrupted_so_that_it_lets_go_of_its_locks() -> None:
    ended = drive(
        """
    try:
        time.sleep(60)
    finally:
        print("released")"""
    )
    assert (ended.returncode, ended.stdout) == (1, "written\nreleased\n")
    assert ended.stderr.count("earshot: --address auto: the cluster was lost: the head has not answered") == 1
