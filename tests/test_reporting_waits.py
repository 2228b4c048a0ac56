"""A worker's outages, handed on to the driver beside Ray's logs."""

import time
from types import SimpleNamespace

import pytest

from cluster import waits
from cluster.waits import Waits
from jobs.console import reporting_waits
from jobs.console.reporting_waits import ReportingWaits
from pipeline.storage import outages


def wait_and_go_on(part: str) -> str:
    outages.wait_s("s3://bucket", "no answer", time.monotonic() - 3.0, 1)
    outages.ended("s3://bucket")
    return part


def test_what_a_worker_waits_for_is_reported_while_it_waits_and_when_that_is_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reported: list[dict] = []
    monkeypatch.setattr(reporting_waits.waits, "report", lambda found: reported.append(dict(found)))
    monkeypatch.setattr(outages, "say", outages.say)

    assert ReportingWaits(wait_and_go_on)("00001") == "00001"
    assert len(reported) == 2

    def give_up(part: str) -> str:
        outages.wait_s("s3://bucket", "no answer", time.monotonic() - 3.0, 1)
        return part

    assert ReportingWaits(give_up)("00002") == "00002"
    outages._outages.clear()
    assert (len(reported[2]), reported[3:]) == (1, [{}])
    ((found, seconds),) = reported[0].values()
    assert (found, round(seconds), reported[1]) == ("no answer", 3, {})
    assert "s3://bucket: back after 3 s" in capsys.readouterr().err


def test_a_worker_that_cannot_say_what_it_waits_for_does_its_part_and_the_driver_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the head's keys and values do not answer")

    context = SimpleNamespace(get_job_id=lambda: "1", get_node_id=lambda: "2")
    monkeypatch.setattr(waits.ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(waits.ray.util, "get_node_ip_address", lambda: "10.0.0.1")
    for name in ("get", "put", "delete", "list_keys"):
        monkeypatch.setattr(waits, name, fail)
    monkeypatch.setattr(outages, "say", outages.say)

    assert ReportingWaits(wait_and_go_on)("00001") == "00001"
    lines: list[str] = []
    Waits(lines.append).look()
    assert lines == []
