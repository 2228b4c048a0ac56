"""A worker's outages, handed on to the driver beside Ray's logs."""

import time

import pytest

from jobs.console import waiting
from jobs.console.waiting import ReportingWaits
from pipeline.storage import outages


def test_what_a_worker_waits_for_is_reported_while_it_waits_and_when_that_is_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reported: list[dict] = []
    monkeypatch.setattr(waiting.waits, "report", lambda found: reported.append(dict(found)))
    monkeypatch.setattr(outages, "say", outages.say)

    def work(part: str) -> str:
        outages.wait_s("s3://bucket", "no answer", time.monotonic() - 3.0, 1)
        outages.ended("s3://bucket")
        return part

    assert ReportingWaits(work)("00001") == "00001"
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
